/** csfle keys report, backup, verify-backup: all keys of a registry at once. Material is written wrapped, never in clear. */
#include "client/config/config.h"
#include "client/deks/wrapper.h"
#include "core/base/alloc.h"
#include "core/base/world.h"
#include "core/crypt/material.h"
#include "core/model/backup.h"
#include "tools/common/report.h"
#include "tools/csfle/keyprint.h"
#include "tools/csfle/offline.h"
#include "tools/csfle/table.h"

#include <errno.h>

#define DAY_MS INT64_C(86400000)

static int no_memory(void) { return fail(EXIT_FAILED, "no memory for the keys"); }

/* ---- report */

/* what the report says of one data key */
typedef struct line {
  char        created[32], expires[32], version[16], age[24], days[24];
  int64_t     age_days, expiry_days, expires_ms; /* expiry 0: none */
  const char *state;
} line;

static void line_of(line *l, const keyset_kek *k, size_t i, const keyset_rules *rules)
{
  const csfle__dek *d = k->deks[i];
  int64_t           days = keyset_days(rules, d);
  char              room[32];

  *l = (line){ .age_days = days_since(d->ts), .state = "in use" };
  snprintf(l->created, sizeof l->created, "%s", time_text(d->ts, room));
  snprintf(l->version, sizeof l->version, "%d", (int)d->version);
  snprintf(l->age, sizeof l->age, "%lldd", (long long)l->age_days);
  if (!d->deleted && !k->kek->deleted && keyset_in_use(k, i) && days > 0) l->expiry_days = days;
  if (l->expiry_days) {
    l->expires_ms = (d->ts < INT64_MAX / 2 ? d->ts : INT64_MAX / 2) + l->expiry_days * DAY_MS;
    snprintf(l->days, sizeof l->days, "%lld", (long long)l->expiry_days);
  }
  snprintf(l->expires, sizeof l->expires, "%s", l->expires_ms ? time_text(l->expires_ms, room) : "-");
  if (k->kek->deleted) l->state = "KEK deleted";
  else if (d->deleted) l->state = "deleted";
  else if (!keyset_in_use(k, i)) l->state = "older version";
  else if (l->expiry_days && l->age_days >= l->expiry_days) l->state = "ROTATION OVERDUE";
  else if (days < 0) l->state = "no rule";
}

static int put_json(csfle_buf *b, const keyset_kek *k, const csfle__dek *d, const line *l)
{
  csfle_status rc = csfle__buf_puts(b, b->len ? "," : "[", NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, "{\"kekName\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, k->kek->name, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ",\"kmsType\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, k->kek->kms_type, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ",\"kmsKeyId\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, k->kek->kms_key_id, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"shared\":%s", k->kek->shared ? "true" : "false");
  if (rc == CSFLE_OK && d) {
    rc = csfle__buf_puts(b, ",\"subject\":", NULL);
    if (rc == CSFLE_OK) rc = csfle__json_put_string(b, d->subject, false, NULL);
    if (rc == CSFLE_OK)
      rc = csfle__buf_printf(b, NULL, ",\"algorithm\":\"%s\",\"version\":%d,\"created\":%lld,\"ageDays\":%lld", csfle__algorithm_name(d->algorithm),
                             (int)d->version, (long long)d->ts, (long long)l->age_days);
    if (rc == CSFLE_OK && l->expiry_days)
      rc = csfle__buf_printf(b, NULL, ",\"expiryDays\":%lld,\"expires\":%lld", (long long)l->expiry_days, (long long)l->expires_ms);
  }
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"state\":\"%s\"}", l->state);
  return rc == CSFLE_OK ? 0 : no_memory();
}

static int put_row(table *t, const args *a, const keyset_kek *k, const csfle__dek *d, const line *l)
{
  csfle__bytes dash = CSFLE__LIT("-"), none = CSFLE__LIT("");
  if (strcmp(a->output ? a->output : "", "csv") == 0)
    return table_row(t, (csfle__bytes[]){ k->kek->name, k->kek->kms_type, k->kek->kms_key_id, csfle__str(k->kek->shared ? "true" : "false"), d ? d->subject : none,
                                          d ? csfle__str(csfle__algorithm_name(d->algorithm)) : none, csfle__str(l->version), csfle__str(d ? l->created : ""),
                                          csfle__view(l->age, strcspn(l->age, "d")), csfle__str(l->days), csfle__str(l->expires_ms ? l->expires : ""), csfle__str(l->state) });
  return table_row(t, (csfle__bytes[]){ k->kek->name, k->kek->kms_type, d ? d->subject : dash, d ? csfle__str(csfle__algorithm_name(d->algorithm)) : dash,
                                        csfle__str(d ? l->version : "-"), csfle__str(d ? l->created : "-"), csfle__str(d ? l->age : "-"),
                                        csfle__str(d ? l->expires : "-"), csfle__str(l->state) });
}

