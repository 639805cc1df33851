/**
 * Where a KMS driver may send credentials. Key ids, kmsProps and rule parameters are written by whoever may write to the
 * registry; the hosts they lead to must be the vendor's own or those the operator lists in csfle.allow.kms.hosts. [AB-8]
 * Looked at twice: the host of the URL here, the connected address in the transport (csfle__request.addresses).
 *
 *     csfle.allow.kms.hosts=kms.eu-central-1.amazonaws.com,vault.bank:8200,*.vault.azure.net,http://127.0.0.1:8200
 *
 * An entry is a host (https, port 443), host:port, "*." and a suffix (one label or more before it), or one of these
 * behind "https://"; plain http only as http://host:port. With a list the vendor's own domains count no longer unless
 * they are in it, except for the vendor's login services. Addresses of this machine and link are allowed only where the
 * list names such an address (or localhost), and never through a name with "*".
 */
#ifndef CSFLE_KMS_HOSTS_H
#define CSFLE_KMS_HOSTS_H

#include "core/kms/driver.h"

#define CSFLE__HOSTS_PROPERTY "csfle.allow.kms.hosts"
#define CSFLE__TRANSPORT_PROPERTY "csfle.allow.kms.transport" /**< "unchecked": one that does not ask about addresses is trusted with names */

typedef struct csfle__hosts {
  char              *list;     /**< owned copy; NULL: none was set */
  const char *const *defaults; /**< the vendor's own, ended by NULL; static */
  bool               unchecked; /**< see CSFLE__TRANSPORT_PROPERTY */
} csfle__hosts;
#define CSFLE__HOSTS_INIT { NULL, NULL, false }

/** Who named the host of a request. */
typedef enum csfle__host_kind {
  CSFLE__HOST_KMS,   /**< made from key id or properties: the list, without one the defaults */
  CSFLE__HOST_LOGIN, /**< the vendor's login service: the list or the defaults */
  CSFLE__HOST_OWN,   /**< an endpoint of the operator's own configuration or environment: any host and address; http too */
  CSFLE__HOST_LOCAL  /**< metadata services whose address the driver or environment fixes: this machine and link only, http too */
} csfle__host_kind;

/** Copies the list of @p props (may be NULL). @p defaults ended by NULL, borrowed. CSFLE_E_CONFIG names a malformed entry. */
csfle_status csfle__hosts_open(csfle__hosts *h, const csfle__kms_props *props, const char *const *defaults, csfle_error *err);
void csfle__hosts_close(csfle__hosts *h);
/**
 * Checks r->url just before SEND and sets r->addresses and r->confirm. CSFLE_E_POLICY names the host and the property to set,
 * CSFLE_E_CONFIG a URL that is no plain http or https URL (userinfo, odd numbers, blanks). Any thread.
 */
csfle_status csfle__hosts_check(const csfle__hosts *h, csfle__host_kind kind, csfle__request *r, csfle_error *err);

/** Parts of a URL; false when it is not "http(s)://host[:port][/?...]" in its plain spelling. */
typedef struct csfle__url {
  bool         tls;
  csfle__bytes host;  /**< as written; of [v6] without brackets */
  unsigned     port;  /**< 443 or 80 when not written */
  bool         v4, v6;
  uint8_t      ip[16];
  csfle__bytes authority; /**< host[:port] as written: the Host header */
  csfle__bytes rest;      /**< from the first '/' or '?'; may be empty */
} csfle__url;
bool csfle__url_parse(csfle__url *u, csfle__bytes url);

#endif
