/**
 * csfle inspect: one record explained, without any key: its framing, the schema it names, the rules, and of every field
 * whether it is ciphertext or plain. Values are not shown unless asked for.
 */
#include "client/config/config.h"
#include "client/wire/wire.h"
#include "core/base/alloc.h"
#include "core/base/base64.h"
#include "core/model/backup.h"
#include "core/schema/plan.h"
#include "core/schema/text.h"
#include "tools/csfle/format.h"
#include "tools/csfle/http.h"
#include "tools/csfle/kafka.h"
#include "tools/csfle/offline.h"
#include "tools/common/report.h"

#define MAX_RECORD_BYTES (64u << 20)

typedef enum field_state { FIELD_PLAIN, FIELD_CIPHERTEXT, FIELD_EXPOSED, FIELD_ABSENT } field_state;

/** What is known of the record; filled from top to bottom. */
typedef struct inspection {
  const args         *a;
  csfle_buf           record;   /* the bytes of the value */
  bool                has_header;
  uint8_t             header[CSFLE__WIRE_V1_BYTES];
  size_t              header_len;
  csfle__frame        frame;
  csfle__bytes        value;    /* the payload as its schema has it: top-level bytes with their length [SERDE-18] */
  csfle_buf           lengthed;
  csfle__schema_info *info;
  char                subjects[512]; /* "customers-value version 1, ..." */
  csfle__schema      *schema;
  csfle__selection    selection; /* rule 0 everything, then the ENCRYPT rules, then a rule for each tag */
  csfle__selection_rule rules[CSFLE__PLAN_MAX_RULES];
  const csfle__rule  *encrypts[CSFLE__PLAN_MAX_RULES]; /* parallel to rules from 1 on */
  size_t              encrypt_count;
  csfle__bytes        tags[CSFLE__PLAN_MAX_RULES];
  size_t              tag_count;
  csfle__plan        *plan;
  csfle__walk         walk;
  size_t              exposed;
} inspection;

typedef struct field {
  const csfle__leaf *leaf;
  const csfle__rule *rule; /* that takes it, or NULL */
  field_state        state;
  size_t             bytes;       /* of the content as it lies there */
  int64_t            key_version; /* 0: the value does not say */
} field;

/* ---- the record */

static const void *header_from_record(void *opaque, const char *name, size_t *n)
{
  const inspection *in = opaque;
  *n = 0;
  if (!in->has_header || strcmp(name, "__value_schema_id") != 0) return NULL;
  *n = in->header_len;
  return in->header;
}