static int report_keys(args *a)
{
  static const csfle__bytes head[] = { CSFLE__LIT("KEK"), CSFLE__LIT("KMS"), CSFLE__LIT("SUBJECT"), CSFLE__LIT("ALGORITHM"), CSFLE__LIT("VERSION"), CSFLE__LIT("CREATED"),
                                       CSFLE__LIT("AGE"), CSFLE__LIT("EXPIRES"), CSFLE__LIT("STATE") },
                            csv_head[] = { CSFLE__LIT("kek"), CSFLE__LIT("kms_type"), CSFLE__LIT("kms_key_id"), CSFLE__LIT("shared"), CSFLE__LIT("subject"),
                                           CSFLE__LIT("algorithm"), CSFLE__LIT("version"), CSFLE__LIT("created"), CSFLE__LIT("age_days"), CSFLE__LIT("expiry_days"),
                                           CSFLE__LIT("expires"), CSFLE__LIT("state") };
  bool         csv = strcmp(a->output ? a->output : "", "csv") == 0, json = args_want_json(a);
  registry     r = { 0 };
  keyset       keys = { 0 };
  keyset_rules rules = { 0 };
  table        t = { .columns = csv ? 12 : 9, .right = 1u << 4 };
  csfle_buf    text;
  int          rc;

  csfle_buf_init(&text, 0, 0);
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = keyset_fetch(&keys, &r, NULL)) != 0 || (rc = keyset_rules_fetch(&rules, &r)) != 0 ||
      (rc = table_row(&t, csv ? csv_head : head)) != 0)
    goto out;
  for (size_t i = 0; i < keys.count && !rc; i++) {
    const keyset_kek *k = &keys.at[i];
    line              l = { .state = k->kek->deleted ? "KEK deleted" : "no data keys" };
    if (!k->count) rc = json ? put_json(&text, k, NULL, &l) : put_row(&t, a, k, NULL, &l);
    for (size_t d = 0; d < k->count && !rc; d++) {
      line_of(&l, k, d, &rules);
      rc = json ? put_json(&text, k, k->deks[d], &l) : put_row(&t, a, k, k->deks[d], &l);
    }
  }
  if (rc) goto out;
  if (json) printf("%.*s]\n", CSFLE__FMT(text.len ? csfle__buf_view(&text) : CSFLE__LIT("[")));
  else if (csv) table_print_csv(&t);
  else table_print(&t);
out:
  csfle_buf_free(&text);
  table_free(&t);
  keyset_free(&keys);
  keyset_rules_free(&rules);
  registry_close(&r);
  return rc;
}

/* ---- backup */

/* a registered schema version */
typedef struct saved {
  csfle__schema_info *info;
  char               *text;
  bool                wanted;
} saved;

typedef struct backup {
  csfle_buf out;
  saved    *at;
  size_t    count, cap;
  bool      secrets; /* a property was left out */
} backup;

static int keep_schema(void *opaque, yyjson_val *schema)
{
  backup     *s = opaque;
  csfle_buf   text;
  csfle_error err = CSFLE_ERROR_INIT;
  int         rc = 0;

  if (csfle__grow((void **)&s->at, &s->cap, s->count + 1, sizeof *s->at) != 0) return no_memory();
  saved *one = &s->at[s->count];
  *one = (saved){ 0 };
  csfle_buf_init(&text, 0, 0);
  if (csfle__schema_info_parse(&one->info, schema, &err) != CSFLE_OK) rc = fail_with(&err, "the registry's answer");
  else if (csfle__json_put_value(&text, schema, NULL) != CSFLE_OK || (one->text = csfle__dup(text.ptr, text.len)) == NULL) rc = no_memory();
  if (one->info) s->count++;
  csfle_buf_free(&text);
  return rc;
}

static bool encrypts(const csfle__rules *rules)
{
  for (size_t i = 0; i < rules->count; i++)
    if (csfle__eq_nocase(rules->at[i].type, CSFLE__LIT("ENCRYPT")) || csfle__eq_nocase(rules->at[i].type, CSFLE__LIT("ENCRYPT_PAYLOAD"))) return true;
  return false;
}

