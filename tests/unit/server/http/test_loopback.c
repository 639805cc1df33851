/* Which peers are this machine: keys leave over plain connections to those alone. AB-7. */
#include "server/http/http.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

TEST(AB_7_only_loopback_is_this_machine)
{
  static const struct { const char *address; bool own; } cases[] = {
    { "127.0.0.1", true }, { "127.255.255.254", true }, { "::1", true }, { "::ffff:127.0.0.1", true },
    { "126.255.255.255", false }, { "128.0.0.1", false }, { "0.0.0.0", false }, { "10.0.0.1", false }, { "169.254.169.254", false }, { "192.168.0.1", false },
    { "::", false }, { "::2", false }, { "::ffff:10.0.0.1", false }, { "::127.0.0.1", false }, { "fe80::1", false }, { "64:ff9b::7f00:1", false }, { "1::1", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a = { 0 };
    if (inet_pton(AF_INET, cases[i].address, &a.v4.sin_addr) == 1) a.v4.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, cases[i].address, &a.v6.sin6_addr) == 1) a.v6.sin6_family = AF_INET6;
    else fail_msg("%s", cases[i].address);
    if (registry_loopback(&a.any) != cases[i].own) fail_msg("%s is %sthis machine", cases[i].address, cases[i].own ? "not " : "");
  }
  struct sockaddr_un u = { .sun_family = AF_UNIX };
  assert_false(registry_loopback((struct sockaddr *)&u));
}