static int take_message(inspection *in, const rd_kafka_message_t *m)
{
  rd_kafka_headers_t *rh = NULL;
  const void         *value;
  size_t              len = 0;

  if (!m->payload) return fail(EXIT_FAILED, "%s [%d] at offset %lld is a tombstone: it has no value", in->a->topic, (int)m->partition, (long long)m->offset);
  if (rd_kafka_message_headers(m, &rh) == RD_KAFKA_RESP_ERR_NO_ERROR &&
      rd_kafka_header_get_last(rh, "__value_schema_id", &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR && value && len) {
    if (len > sizeof in->header) return fail(EXIT_FAILED, "the header __value_schema_id has %zu bytes, expected %d or %d", len, CSFLE__WIRE_V0_BYTES, CSFLE__WIRE_V1_BYTES);
    memcpy(in->header, value, len);
    in->header_len = len;
    in->has_header = true;
  }
  return csfle__buf_put(&in->record, m->payload, m->len, NULL) == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory for the record");
}

static int wait_message(inspection *in, kafka *k, int32_t partition, int64_t offset)
{
  int64_t until = now_ms() + KAFKA_WAIT_MS;
  while (now_ms() < until && !stop_wanted()) {
    rd_kafka_message_t *m  = rd_kafka_consumer_poll(k->rk, 200);
    int                 rc = -1;
    if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
      rc = fail(EXIT_MISSING, "%s [%d] has no record at offset %lld", in->a->topic, (int)partition, (long long)offset);
    else if (m && m->err && kafka_exit_code(m->err) != EXIT_UNAVAILABLE)
      rc = fail(kafka_exit_code(m->err), "%s: %s", in->a->topic, rd_kafka_message_errstr(m));
    else if (m && !m->err && m->offset != offset)
      rc = fail(EXIT_MISSING, "%s [%d] has no record at offset %lld; the next is at %lld", in->a->topic, (int)partition, (long long)offset, (long long)m->offset);
    else if (m && !m->err)
      rc = take_message(in, m);
    if (m) rd_kafka_message_destroy(m);
    if (rc >= 0) return rc;
    if (kafka_lost(k)) return kafka_fail_lost(k);
  }
  return fail(EXIT_UNAVAILABLE, "%s [%d]: the broker sent no record within 10 s; try again", in->a->topic, (int)partition);
}

static int read_from_kafka(inspection *in)
{
  const args                      *a    = in->a;
  const char                      *from = a->offset ? a->offset : "-1";
  int32_t                          partition = a->partition < 0 ? 0 : (int32_t)a->partition;
  int64_t                          offset, wanted;
  kafka                            k;
  csfle_config                    *config = NULL;
  rd_kafka_conf_t                 *conf;
  rd_kafka_topic_partition_list_t *list;
  int32_t                         *partitions = NULL;
  size_t                           count = 0, i = 0;
  int                              rc;

  if (!a->topic) return fail(EXIT_USAGE, "-t TOPIC is missing");
  if (!kafka_offset_valid(from) || strcmp(from, "stored") == 0 || strcmp(from, "end") == 0)
    return fail(EXIT_USAGE, "-o %s: one record is named by beginning, N, or -N counted from the end", from);
  conf = kafka_conf(&k, a, &config, &rc);
  csfle_config_free(config);
  if (!conf) return rc;
  rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
  if ((rc = props_kafka_default(&a->props, conf, "group.id", "csfle-inspect")) != 0 ||
      (rc = props_kafka_default(&a->props, conf, "enable.auto.commit", "false")) != 0 ||
      (rc = props_kafka_default(&a->props, conf, "auto.offset.reset", "earliest")) != 0) {
    rd_kafka_conf_destroy(conf);
    return rc;
  }
  if ((rc = kafka_open(&k, RD_KAFKA_CONSUMER, conf)) != 0) return rc;
  if ((rc = kafka_reach(&k, a->topic, &partitions, &count)) == 0) {
    while (i < count && partitions[i] != partition) i++;
    if (i == count) rc = fail(EXIT_MISSING, "topic '%s' has no partition %d; it has %zu", a->topic, (int)partition, count);
  }
  if (!rc && (rc = kafka_offset(&k, a->topic, partition, from, &offset)) == 0) {
    if (csfle__parse_i64(csfle__str(from), &wanted) && from[0] != '-' && wanted != offset)
      rc = fail(EXIT_MISSING, "%s [%d] has no record at offset %lld", a->topic, (int)partition, (long long)wanted);
  }
  if (!rc) {
    rd_kafka_poll_set_consumer(k.rk);
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, a->topic, partition)->offset = offset;
    rd_kafka_assign(k.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rc = wait_message(in, &k, partition, offset);
    rd_kafka_consumer_close(k.rk);
  }
  csfle__free(partitions);
  rd_kafka_destroy(k.rk);
  return rc;
}

static int read_record(inspection *in)
{
  char  *text;
  size_t len;
  int    rc;

  if (in->a->brokers && in->a->operand_count) return fail(EXIT_USAGE, "either -b BROKERS -t TOPIC or a FILE, not both");
  if (in->a->brokers) return read_from_kafka(in);
  if (in->a->operand_count == 0) return fail(EXIT_USAGE, "which record? -b BROKERS -t TOPIC -p N -o OFFSET, or a FILE with its value ('-': standard input)");
  if ((rc = read_file(in->a->operands[0], MAX_RECORD_BYTES, &text, &len)) != 0) return rc;
  if (csfle__buf_put(&in->record, text, len, NULL) != CSFLE_OK) rc = fail(EXIT_FAILED, "no memory for the record");
  csfle__free_secret(text, len + 1);
  return rc;
}

/* ---- its schema */

static csfle_status take_saved(void *opaque, csfle__backup_kind kind, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  inspection *in = opaque;
  uint8_t     guid[16];
  int64_t     id, version;
  (void)text;
  if (kind != CSFLE__BACKUP_SCHEMA) return CSFLE_OK;
  if (in->frame.by_guid && (!csfle__guid_parse(csfle__json_member_text(obj, "guid"), guid) || memcmp(guid, in->frame.guid, 16) != 0)) return CSFLE_OK;
  if (!in->frame.by_guid && (!csfle__json_i64(csfle__json_member(obj, "id"), &id) || id != in->frame.id)) return CSFLE_OK;
  size_t       at = strlen(in->subjects);
  csfle__bytes subject = csfle__json_member_text(obj, "subject");
  if (csfle__json_i64(csfle__json_member(obj, "version"), &version))
    snprintf(in->subjects + at, sizeof in->subjects - at, "%s%.*s version %lld", at ? ", " : "", CSFLE__FMT(subject), (long long)version);
  return in->info ? CSFLE_OK : csfle__schema_info_parse(&in->info, obj, err);
}

static int saved_schema(inspection *in)
{
  csfle_error err = CSFLE_ERROR_INIT;
  char       *text;
  size_t      len;
  int         rc = read_file(in->a->backup, BACKUP_MAX_BYTES, &text, &len);

  if (rc) return rc;
  if (csfle__backup_read(csfle__view(text, len), take_saved, in, &err) != CSFLE_OK) rc = fail(EXIT_FAILED, "%s: %s", in->a->backup, err.msg);
  else if (!in->info) rc = fail(EXIT_MISSING, "%s does not have the schema of the record", in->a->backup);
  csfle__free_secret(text, len + 1);
  return rc;
}

static int fetch_schema(inspection *in)
{
  registry    r = { 0 };
  csfle_buf   path;
  csfle_error err = CSFLE_ERROR_INIT;
  char        name[40];
  yyjson_val *answer, *item;
  size_t      i, n;
  int64_t     version;
  int         rc;

  csfle_buf_init(&path, 0, 0);
  if (in->frame.by_guid) csfle__guid_text(in->frame.guid, name);
  else snprintf(name, sizeof name, "%d", (int)in->frame.id);
  if ((rc = registry_open(&r, &in->a->props)) != 0) goto out;
  if ((rc = registry_path(&path, in->frame.by_guid ? "/schemas/guids/%s" : "/schemas/ids/%s", name)) != 0 ||
      (rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, false, &answer)) != 0)
    goto out;
  if (csfle__schema_info_parse(&in->info, answer, &err) != CSFLE_OK) {
    rc = fail_with(&err, "the registry's answer");
    goto out;
  }
  if (in->frame.by_guid) goto out; /* where it is registered is asked by id */
  if ((rc = registry_path(&path, "/schemas/ids/%s/versions", name)) != 0) goto out;
  rc = registry_call(&r, "GET", csfle__buf_cstr(&path), CSFLE__NONE, true, &answer);
  if (rc == EXIT_MISSING) rc = 0;
  else if (!rc) {
    yyjson_arr_foreach(answer, i, n, item)
    {
      size_t       at      = strlen(in->subjects);
      csfle__bytes subject = csfle__json_member_text(item, "subject");
      if (csfle__json_i64(csfle__json_member(item, "version"), &version))
        snprintf(in->subjects + at, sizeof in->subjects - at, "%s%.*s version %lld", at ? ", " : "", CSFLE__FMT(subject), (long long)version);
    }
  }
out:
  csfle_buf_free(&path);
  registry_close(&r);
  return rc;
}

