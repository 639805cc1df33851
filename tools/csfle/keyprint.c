/** Showing keys. See keyprint.h. */
#include "tools/csfle/keyprint.h"

#include "core/base/alloc.h"
#include "tools/common/report.h"
#include "tools/csfle/table.h"

static csfle_status put_member(csfle_buf *b, const char *before, csfle__bytes text)
{
  csfle_status rc = csfle__buf_puts(b, before, NULL);
  return rc == CSFLE_OK ? csfle__json_put_string(b, text, false, NULL) : rc;
}

csfle_status kek_put(csfle_buf *b, const csfle__kek *k)
{
  bool         first = true;
  csfle_status rc = put_member(b, "{\"name\":", k->name);
  if (rc == CSFLE_OK) rc = put_member(b, ",\"kmsType\":", k->kms_type);
  if (rc == CSFLE_OK) rc = put_member(b, ",\"kmsKeyId\":", k->kms_key_id);
  if (rc == CSFLE_OK) rc = csfle__buf_puts(b, ",\"kmsProps\":{", NULL);
  for (size_t i = 0; i < k->kms_props.count && rc == CSFLE_OK; i++) {
    if (kms_prop_secret(k->kms_props.at[i].name)) continue;
    rc = put_member(b, first ? "" : ",", k->kms_props.at[i].name);
    if (rc == CSFLE_OK) rc = put_member(b, ":", k->kms_props.at[i].value);
    first = false;
  }
  if (rc == CSFLE_OK) rc = csfle__buf_putc(b, '}', NULL);
  if (rc == CSFLE_OK && k->doc.ptr) rc = put_member(b, ",\"doc\":", k->doc);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"shared\":%s,\"ts\":%lld,\"deleted\":%s", k->shared ? "true" : "false", (long long)k->ts, k->deleted ? "true" : "false");
  return rc;
}

csfle_status dek_put(csfle_buf *b, const csfle__dek *d)
{
  csfle_status rc = put_member(b, "{\"kekName\":", d->kek_name);
  if (rc == CSFLE_OK) rc = put_member(b, ",\"subject\":", d->subject);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"version\":%d,\"algorithm\":\"%s\"", (int)d->version, csfle__algorithm_name(d->algorithm));
  if (rc == CSFLE_OK && d->encrypted_key_material.ptr) rc = put_member(b, ",\"encryptedKeyMaterial\":", d->encrypted_key_material);
  if (rc == CSFLE_OK) rc = csfle__buf_printf(b, NULL, ",\"ts\":%lld,\"deleted\":%s", (long long)d->ts, d->deleted ? "true" : "false");
  return rc;
}

kek_state kek_state_of(const keyset_kek *k, const keyset_rules *rules)
{
  kek_state s = { .deks = k->count, .oldest_days = -1 };

  for (size_t i = 0; i < k->count; i++) {
    const csfle__dek *d = k->deks[i];
    if (i == 0 || !csfle__eq(k->deks[i - 1]->subject, d->subject)) s.subjects++;
    if (!keyset_in_use(k, i)) continue;
    int64_t age = days_since(d->ts), days = rules ? keyset_days(rules, d) : 0;
    if (age > s.oldest_days) s.oldest_days = age;
    if (days > 0 && age >= days && (!s.overdue_days || days < s.overdue_days)) s.overdue_days = days;
  }
  if (k->kek->deleted) snprintf(s.text, sizeof s.text, "deleted %lldd ago", (long long)days_since(k->kek->ts));
  else if (s.overdue_days) snprintf(s.text, sizeof s.text, "ROTATION OVERDUE (%lldd)", (long long)s.overdue_days);
  else snprintf(s.text, sizeof s.text, "ok");
  return s;
}

void print_line(const char *label, csfle__bytes value)
{
  char *text = value.ptr ? csfle__dup(value.ptr, value.len) : NULL;
  if (!text) return;
  table_tame(text);
  printf("%-14s %s\n", label, text);
  csfle__free(text);
}

static int print_object(csfle_buf *b, csfle_status rc)
{
  if (rc == CSFLE_OK) printf("%.*s}\n", CSFLE__FMT(csfle__buf_view(b)));
  csfle_buf_free(b);
  return rc == CSFLE_OK ? 0 : fail(EXIT_FAILED, "no memory to print the answer");
}

int print_kek(const args *a, const csfle__kek *k)
{
  char when[32];

  if (args_want_json(a)) {
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    return print_object(&b, kek_put(&b, k));
  }
  print_line("name", k->name);
  print_line("kms type", k->kms_type);
  print_line("kms key id", k->kms_key_id);
  for (size_t i = 0; i < k->kms_props.count; i++) {
    const csfle__pair *p = &k->kms_props.at[i];
    csfle_buf          b;
    csfle_buf_init(&b, 0, 0);
    if (csfle__buf_printf(&b, NULL, "%.*s=%.*s", CSFLE__FMT(p->name), CSFLE__FMT(kms_prop_secret(p->name) ? CSFLE__LIT("(not shown)") : p->value)) == CSFLE_OK)
      print_line("kms property", csfle__buf_view(&b));
    csfle_buf_free(&b);
  }
  print_line("doc", k->doc);
  print_line("shared", k->shared ? CSFLE__LIT("yes: the registry wraps and unwraps data keys") : CSFLE__LIT("no"));
  print_line("changed", csfle__str(time_text(k->ts, when)));
  if (k->deleted) print_line("deleted", CSFLE__LIT("yes"));
  return 0;
}

int print_dek(const args *a, const csfle__dek *d)
{
  char when[32], version[16];

  if (d->key_material.len) note("the registry sent the key in clear (shared KEK); it is not shown");
  if (args_want_json(a)) {
    csfle_buf b;
    csfle_buf_init(&b, 0, 0);
    return print_object(&b, dek_put(&b, d));
  }
  snprintf(version, sizeof version, "%d", (int)d->version);
  print_line("kek", d->kek_name);
  print_line("subject", d->subject);
  print_line("algorithm", csfle__str(csfle__algorithm_name(d->algorithm)));
  print_line("version", csfle__str(version));
  print_line("wrapped key", d->encrypted_key_material);
  print_line("created", csfle__str(time_text(d->ts, when)));
  if (d->deleted) print_line("deleted", CSFLE__LIT("yes"));
  return 0;
}
