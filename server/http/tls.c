/* Certificate and key of the TLS listeners, looked at before libmicrohttpd gets them; which peers are this machine. */
#include "server/http/http.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>

bool registry_loopback(const struct sockaddr *a)
{
#ifdef CSFLE_BREAK_KEY_MATERIAL_ANYWHERE
  (void)a;
  return true;
#else
  if (a->sa_family == AF_INET) return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
  if (a->sa_family != AF_INET6) return false;
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
#endif
}

csfle_status registry_tls_check(const registry_http_options *o, csfle_error *err)
{
  gnutls_certificate_credentials_t made = NULL;
  gnutls_priority_t                priorities = NULL;
  csfle_status                     rc = CSFLE_OK;
  const char                      *at = NULL;

  if (!o->certificate || !o->key) return csfle__fail(err, CSFLE_E_CONFIG, "an https listener needs a certificate and a key: set ssl.keystore.location to a PEM file with both");
  gnutls_datum_t cert = { (unsigned char *)(void *)o->certificate, (unsigned)strlen(o->certificate) };
  gnutls_datum_t key = { (unsigned char *)(void *)o->key, (unsigned)strlen(o->key) };
  if (gnutls_certificate_allocate_credentials(&made) != GNUTLS_E_SUCCESS) return csfle__nomem(err);
  int n = gnutls_certificate_set_x509_key_mem2(made, &cert, &key, GNUTLS_X509_FMT_PEM, o->key_password, 0);
  if (n < 0) rc = csfle__fail(err, CSFLE_E_CONFIG, "the certificate or key of the https listener cannot be used: %s", gnutls_strerror(n));
  else if ((n = gnutls_priority_init(&priorities, REGISTRY_TLS_PRIORITIES, &at)) < 0)
    rc = csfle__fail(err, CSFLE_E_CONFIG, "TLS 1.2 and 1.3 cannot be set up: %s", gnutls_strerror(n));
  gnutls_priority_deinit(priorities);
  gnutls_certificate_free_credentials(made);
  return rc;
}