/* the schemas with rules that encrypt, the other versions of their subjects, and what all those refer to */
static int choose(backup *s)
{
  csfle_buf  name;
  csfle__map subjects = CSFLE__MAP_INIT;
  int        rc = 0;

  csfle_buf_init(&name, 0, 0);
  for (size_t i = 0; i < s->count && !rc; i++) {
    const csfle__rule_set *rules = s->at[i].info->rule_set;
    if (rules && (encrypts(&rules->domain) || encrypts(&rules->encoding)) && csfle__map_put(&subjects, s->at[i].info->subject, s, NULL) != 0) rc = no_memory();
  }
  /* all versions: what was written before there was a rule is read by them too */
  for (size_t i = 0; i < s->count && !rc; i++) s->at[i].wanted = csfle__map_get(&subjects, s->at[i].info->subject) != NULL;
  for (bool more = true; more && !rc;) {
    more = false;
    for (size_t i = 0; i < s->count && !rc; i++)
      for (size_t k = 0; s->at[i].wanted && k < s->at[i].info->reference_count; k++) {
        const csfle__schema_ref *ref = &s->at[i].info->references[k];
        csfle__subject           whole = csfle__subject_parse(ref->subject), own = csfle__subject_parse(s->at[i].info->subject);
        if (csfle__eq_str(whole.context, ".")) whole.context = own.context; /* names are seen from where they stand */
        csfle__buf_clear(&name);
        if (csfle__subject_put(&name, whole, NULL) != CSFLE_OK) rc = no_memory();
        for (size_t j = 0; j < s->count && !rc; j++)
          if (!s->at[j].wanted && s->at[j].info->version == ref->version && csfle__eq(s->at[j].info->subject, csfle__buf_view(&name))) s->at[j].wanted = more = true;
      }
  }
  csfle__map_free(&subjects, NULL);
  csfle_buf_free(&name);
  return rc;
}

static csfle_status put_keys(backup *s, const keyset *keys, size_t counts[CSFLE__BACKUP_KINDS])
{
  csfle_buf    json;
  csfle_status rc = CSFLE_OK;
  csfle_buf_init(&json, 0, 0);
  for (size_t i = 0; i < keys->count && rc == CSFLE_OK; i++) {
    const keyset_kek *k = &keys->at[i];
    for (size_t p = 0; p < k->kek->kms_props.count; p++) s->secrets |= kms_prop_secret(k->kek->kms_props.at[p].name);
    csfle__buf_clear(&json);
    rc = kek_put(&json, k->kek);
    if (rc == CSFLE_OK) rc = csfle__buf_putc(&json, '}', NULL);
    if (rc == CSFLE_OK) rc = csfle__backup_add(&s->out, CSFLE__BACKUP_KEK, csfle__buf_view(&json), NULL);
    counts[CSFLE__BACKUP_KEK]++;
    for (size_t d = 0; d < k->count && rc == CSFLE_OK; d++) {
      csfle__buf_clear(&json);
      rc = dek_put(&json, k->deks[d]);
      if (rc == CSFLE_OK) rc = csfle__buf_putc(&json, '}', NULL);
      if (rc == CSFLE_OK) rc = csfle__backup_add(&s->out, CSFLE__BACKUP_DEK, csfle__buf_view(&json), NULL);
      counts[CSFLE__BACKUP_DEK]++;
    }
  }
  csfle_buf_free(&json);
  return rc;
}

/* the registry's address without user and password */
static csfle_status put_address(csfle_buf *b, csfle__bytes url)
{
  const uint8_t *at = url.len ? memchr(url.ptr, '@', url.len) : NULL, *comma = url.len ? memchr(url.ptr, ',', url.len) : NULL;
  if (comma) url.len = (size_t)(comma - url.ptr);
  if (!at || (comma && at > comma)) return csfle__buf_put(b, url.ptr, url.len, NULL);
  csfle_status rc = csfle__buf_puts(b, csfle__starts(url, CSFLE__LIT("https")) ? "https://" : "http://", NULL);
  return rc == CSFLE_OK ? csfle__buf_put(b, at + 1, url.len - (size_t)(at + 1 - url.ptr), NULL) : rc;
}

