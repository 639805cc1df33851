/* Every allocation of what a serde is made of: the schema it fetches, its contract in both directions, its key; and of
   opening, preparing and using one whose key rotates, and of a text read under three rules. */
#include "tests/unit/client/rig.h"

#include "client/serde/client.h"
#include "client/serde/contract.h"

#define ROTATING "{\"domainRules\":[{\"name\":\"e\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"ENCRYPT\",\"tags\":[\"PII\"],\"params\":{" RULE_PARAMS \
                 ",\"encrypt.dek.expiry.days\":\"1\"}}]}"
#define THREE "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"x\",\"type\":\"string\",\"confluent:tags\":[\"PII\"]}," \
              "{\"name\":\"y\",\"type\":{\"type\":\"map\",\"values\":\"bytes\"},\"confluent:tags\":[\"B\"]}]}"

static csfle_fake fake;

/* what a caller's executors do: a value made longer, and a record as text that comes back unchanged */
static csfle_status longer(void *opaque, const csfle__rule_call *call, const csfle__rule_field *f, csfle__bytes in, csfle_buf *out, csfle__answer *answer,
                           csfle_error *err)
{
  (void)opaque;
  if (!f->tags || !f->tags->count) return csfle__fail(err, CSFLE_E_INTERNAL, "no tags");
  *answer = CSFLE__ANSWER_CHANGED;
  if (call->direction == CSFLE__ON_READ) return csfle__buf_put(out, in.ptr, in.len ? in.len - 1 : 0, err);
  csfle_status rc = csfle__buf_put(out, in.ptr, in.len, err);
  return rc == CSFLE_OK ? csfle__buf_putc(out, '+', err) : rc;
}
static csfle_status same_text(void *opaque, const csfle__rule_call *call, csfle__bytes json, csfle_buf *out, csfle__answer *answer, csfle_error *err)
{
  (void)opaque, (void)call;
  *answer = CSFLE__ANSWER_CHANGED;
  return csfle__buf_put(out, json.ptr, json.len, err);
}
static const csfle__executor_ops field_ops = { CSFLE__LEVEL_FIELD, 0, longer, NULL }, message_ops = { CSFLE__LEVEL_MESSAGE, 0, NULL, same_text };

static csfle_client *open_client(csfle_error *err)
{
  csfle_config *c = csfle_config_new(RIG_PROPS);
  csfle_client *cl = NULL;
  err->code = CSFLE_E_NOMEM;
  if (c) {
    csfle__config_set_clock(c, &fake.clock);
    if (csfle_config_add_transport(c, &fake.transport, err) == CSFLE_OK && csfle__config_add_executor(c, "LONGER", &field_ops, NULL, err) == CSFLE_OK &&
        csfle__config_add_executor(c, "AS_TEXT", &message_ops, NULL, err) == CSFLE_OK)
      cl = csfle_client_open(c, err);
  }
  csfle_config_free(c);
  return cl;
}

static csfle_status by_hand(void)
{
  csfle_error           e = CSFLE_ERROR_INIT;
  csfle__registered    *r = NULL, *same = NULL;
  csfle_fake_drop_keys(&fake);
  csfle_client *cl = open_client(&e);
  if (!cl) return e.code;
  csfle__schema_want    want = { .by = CSFLE__BY_LATEST, .subject = BYTES("orders-value") }, id = { .by = CSFLE__BY_ID, .subject = BYTES("orders-value"), .id = 12 };
  csfle__encrypt_params p = { BYTES("kek1"), BYTES("local-kms"), BYTES("mykey"), CSFLE__AES256_GCM, 0 };
  csfle_status          rc = csfle__client_schema(cl, &want, &r, &e);
  if (rc == CSFLE_OK) rc = csfle__client_schema(cl, &id, &same, &e);
  if (rc == CSFLE_OK && !r->info->rule_set) rc = CSFLE_E_INTERNAL;
  if (rc == CSFLE_OK) rc = csfle__encrypt_params_read(&r->info->rule_set->domain.at[0], r->info->metadata, &p, &e);
  if (r) csfle__release(&r->shared);
  if (same) csfle__release(&same->shared);
  csfle_client_close(cl);
  return rc;
}

static csfle_status prepare_and_send(const char *json, int rounds)
{
  csfle_error  e = CSFLE_ERROR_INIT;
  csfle_buf    out, back;
  csfle_serde *s = NULL;
  csfle_buf_init(&out, 0, 0), csfle_buf_init(&back, 0, CSFLE_BUF_WIPE);
  csfle_fake_drop_keys(&fake);
  csfle_client *cl = open_client(&e);
  if (cl) s = csfle_serde_open(cl, "orders", NULL, &e);
  csfle_status rc = s ? csfle_serde_prepare(s, NULL, NULL, &e) : e.code;
  for (int i = 0; i < rounds && rc == CSFLE_OK; i++) {
    rc = csfle_serialize(s, CSFLE_JSON, json, strlen(json), NULL, &out, NULL, &e);
    if (rc == CSFLE_OK && i == 1) csfle_client_forget_keys(cl, "kek1");
    if (rc == CSFLE_OK) rc = csfle_deserialize(s, CSFLE_JSON, out.ptr, out.len, NULL, &back, NULL, &e);
  }
  if (rc != CSFLE_OK && rc != CSFLE_E_NOMEM) print_message("# %s %s\n", e.where, e.msg);
  csfle_buf_free(&out), csfle_buf_free(&back);
  csfle_serde_close(s);
  csfle_client_close(cl);
  return rc;
}

TEST(schemas_survive_every_failed_allocation)
{
  csfle_fake_init(&fake);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL, PII_RULES);
  assert_int_equal(by_hand(), CSFLE_OK);
  TORTURE(by_hand());
  csfle_fake_free(&fake);
}

TEST(a_rotating_key_and_keys_forgotten_survive_every_failed_allocation) /* ENC-101 */
{
  static const char json[] = "{\"id\":1,\"ssn\":\"078-05-1120\",\"note\":\"plain\"}";
  csfle_fake_init(&fake);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, CUSTOMER, NULL, ROTATING);
  assert_int_equal(prepare_and_send(json, 3), CSFLE_OK);
  TORTURE(prepare_and_send(json, 3));
  csfle_fake_free(&fake);
}

TEST(rules_in_turn_survive_every_failed_allocation)
{
  static const char json[] = "{\"x\":\"abc\",\"y\":{\"k\":\"\\u0001\",\"l\":\"\"}}";
  csfle_fake_init(&fake);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, THREE, NULL, "{\"domainRules\":[" RULE("a", "PII", "") "," RULE("b", "B", "") "]}");
  assert_int_equal(prepare_and_send(json, 2), CSFLE_OK);
  TORTURE(prepare_and_send(json, 2));
  csfle_fake_free(&fake);
}

TEST(executors_of_the_caller_survive_every_failed_allocation)
{
  static const char json[] = "{\"x\":\"abc\",\"y\":{\"k\":\"\\u0001\"}}";
  csfle_fake_init(&fake);
  csfle_fake_add_schema(&fake, "orders-value", 12, 7, THREE, NULL,
                        "{\"domainRules\":[{\"name\":\"l\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"LONGER\",\"tags\":[\"PII\"]},"
                        "{\"name\":\"t\",\"kind\":\"TRANSFORM\",\"mode\":\"WRITEREAD\",\"type\":\"AS_TEXT\"}," RULE("a", "PII", "") "]}");
  assert_int_equal(prepare_and_send(json, 2), CSFLE_OK);
  TORTURE(prepare_and_send(json, 2));
  csfle_fake_free(&fake);
}