/* ---- its fields */

static void add_tag(void *opaque, csfle__bytes path, csfle__bytes tag)
{
  inspection *in = opaque;
  (void)path;
  for (size_t i = 0; i < in->tag_count; i++)
    if (csfle__eq(in->tags[i], tag)) return;
  if (in->tag_count < CSFLE__PLAN_MAX_RULES) in->tags[in->tag_count++] = tag;
}

static int find_value(inspection *in)
{
  yyjson_doc *doc  = NULL;
  bool        bare = false;
  in->value = in->frame.payload;
  if (csfle__json_parse_comments(&doc, in->info->schema, NULL) == CSFLE_OK) {
    yyjson_val  *root = yyjson_doc_get_root(doc);
    csfle__bytes type = yyjson_is_obj(root) ? csfle__json_member_text(root, "type") : csfle__json_text(root);
    bare              = csfle__eq_str(type, "bytes");
    yyjson_doc_free(doc);
  }
  if (!bare) return 0;
  csfle_status rc = csfle__buf_reserve(&in->lengthed, in->value.len + 10, NULL);
  for (uint64_t n = (uint64_t)in->value.len << 1; rc == CSFLE_OK; n >>= 7) {
    rc = csfle__buf_putc(&in->lengthed, (uint8_t)(n < 0x80 ? n : n | 0x80), NULL);
    if (n < 0x80) break;
  }
  if (rc == CSFLE_OK) rc = csfle__buf_put(&in->lengthed, in->value.ptr, in->value.len, NULL);
  if (rc != CSFLE_OK) return fail(EXIT_FAILED, "no memory for the record");
  in->value = csfle__buf_view(&in->lengthed);
  return 0;
}