static int keys_backup(args *a)
{
  registry  r = { 0 };
  keyset    keys = { 0 };
  backup    s = { 0 };
  csfle_buf address;
  size_t    counts[CSFLE__BACKUP_KINDS] = { 0 };
  int       rc;

  csfle_buf_init(&s.out, 0, 0);
  csfle_buf_init(&address, 0, 0);
  if ((rc = registry_open(&r, &a->props)) != 0 || (rc = schemas_each(&r, keep_schema, &s)) != 0 || (rc = choose(&s)) != 0 || (rc = keyset_fetch(&keys, &r, NULL)) != 0)
    goto out;
  if (stop_wanted()) {
    rc = fail(EXIT_FAILED, "stopped; nothing was written");
    goto out;
  }
  csfle_status st = put_address(&address, csfle__str(csfle__config_text(r.config, "schema.registry.url")));
  if (st == CSFLE_OK) st = csfle__backup_begin(&s.out, csfle__system_clock.wall_ms(csfle__system_clock.opaque), csfle__buf_view(&address), NULL);
  if (st == CSFLE_OK) st = put_keys(&s, &keys, counts);
  for (size_t i = 0; i < s.count && st == CSFLE_OK; i++) {
    if (!s.at[i].wanted) continue;
    st = csfle__backup_add(&s.out, CSFLE__BACKUP_SCHEMA, csfle__str(s.at[i].text), NULL);
    counts[CSFLE__BACKUP_SCHEMA]++;
  }
  if (st == CSFLE_OK) st = csfle__backup_end(&s.out, counts, NULL);
  if (st != CSFLE_OK) rc = no_memory();
  else rc = offline_write(a->operands[0], csfle__buf_view(&s.out));
  if (!rc && s.secrets) note("properties of KEKs that may hold secrets were left out of it");
  if (!rc)
    fprintf(strcmp(a->operands[0], "-") == 0 ? stderr : stdout, "%zu KEKs, %zu data keys, %zu schemas saved\n", counts[CSFLE__BACKUP_KEK], counts[CSFLE__BACKUP_DEK],
            counts[CSFLE__BACKUP_SCHEMA]);
out:
  for (size_t i = 0; i < s.count; i++) {
    csfle__schema_info_free(s.at[i].info);
    csfle__free(s.at[i].text);
  }
  csfle__free(s.at);
  csfle_buf_free(&s.out);
  csfle_buf_free(&address);
  keyset_free(&keys);
  registry_close(&r);
  return rc;
}

/* ---- verify-backup */

static csfle_status take(void *opaque, csfle__backup_kind kind, csfle__bytes text, yyjson_val *obj, csfle_error *err)
{
  keyset     *s = opaque;
  csfle__dek *d = NULL;
  (void)text;
  if (kind == CSFLE__BACKUP_KEK) {
    if (csfle__grow((void **)&s->at, &s->cap, s->count + 1, sizeof *s->at) != 0) return csfle__nomem(err);
    s->at[s->count] = (keyset_kek){ 0 };
    csfle_status rc = csfle__kek_parse(&s->at[s->count].kek, obj, err);
    s->count += rc == CSFLE_OK;
    return rc;
  }
  if (kind != CSFLE__BACKUP_DEK) return CSFLE_OK;
  csfle_status rc = csfle__dek_parse(&d, obj, err);
  if (rc != CSFLE_OK) return rc;
  for (size_t i = s->count; i-- > 0;) { /* the last one, as a rule */
    keyset_kek *k = &s->at[i];
    if (!csfle__eq(k->kek->name, d->kek_name)) continue;
    if (csfle__grow((void **)&k->deks, &k->cap, k->count + 1, sizeof *k->deks) == 0) {
      k->deks[k->count++] = d;
      return CSFLE_OK;
    }
    csfle__dek_free(d);
    return csfle__nomem(err);
  }
  rc = csfle__fail(err, CSFLE_E_CONFIG, "a DEK of KEK '%.*s', which is not there", CSFLE__FMT(d->kek_name));
  csfle__dek_free(d);
  return rc;
}

typedef struct verified {
  size_t    deks, good, bad;
  csfle_buf failures; /* JSON */
} verified;

static int tell_failure(verified *v, const csfle__dek *d, const csfle_error *err)
{
  csfle_buf *b = &v->failures;
  v->bad++;
  note("KEK %.*s, subject %.*s, %s, version %d: %s", CSFLE__FMT(d->kek_name), CSFLE__FMT(d->subject), csfle__algorithm_name(d->algorithm), (int)d->version, err->msg);
  csfle_status rc = csfle__buf_puts(b, b->len ? ",{\"kekName\":" : "{\"kekName\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, d->kek_name, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ",\"subject\":", NULL);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, d->subject, false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"algorithm\":\"%s\",\"version\":%d,\"error\":", csfle__algorithm_name(d->algorithm), (int)d->version);
  if (rc == CSFLE_OK) rc = csfle__json_put_string(b, csfle__str(err->msg), false, NULL);
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '}', NULL);
  return rc == CSFLE_OK ? 0 : no_memory();
}

