/** csfle decrypt: values of records from files, decrypted; with a keys backup and the KMS no registry is needed. */
#include "core/base/alloc.h"
#include "tools/common/report.h"
#include "tools/csfle/args.h"
#include "tools/csfle/offline.h"

#define MAX_RECORD_BYTES (64u << 20)

static int one_file(csfle_serde *serde, const char *path, csfle_buf *out, run *r)
{
  csfle_error err = CSFLE_ERROR_INIT;
  csfle_info  info = CSFLE_INFO_INIT;
  char       *text;
  size_t      len;
  int         rc = read_file(path, MAX_RECORD_BYTES, &text, &len);

  if (rc) return rc;
  r->records++;
  if (csfle_deserialize(serde, CSFLE_JSON, text, len, NULL, out, &info, &err) != CSFLE_OK) {
    int code = exit_code_of(&err);
    if (CSFLE_CLASS(err.code) == CSFLE_CLASS_WAIT || err.code == CSFLE_E_UNAUTHENTICATED || err.code == CSFLE_E_NOMEM) { /* so would the next */
      r->failed++;
      rc = fail_with(&err, path);
    } else {
      run_failed(r, code == EXIT_DENIED ? code : EXIT_PARTLY, path, err.where, err.msg);
    }
  } else {
    r->done++;
    r->fields += info.decrypted;
    r->passed_through += info.passed_through;
    fwrite(out->ptr, 1, out->len, stdout);
    putchar('\n');
  }
  csfle__free_secret(text, len + 1);
  return rc;
}

static int decrypt(args *a)
{
  csfle_client *cl = NULL;
  csfle_serde  *serde = NULL;
  csfle_error   err = CSFLE_ERROR_INIT;
  csfle_buf     out;
  run           r;
  int           rc;

  if (!a->topic) return fail(EXIT_USAGE, "-t TOPIC is missing: keys belong to the subject of a topic");
  csfle_config *config = props_config(&a->props, NULL, &rc);
  if (!config) return rc;
  csfle_buf_init(&out, 0, CSFLE_BUF_WIPE);
  if ((cl = csfle_client_open(config, &err)) == NULL) rc = fail_with(&err, NULL);
  else if ((rc = offline_seed(cl, a->backup)) == 0 && (serde = csfle_serde_open(cl, a->topic, NULL, &err)) == NULL) rc = fail_with(&err, NULL);
  if (!rc) {
    run_begin(&r, "read", "decrypted", a->quiet, a->verbose);
    for (int i = 0; i < a->operand_count && !rc && !stop_wanted(); i++) rc = one_file(serde, a->operands[i], &out, &r);
    fflush(stdout);
    rc = run_end(&r, rc);
  }
  csfle_buf_free(&out);
  csfle_serde_close(serde);
  csfle_client_close(cl);
  csfle_config_free(config);
  return rc;
}

static const option_row decrypt_options[] = {
  { 't', "topic", OPTION_TEXT, OPTION_AT(topic), "TOPIC", "the topic that the records are of" },
  OPTION_BACKUP,
  { 'q', "quiet", OPTION_FLAG, OPTION_AT(quiet), NULL, "no summary" },
  { 'v', "verbose", OPTION_FLAG, OPTION_AT(verbose), NULL, "every failed record" },
  OPTIONS_COMMON,
};
const command command_decrypt = {
  "decrypt", "-t TOPIC [--backup FILE] RECORD... [options]", "decrypt the values of records that lie in files: a line of JSON each",
  "A RECORD is a file with the bytes of one value, its schema id in front, as it lay in Kafka ('-': standard input).",
  decrypt_options, 1, -1, "csfle decrypt -t customers --backup keys.jsonl record.bin", decrypt,
};