static int compile(inspection *in)
{
  csfle_error         err      = CSFLE_ERROR_INIT;
  csfle__metadata    *meta     = in->info->metadata;
  csfle__rules       *domain   = in->info->rule_set ? &in->info->rule_set->domain : NULL;
  csfle__tag_pattern *patterns = NULL;
  size_t              count    = 1; /* rules[0] has no tags: every leaf */
  int                 rc       = 0;

  if (in->info->reference_count) return fail(EXIT_FAILED, "the schema refers to others; inspect does not follow references yet");
  if (csfle__schema_parse(&in->schema, in->info->schema_type, in->info->schema, NULL, 0, 0, &err) != CSFLE_OK) return fail_with(&err, "schema");
  for (size_t i = 0; domain && i < domain->count && count < CSFLE__PLAN_MAX_RULES; i++) {
    const csfle__rule *rule = &domain->at[i];
    if (!csfle__eq_str(rule->type, "ENCRYPT") || rule->disabled || rule->mode == CSFLE__READ) continue;
    in->encrypts[count] = rule;
    in->rules[count++]  = (csfle__selection_rule){ rule->tags.at, rule->tags.count };
  }
  in->encrypt_count = count - 1;
  if (csfle__schema_format(in->schema)->inline_tags) csfle__schema_format(in->schema)->inline_tags(in->schema, add_tag, in);
  if (meta && meta->tag_count && (patterns = csfle__calloc(meta->tag_count, sizeof *patterns)) == NULL) return fail(EXIT_FAILED, "no memory for tags");
  for (size_t i = 0; meta && i < meta->tag_count; i++) {
    patterns[i] = (csfle__tag_pattern){ meta->tags[i].pattern, meta->tags[i].tags.at, meta->tags[i].tags.count };
    for (size_t k = 0; k < meta->tags[i].tags.count; k++) add_tag(in, CSFLE__NONE, meta->tags[i].tags.at[k]);
  }
  if (in->tag_count > CSFLE__PLAN_MAX_RULES - count) in->tag_count = CSFLE__PLAN_MAX_RULES - count;
  for (size_t i = 0; i < in->tag_count; i++) in->rules[count++] = (csfle__selection_rule){ &in->tags[i], 1 };
  in->selection = (csfle__selection){ .rules = in->rules, .rule_count = count, .patterns = patterns, .pattern_count = meta ? meta->tag_count : 0 };
  if (csfle__plan_compile(&in->plan, in->schema, &in->selection, &err) != CSFLE_OK) rc = fail_with(&err, "schema");
  else if ((rc = find_value(in)) == 0 && csfle__plan_walk(in->plan, in->value, &in->walk, &err) != CSFLE_OK)
    rc = fail(EXIT_FAILED, "byte %llu of the payload: %s; the record was not written with this schema", (unsigned long long)err.offset, err.msg);
  csfle__free(patterns);
  in->selection.patterns = NULL;
  return rc;
}

