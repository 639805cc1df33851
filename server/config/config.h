/**
 * The server's properties: one table (properties.def) gives the parser, --help and what may be shown. A property that
 * asks for something this server does not do is refused by name at start: authentication, client certificates, Kafka.
 */
#ifndef REGISTRY_CONFIG_CONFIG_H
#define REGISTRY_CONFIG_CONFIG_H

#include "core/base/buf.h"

typedef struct registry_properties registry_properties;

registry_properties *registry_properties_new(void);
void registry_properties_free(registry_properties *p);
/** One property. CSFLE_E_CONFIG: unknown, or something this server does not do. */
csfle_status registry_properties_set(registry_properties *p, csfle__bytes name, csfle__bytes value, csfle_error *err);
/** "name=value" as on the command line. */
csfle_status registry_properties_set_line(registry_properties *p, const char *line, csfle_error *err);
/** A properties file as Java reads it: # and ! comments, continuation lines, \\ escapes. */
csfle_status registry_properties_load(registry_properties *p, const char *path, csfle_error *err);
/** Value or default; the property must be in the table. */
const char *registry_property(const registry_properties *p, const char *name);
bool registry_property_given(const registry_properties *p, const char *name);
/** Integer between low and high, else CSFLE_E_CONFIG. */
csfle_status registry_property_int(const registry_properties *p, const char *name, int64_t low, int64_t high, int64_t *out, csfle_error *err);
csfle_status registry_property_bool(const registry_properties *p, const char *name, bool *out, csfle_error *err);
/** The table as text, one property a line. */
void registry_properties_help(csfle_buf *out);

typedef struct registry_listener {
  char host[64];
  int  port;
  bool loopback, tls;
} registry_listener;
/** Cuts "http://host:port" or "https://host:port"; "localhost" becomes 127.0.0.1. CSFLE_E_CONFIG. */
csfle_status registry_listener_parse(registry_listener *out, csfle__bytes text, csfle_error *err);
/** One or several with commas, at most @p max. */
csfle_status registry_listeners_parse(registry_listener *out, int max, int *count, const char *text, csfle_error *err);

/** The text of csfle.policy.*; nothing is appended when none is configured. CSFLE_E_CONFIG. */
csfle_status registry_policy_text(const registry_properties *p, csfle_buf *out, csfle_error *err);

/** The PEM texts of https listeners, NUL-terminated; freeing wipes them. */
typedef struct registry_tls {
  csfle_buf certificate, key;
} registry_tls;
/** Reads what ssl.keystore.* names. CSFLE_E_CONFIG says what to do about JKS and PKCS12. */
csfle_status registry_tls_load(registry_tls *out, const registry_properties *p, csfle_error *err);
void registry_tls_free(registry_tls *t);

#endif