/* each data key of one KEK: the KMS unwraps it, and it is a key of its algorithm */
static int verify_kek(csfle_client *cl, const keyset_kek *k, verified *v)
{
  csfle__wrapper *w = NULL;
  csfle_error     err = CSFLE_ERROR_INIT;
  int             rc = 0;

  if (csfle__wrapper_open(&w, cl, k->kek, true, NULL, &err) != CSFLE_OK) return fail_with(&err, NULL);
  for (size_t i = 0; i < k->count && !rc && !stop_wanted(); i++) {
    csfle__secret material = CSFLE__SECRET_INIT, raw = CSFLE__SECRET_INIT;
    csfle_status  st = csfle__wrapper_unwrap(w, k->deks[i]->encrypted_key_material, &material, &err);
    if (st == CSFLE_OK) st = csfle__dek_decode(k->deks[i]->algorithm, csfle__secret_view(&material), &raw, &err);
    csfle__secret_wipe(&material), csfle__secret_wipe(&raw);
    v->deks++;
    if (st == CSFLE_OK) v->good++;
    else rc = tell_failure(v, k->deks[i], &err);
  }
  csfle__wrapper_close(w);
  return rc;
}

static int verify_backup(args *a)
{
  keyset        keys = { 0 };
  verified      v = { 0 };
  csfle_client *cl = NULL;
  csfle_error   err = CSFLE_ERROR_INIT;
  char         *text = NULL;
  size_t        len = 0;
  int           rc;
  csfle_config *config = props_config(&a->props, NULL, &rc);

  csfle_buf_init(&v.failures, 0, 0);
  if (!config || (rc = read_file(a->operands[0], BACKUP_MAX_BYTES, &text, &len)) != 0) goto out;
  if (csfle__backup_read(csfle__view(text, len), take, &keys, &err) != CSFLE_OK) {
    rc = fail(EXIT_FAILED, "%s: %s", a->operands[0], err.msg);
    goto out;
  }
  if ((cl = csfle_client_open(config, &err)) == NULL) {
    rc = fail_with(&err, NULL);
    goto out;
  }
  for (size_t i = 0; i < keys.count && !rc && !stop_wanted(); i++) rc = verify_kek(cl, &keys.at[i], &v);
  if (!rc && args_want_json(a))
    printf("{\"keks\":%zu,\"deks\":%zu,\"unwrapped\":%zu,\"failed\":[%.*s]}\n", keys.count, v.deks, v.good, CSFLE__FMT(csfle__buf_view(&v.failures)));
  else if (!rc) printf("%zu KEKs, %zu data keys: %zu unwrapped, %zu failed\n", keys.count, v.deks, v.good, v.bad);
  if (!rc && stop_wanted()) rc = fail(EXIT_FAILED, "stopped before the end");
  if (!rc && v.bad) rc = EXIT_PARTLY;
out:
  csfle_client_close(cl);
  csfle_config_free(config);
  csfle_buf_free(&v.failures);
  keyset_free(&keys);
  if (text) csfle__free_secret(text, len + 1);
  return rc;
}

/* ---- tables of options */

static const option_row report_options[] = {
  { 'o', "output", OPTION_REPORT, OPTION_AT(output), "FORMAT", "table (the default), csv or json" },
  OPTIONS_COMMON,
};
const command command_keys_report = {
  "keys report", "[options]", "every data key: its age, its expiry, its state",
  "EXPIRES is when the rule that producers write by now (encrypt.dek.expiry.days) wants a successor. STATE: in use; ROTATION OVERDUE;\n"
  "older version; no rule: no schema that producers write by names it; deleted; KEK deleted; no data keys.",
  report_options, 0, 0, "csfle keys report", report_keys,
};

static const option_row backup_options[] = { OPTIONS_COMMON };
const command command_keys_backup = {
  "keys backup", "FILE [options]", "save all keys, wrapped, and the schemas that need them",
  "KEKs, data keys and schemas with rules that encrypt, soft-deleted ones too, as JSON lines with a digest. Keys are in it as the KMS\n"
  "wrapped them: the file is worth nothing without the KMS. With it and the KMS, records are read without any registry: --backup of\n"
  "consume and decrypt.",
  backup_options, 1, 1, "csfle keys backup keys.jsonl", keys_backup,
};

static const option_row verify_options[] = { OPTION_OUTPUT, OPTIONS_COMMON };
const command command_keys_verify_backup = {
  "keys verify-backup", "FILE [options]", "unwrap every data key of a backup once",
  "The registry is not asked. What the KMS does not unwrap, or what is then no key, is told by its names; exit code 7 when there is any.",
  verify_options, 1, 1, "csfle keys verify-backup keys.jsonl", verify_backup,
};