static int64_t expiry_days(const csfle__rule *rule)
{
  int64_t days = 0;
  csfle__parse_i64(csfle__pairs_get(&rule->params, "encrypt.dek.expiry.days"), &days);
  return days;
}

static csfle__algorithm algorithm_of(const csfle__rule *rule)
{
  csfle__algorithm a = CSFLE__AES256_GCM;
  csfle__algorithm_parse(csfle__pairs_get(&rule->params, "encrypt.dek.algorithm"), &a);
  return a;
}

/* whether the content can be what `rule` makes: its form is all that can be told without the key */
static bool looks_sealed(const csfle__rule *rule, csfle__leaf_type type, csfle__bytes content, int64_t *key_version)
{
  uint8_t *raw  = NULL;
  size_t   len  = content.len, least = csfle__algorithm_overhead(algorithm_of(rule)) + (expiry_days(rule) > 0 ? 5 : 0);
  bool     good = true;

  if (type == CSFLE__LEAF_STRING) {
    raw  = csfle__alloc(content.len / 4 * 3 + 3);
    good = raw && content.len % 4 == 0 && csfle__base64_decode(content, raw, &len);
    if (good) content = csfle__view(raw, len);
  }
  good = good && len >= least;
  if (good && expiry_days(rule) > 0) {
    uint32_t version = csfle__get_u32be(content.ptr + 1);
    good = content.ptr[0] == 0 && version >= 1 && version <= INT32_MAX;
    if (good) *key_version = version;
  }
  csfle__free(raw);
  return good;
}

/* whether the record holds any value of a field with the name of leaf i; one that comes earlier has told of it too */
static bool has_value(const inspection *in, size_t i)
{
  csfle__bytes name = in->plan->leaves[i].name;
  for (size_t k = 0; k < in->walk.count; k++)
    if (in->walk.spans[k].kind == 0 && csfle__eq(in->plan->leaves[in->walk.spans[k].leaf].name, name)) return true;
  for (size_t k = 0; k < i; k++)
    if (csfle__eq(in->plan->leaves[k].name, name)) return true;
  return false;
}

/* field i: that of span i, then, behind the spans, the leaves without a value; false when there is nothing to tell */
static bool field_at(inspection *in, size_t i, field *f)
{
  const csfle__span *span;
  csfle__bytes       content;

  if (i >= in->walk.count) {
    *f = (field){ .leaf = &in->plan->leaves[i - in->walk.count], .state = FIELD_ABSENT };
    return !has_value(in, i - in->walk.count);
  }
  span    = &in->walk.spans[i];
  content = csfle__view(in->value.ptr + span->off, span->len);
  if (span->kind != 0) return false;
  *f = (field){ .leaf = &in->plan->leaves[span->leaf], .bytes = span->len };
  for (size_t k = 1; k <= in->encrypt_count && !f->rule; k++)
    if (f->leaf->rules >> k & 1) f->rule = in->encrypts[k];
  if (!f->rule) return true;
  f->state = (f->leaf->type == CSFLE__LEAF_STRING || f->leaf->type == CSFLE__LEAF_BYTES) && looks_sealed(f->rule, f->leaf->type, content, &f->key_version)
               ? FIELD_CIPHERTEXT : FIELD_EXPOSED;
  in->exposed += f->state == FIELD_EXPOSED;
  return true;
}

/* the tags of a leaf */
static size_t tags_of(const inspection *in, const csfle__leaf *leaf, csfle__bytes *tags)
{
  size_t n = 0;
  for (size_t i = 0; i < in->tag_count; i++)
    if (leaf->rules >> (1 + in->encrypt_count + i) & 1) tags[n++] = in->tags[i];
  return n;
}

/* ---- telling */

static const char *state_name(field_state s)
{
  static const char *const names[] = { "plain", "ciphertext", "exposed", "absent" };
  return names[s];
}

static csfle__bytes or_dash(csfle__bytes text) { return text.len ? text : CSFLE__LIT("-"); }

