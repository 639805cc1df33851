/* Proves that a KEK cannot have the server act under another identity of the server's own. */
#include "tests/unit/server/registry/rig.h"

#define PAIR(n, v) { CSFLE__LIT(n), CSFLE__LIT(v) }

TEST(a_kek_chooses_no_role_for_the_credentials_of_the_server) /* AB-7 AB-8 */
{
  csfle__pair bare[] = { PAIR("role.arn", "arn:aws:iam::1:role/admin"), PAIR("profile", "admin"), PAIR("alicloud.kms.roleArn", "r") };
  csfle__pair own[] = { PAIR("access.key.id", "AKID"), PAIR("role.arn", "arn:aws:iam::1:role/r"), PAIR("secret.access.key", "s") };
  csfle__pair azure[] = { PAIR("client.id", "other-identity"), PAIR("tenant.id", "t"), PAIR("namespace", "n") };
  csfle__pair secret[] = { PAIR("client.id", "c"), PAIR("client.secret", "s"), PAIR("namespace", "n"), PAIR("token.id", "t") };
  csfle__pair mount[] = { PAIR("approle.mount", "other"), PAIR("approle.role.id", "r") }, role[] = { PAIR("approle.mount", "m"), PAIR("approle.secret.id", "s") };
  const struct { csfle__pairs props; const char *name; bool allowed; } cases[] = {
    { { bare, 3 }, "role.arn", false },          { { bare, 3 }, "role.session.name", false }, { { bare, 3 }, "profile", false },
    { { bare, 3 }, "alicloud.kms.roleArn", false }, { { bare, 3 }, "alicloud.kms.endpoint", false },
    { { bare, 3 }, "secret", true },             { { bare, 3 }, "encrypt.alternate.kms.key.ids", true },
    { { azure, 3 }, "client.id", false },        { { azure, 3 }, "tenant.id", false },         { { azure, 3 }, "namespace", false },
    { { secret, 4 }, "client.id", true },        { { secret, 4 }, "tenant.id", true },         { { secret, 4 }, "namespace", true },
    { { mount, 2 }, "approle.mount", false },    { { role, 2 }, "approle.mount", true },
    { { own, 3 }, "role.arn", true },            { { own, 3 }, "alicloud.kms.roleArn", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(registry_kms_prop_allowed(&cases[i].props, cases[i].name), cases[i].allowed);
}

TEST(a_shared_kek_uses_no_key_that_the_operator_does_not_list) /* AB-8 */
{
  const struct { const char *keys, *key; bool ok; } cases[] = { { "", "theirs", true }, { "local-kms://mine*", "theirs", false }, { "local-kms://mine*", "mine/1", true } };
  csfle__pair props[] = { PAIR("secret", "mysecret"), PAIR("csfle.allow.kms.keys", "theirs") }; /* a KEK cannot allow itself */
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    registry_log    *log;
    registry        *g = rig_open(&log);
    registry_problem p = { 0 };
    registry_caller  who = { .may_block = true };
    uint64_t         position;
    g->options.kms_keys = cases[i].keys;
    registry_kek_request r = { .name = CSFLE__LIT("k"), .kms_type = CSFLE__LIT("local-kms"), .kms_key_id = csfle__str(cases[i].key), .props = { props, 2 },
                               .has_props = true, .has_shared = true, .shared = true };
    assert_int_equal(registry_kek_test_sharing(g, &r, &who, "creating", &position, &p), cases[i].ok);
    if (!cases[i].ok && !strstr(p.text, "csfle.allow.kms.keys")) fail_msg("%s", p.text);
    registry_close(g);
  }
}
