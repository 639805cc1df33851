/**
 * Outgoing HTTP as data: a request, a reply. Whoever needs the network is a machine that asks for SEND, WAIT or NEED
 * and is stepped again with the answer; who does the sending is somebody else's choice (curl.c, a test, a host program).
 */
#ifndef CSFLE_FETCH_FETCH_H
#define CSFLE_FETCH_FETCH_H

#include "core/base/buf.h"
#include "core/base/secret.h"
#include "core/base/world.h"
#include "core/fetch/bell.h"

/** What a machine wants next. */
typedef enum csfle__next {
  CSFLE__SEND, /**< send io.request, put the answer into io.reply, step again */
  CSFLE__WAIT, /**< step again at io.wait_until_ms (monotonic), or when io.bell rings */
  CSFLE__NEED, /**< put the content of the file or variable io.need_name into io.need_value, step again */
  CSFLE__DONE,
  CSFLE__FAIL  /**< err says why */
} csfle__next;

/** Which certificates: files in PEM. NULL or empty: the system's trust; no client certificate; a key that needs no password. */
typedef struct csfle__tls {
  const char *ca_file, *cert_file, *key_file, *key_password;
} csfle__tls;

/** A request; its buffers are owned, wiped when freed (URLs and headers carry tokens). */
typedef struct csfle__request {
  const char *method;  /**< static text */
  const char *purpose; /**< static text: "registry", "kms"; on the way to a KMS "sts", "oauth", "metadata" */
  csfle_buf   url, headers, body; /**< headers: "Name: value\r\n" lines */
  bool        has_body;
  uint32_t    timeout_ms; /**< of the whole exchange; 0: the transport's default */
  const csfle__tls *tls;  /**< borrowed; NULL: what the transport has for this purpose */
  unsigned    addresses;  /**< which addresses may be connected to: bits of CSFLE__ADDRESS_*; 0: any [AB-8] */
  bool        confirm;    /**< the host is a name from outside: only through a transport that asks about the address */
} csfle__request;

/** Kinds of addresses. A v6 address that carries a v4 one (mapped, compatible, NAT64, 6to4) is what that one is. */
enum {
  CSFLE__ADDRESS_OTHER = 1,      /**< all the rest, private networks included: vendors have endpoints there */
  CSFLE__ADDRESS_LOOPBACK = 2,   /**< also 0.0.0.0/8 and :: */
  CSFLE__ADDRESS_LINK_LOCAL = 4, /**< also the metadata addresses fd00:ec2::/32 and 100.100.100.200 */
  CSFLE__ADDRESS_GROUP = 8       /**< multicast, broadcast: never to be allowed */
};
/** Kind of a v4 address in network order; of a v6 address. */
unsigned csfle__address_v4(const uint8_t ip[4]);
unsigned csfle__address_v6(const uint8_t ip[16]);
/** csfle__reply.failure when the connected address was not among those allowed. csfle__reply_failed: CSFLE_E_POLICY. */
#define CSFLE__REFUSED_ADDRESS "the address of the host is not allowed"

/** When it would have to be looked at, and the transport does not ask. CSFLE_E_POLICY likewise. */
#define CSFLE__UNASKED_ADDRESS "the program's own transport does not ask about addresses"

/** When a file of request.tls or of the transport's own is no good: CSFLE_E_CONFIG. */
#define CSFLE__BAD_CA_FILE     "file of trusted certificates cannot be read"
#define CSFLE__BAD_CERTIFICATE "client certificate or its key cannot be used"
/** When the server's certificate is no good: CSFLE_E_UNAVAILABLE, and no better for another try. */
#define CSFLE__UNTRUSTED "TLS certificate of the server is not trusted"

typedef struct csfle__reply {
  int       status;   /**< HTTP status; 0: no reply, failure says why */
  csfle_buf headers;  /**< lines as received, or empty */
  csfle_buf body;     /**< wiped when freed: it may hold key material */
  char      failure[160]; /**< "connection refused": never a URL with credentials */
} csfle__reply;

enum { CSFLE__NEED_FILE, CSFLE__NEED_VARIABLE };

/** Between a machine and the one who drives it. Zero state: csfle__io_init. */
typedef struct csfle__io {
  csfle__request request;
  csfle__reply   reply;
  int64_t        wait_until_ms;
  csfle__bell   *bell;         /**< of WAIT: ends it early; borrowed from the machine; NULL: nothing does */
  int            need_kind;
  const char    *need_name;   /**< borrowed from the machine */
  csfle__secret  need_value;  /**< filled by the driver; empty with need_found false when there is none */
  bool           need_found;
} csfle__io;
void csfle__io_init(csfle__io *io);
void csfle__io_free(csfle__io *io);
/** Empties request and reply for the next round; memory is kept. */
void csfle__io_reset(csfle__io *io);

/** Value of the header @p name (any case) in lines "Name: value\r\n"; {NULL,0} when absent. */
csfle__bytes csfle__header(csfle__bytes lines, const char *name);

/**
 * libcurl as a csfle_transport: blocks in start. Verifies certificates and host names, follows no redirect, http and
 * https only, replies up to max_reply_bytes. A pool of easy handles; any thread.
 */
typedef struct csfle__curl csfle__curl;
typedef struct csfle__curl_options {
  uint32_t connect_timeout_ms, timeout_ms;
  size_t   max_reply_bytes;
  csfle__tls  tls, kms_tls; /**< of requests whose purpose is "registry"; of all others: neither is used for the other's */
  const char *proxy;                                        /**< NULL: from the environment, as libcurl does */
} csfle__curl_options;
csfle_status csfle__curl_new(csfle__curl **out, const csfle__curl_options *o, csfle_error *err);
void csfle__curl_free(csfle__curl *c);
/** The transport to hand to csfle__send; borrowed from @p c. */
const csfle_transport *csfle__curl_transport(csfle__curl *c);

/** Whether @p t is libcurl's: it honours request.tls. */
bool csfle__curl_is(const csfle_transport *t);
/** Sends io->request through @p t and waits for io->reply. Never fails: a missing reply is status 0 with failure. */
void csfle__send(const csfle_transport *t, csfle__io *io);
/** A reply that never came (status 0) as an error: CSFLE_E_TIMEOUT, CSFLE_E_NOMEM, what the texts above say, else CSFLE_E_UNAVAILABLE; msg is its failure. */
csfle_status csfle__reply_failed(const csfle__reply *r, csfle_error *err);
/** Answers a NEED from the file system (at most 1 MiB) or the environment. CSFLE_E_NOMEM; what is not there is CSFLE_OK. */
csfle_status csfle__answer_need(csfle__io *io);
/** Sleeps until io->wait_until_ms, or until io->bell rings. */
void csfle__answer_wait(const csfle__clock *clock, csfle__io *io);

#endif