static void tell_rules(const char *kind, const csfle__rules *rules)
{
  for (size_t i = 0; i < rules->count; i++) {
    const csfle__rule *r = &rules->at[i];
    printf("%-10s %.*s: %.*s %s", i ? "" : kind, CSFLE__FMT(r->name), CSFLE__FMT(r->type), csfle__rule_mode_name(r->mode));
    for (size_t k = 0; k < r->tags.count; k++) printf("%s%.*s", k ? "," : ", tags ", CSFLE__FMT(r->tags.at[k]));
    if (csfle__starts(r->type, CSFLE__LIT("ENCRYPT"))) {
      printf(", KEK %.*s, %s", CSFLE__FMT(or_dash(csfle__pairs_get(&r->params, "encrypt.kek.name"))), csfle__algorithm_name(algorithm_of(r)));
      if (expiry_days(r) > 0) printf(", a new key every %lld days", (long long)expiry_days(r));
    }
    if (r->on_failure.len) printf(", on failure %.*s", CSFLE__FMT(r->on_failure));
    puts(r->disabled ? ", disabled" : "");
  }
}

static void tell_frame(const inspection *in)
{
  char guid[37];
  if (in->frame.by_guid) {
    csfle__guid_text(in->frame.guid, guid);
    printf("%-10s 01, schema GUID %s, in %s\n", "framing", guid, in->frame.in_header ? "header __value_schema_id" : "the first 17 bytes");
  } else {
    printf("%-10s 00, schema id %d, in %s\n", "framing", (int)in->frame.id, in->frame.in_header ? "header __value_schema_id" : "the first 5 bytes");
  }
  printf("%-10s %zu bytes of %zu\n", "payload", in->frame.payload.len, in->record.len);
}

static void tell_schema(const inspection *in)
{
  printf("%-10s %s, %.*s\n", "schema", *in->subjects ? in->subjects : "(no subject)", CSFLE__FMT(in->info->schema_type));
  if (!in->info->rule_set) printf("%-10s none\n", "rules");
  else {
    tell_rules("rules", &in->info->rule_set->domain);
    tell_rules("encoding", &in->info->rule_set->encoding);
  }
}

static void tell_fields(inspection *in)
{
  size_t wide = 5;
  field  f;
  for (size_t i = 0; i < in->plan->leaf_count; i++)
    if (in->plan->leaves[i].name.len > wide) wide = in->plan->leaves[i].name.len;
  printf("\n%-*s  %-8s %-16s %s\n", (int)wide, "FIELD", "TYPE", "TAGS", "STATE");
  for (size_t i = 0; i < in->walk.count + in->plan->leaf_count; i++) {
    csfle__bytes tags[CSFLE__PLAN_MAX_RULES];
    char         list[256] = "";
    size_t       n, at = 0;
    if (!field_at(in, i, &f)) continue;
    n = tags_of(in, f.leaf, tags);
    for (size_t k = 0; k < n && at < sizeof list; k++) at += (size_t)snprintf(list + at, sizeof list - at, "%s%.*s", k ? "," : "", CSFLE__FMT(tags[k]));
    printf("%-*.*s  %-8s %-16s ", (int)wide, CSFLE__FMT(f.leaf->name), csfle__leaf_type_name(f.leaf->type), n ? list : "-");
    switch (f.state) {
      case FIELD_ABSENT: puts("null, or nothing of it in the record"); break;
      case FIELD_PLAIN: printf("plain, %zu byte%s\n", f.bytes, f.bytes == 1 ? "" : "s"); break;
      case FIELD_EXPOSED: printf("PLAIN, %zu bytes, although rule %.*s is to encrypt it\n", f.bytes, CSFLE__FMT(f.rule->name)); break;
      case FIELD_CIPHERTEXT:
        printf("ciphertext, %zu bytes, rule %.*s", f.bytes, CSFLE__FMT(f.rule->name));
        if (f.key_version) printf(", key version %lld", (long long)f.key_version);
        putchar('\n');
        break;
    }
  }
}

static csfle_status put_name(csfle_buf *b, const char *before, csfle__bytes text)
{
  csfle_status rc = csfle__buf_puts(b, before, NULL);
  return rc == CSFLE_OK ? format_json_text(b, text) : rc;
}

static csfle_status put_fields(inspection *in, csfle_buf *b)
{
  csfle_status rc    = csfle__buf_puts(b, ",\"fields\":[", NULL);
  bool         first = true;
  field        f;
  for (size_t i = 0; i < in->walk.count + in->plan->leaf_count && rc == CSFLE_OK; i++) {
    csfle__bytes tags[CSFLE__PLAN_MAX_RULES];
    size_t       n;
    if (!field_at(in, i, &f)) continue;
    n  = tags_of(in, f.leaf, tags);
    rc = put_name(b, first ? "{\"name\":" : ",{\"name\":", f.leaf->name);
    first = false;
    if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"type\":\"%s\",\"tags\":[", csfle__leaf_type_name(f.leaf->type));
    for (size_t k = 0; k < n && rc == CSFLE_OK; k++) rc = put_name(b, k ? "," : "", tags[k]);
    if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, "],\"state\":\"%s\",\"bytes\":%zu", state_name(f.state), f.bytes);
    if (rc == CSFLE_OK && f.rule) rc = put_name(b, ",\"rule\":", f.rule->name);
    if (rc == CSFLE_OK && f.key_version) rc = csfle__buf_printf(b, NULL, ",\"key_version\":%lld", (long long)f.key_version);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '}', NULL);
  }
  return rc == CSFLE_OK ? csfle__buf_putc(b, ']', NULL) : rc;
}

static int tell_json(inspection *in, const csfle__rule *sealed, csfle__bytes value)
{
  csfle_buf    b;
  char         guid[37];
  csfle_status rc;

  csfle_buf_init(&b, 0, CSFLE_BUF_WIPE);
  csfle__guid_text(in->frame.guid, guid);
  if (in->frame.by_guid) rc = csfle__buf_printf(&b, NULL, "{\"framing\":{\"magic\":1,\"guid\":\"%s\"", guid);
  else rc = csfle__buf_printf(&b, NULL, "{\"framing\":{\"magic\":0,\"id\":%d", (int)in->frame.id);
  if (rc == CSFLE_OK)
    rc = csfle__buf_printf(&b, NULL, ",\"in\":\"%s\"},\"bytes\":%zu,\"payload_bytes\":%zu", in->frame.in_header ? "header" : "prefix", in->record.len, in->frame.payload.len);
  if (rc == CSFLE_OK) rc = put_name(&b, ",\"schema\":{\"registered\":", csfle__str(in->subjects));
  if (rc == CSFLE_OK) rc = put_name(&b, ",\"type\":", in->info->schema_type);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(&b, '}', NULL);
  if (rc == CSFLE_OK && in->info->rule_set) {
    rc = csfle__buf_puts(&b, ",\"rules\":", NULL);
    if (rc == CSFLE_OK) rc = csfle__rule_set_put(&b, in->info->rule_set, NULL);
  }
  if (rc == CSFLE_OK && sealed) rc = put_name(&b, ",\"payload_encrypted_by\":", sealed->name);
  if (rc == CSFLE_OK && !sealed) rc = put_fields(in, &b);
  if (rc == CSFLE_OK && value.ptr) {
    rc = csfle__buf_puts(&b, ",\"value\":", NULL);
    if (rc == CSFLE_OK) rc = csfle__buf_put(&b, value.ptr, value.len, NULL);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_puts(&b, "}\n", NULL);
  if (rc == CSFLE_OK) fwrite(b.ptr, 1, b.len, stdout);
  csfle_buf_free(&b);
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory to tell");
}

/* the enabled rule that encrypts the payload as a whole, or NULL */
static const csfle__rule *payload_rule(const inspection *in)
{
  const csfle__rules *encoding = in->info->rule_set ? &in->info->rule_set->encoding : NULL;
  for (size_t i = 0; encoding && i < encoding->count; i++)
    if (csfle__eq_str(encoding->at[i].type, "ENCRYPT_PAYLOAD") && !encoding->at[i].disabled && encoding->at[i].mode != CSFLE__READ) return &encoding->at[i];
  return NULL;
}

static int explain(inspection *in)
{
  csfle_headers      h   = { in, NULL, header_from_record };
  csfle_error        err = CSFLE_ERROR_INIT;
  const csfle__rule *sealed;
  csfle_buf          value;
  int                rc;

  if (in->record.len == 0 && !in->has_header) return fail(EXIT_FAILED, "the record is empty");
  if (csfle__wire_split(csfle__buf_view(&in->record), false, &h, &in->frame, &err) != CSFLE_OK)
    return fail(EXIT_FAILED, "no framing of a schema registry: %s", err.msg);
  if (!in->a->envelope) tell_frame(in);
  if ((rc = in->a->backup ? saved_schema(in) : fetch_schema(in)) != 0) return rc;
  sealed = payload_rule(in);
  if (!in->a->envelope) tell_schema(in);
  if (!sealed && (rc = compile(in)) != 0) return rc;
  csfle_buf_init(&value, 0, CSFLE_BUF_WIPE);
  if (in->a->values && !sealed && csfle__value_to_json(in->schema, in->value, 0, &value, NULL, &err) != CSFLE_OK) {
    rc = fail_with(&err, "value");
  } else if (in->a->envelope) {
    rc = tell_json(in, sealed, csfle__buf_view(&value));
  } else {
    if (sealed) printf("\nThe payload is encrypted as a whole by rule %.*s.\n", CSFLE__FMT(sealed->name));
    else tell_fields(in);
    if (value.len) printf("\n%.*s\n", CSFLE__FMT(csfle__buf_view(&value)));
    if (in->plan && in->walk.consumed < in->value.len) printf("\n%zu bytes follow the value\n", in->value.len - in->walk.consumed);
  }
  csfle_buf_free(&value);
  if (!rc && in->exposed) rc = fail(EXIT_FAILED, "%zu fields that a rule is to encrypt are plain", in->exposed);
  return rc;
}

static int inspect(args *a)
{
  inspection in = { .a = a, .walk = CSFLE__WALK_INIT };
  int        rc;

  csfle_buf_init(&in.record, 0, CSFLE_BUF_WIPE);
  csfle_buf_init(&in.lengthed, 0, CSFLE_BUF_WIPE);
  rc = read_record(&in);
  if (!rc && a->raw && fwrite(in.record.ptr, 1, in.record.len, stdout) != in.record.len) rc = fail(EXIT_FAILED, "cannot write to standard output");
  else if (!rc && !a->raw) rc = explain(&in);
  csfle__walk_free(&in.walk);
  csfle__plan_free(in.plan);
  csfle__schema_free(in.schema);
  csfle__schema_info_free(in.info);
  csfle_buf_free(&in.record);
  csfle_buf_free(&in.lengthed);
  return rc;
}

static const option_row inspect_options[] = {
  { 'b', "brokers", OPTION_TEXT, OPTION_AT(brokers), "HOSTS", "Kafka brokers, host:port with commas" },
  { 't', "topic", OPTION_TEXT, OPTION_AT(topic), "TOPIC", "the topic" },
  { 'p', "partition", OPTION_NUMBER, OPTION_AT(partition), "N", "the partition (0)" },
  { 'o', "offset", OPTION_TEXT, OPTION_AT(offset), "OFFSET", "N, beginning, or -N counted from the end (-1: the last)" },
  { 'J', "json", OPTION_FLAG, OPTION_AT(envelope), NULL, "JSON for programs" },
  { 0, "values", OPTION_FLAG, OPTION_AT(values), NULL, "show the values too, as they lie in the record" },
  OPTION_BACKUP,
  { 0, "raw", OPTION_FLAG, OPTION_AT(raw), NULL, "only write the bytes of the value, for 'csfle decrypt'" },
  { 'v', "verbose", OPTION_FLAG, OPTION_AT(verbose), NULL, "librdkafka's log" },
  OPTIONS_COMMON,
};
const command command_inspect = {
  "inspect", "(-b BROKERS -t TOPIC [-p N] [-o OFFSET] | FILE | -) [options]", "explain one record: framing, schema, rules, and what is plain",
  "Needs the registry (or a backup) but no key. FILE holds the bytes of a record's value. Ends with 1 when a field that a rule is to encrypt is plain.",
  inspect_options, 0, 1, "csfle inspect -b localhost:9092 -t customers -p 0 -o 0", inspect,
};
