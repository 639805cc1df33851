/** A registry on a memory log for unit tests, and short ways to give it commands. */
#ifndef TESTS_REGISTRY_RIG_H
#define TESTS_REGISTRY_RIG_H

#include "server/log/must.h"
#include "server/registry/registry.h"
#include "tests/support/test.h"

#include <stdio.h>

static const csfle__log rig_quiet = { NULL, NULL, 0 };

static inline registry_options rig_options(void)
{
  registry_limits all = { INT32_MAX, INT32_MAX };
  return (registry_options){ .level = REGISTRY_NONE, .validate_new_schemas = true, .mode_mutability = true, .max_keys = 20000, .trash_ms = 7 * 86400000LL, .trash_max = 1000, .group_id = "schema-registry",
                             .schemas = all, .subjects = all, .subject_versions = all, .contexts = all, .keks = all, .dek_subjects = all, .dek_versions = all };
}

static inline registry *rig_open(registry_log **log)
{
  registry_log_setup setup = { .clock = &csfle__system_clock, .log = &rig_quiet, .topics = { "_schemas", "_dek_registry_keys", "_csfle" } };
  registry_options   options = rig_options();
  registry          *g = NULL;
  assert_ok(registry_log_open(log, registry_log_driver_find("memory"), &setup, err));
  assert_ok(registry_open(&g, *log, &options, &csfle__system_clock, &rig_quiet, NULL, err));
  return g;
}

static bool     rig_track; /* tests of one thread */
static uint64_t rig_position; /* of the last registration */

/* registers the body of a request; its id, or -error_code */
static inline int rig_register(registry *g, const char *subject, const char *body)
{
  yyjson_doc              *doc = NULL;
  registry_problem         p = { 0 };
  registry_schema_request  r = { .subject = csfle__str(subject) };
  if (csfle__json_parse(&doc, csfle__str(body), NULL) != CSFLE_OK || csfle__schema_info_parse(&r.info, yyjson_doc_get_root(doc), NULL) != CSFLE_OK) abort();
  registry_begin(g, true);
  int id = registry_register(g, &r, &p) ? r.version->id : -p.code;
  uint64_t position = registry_end(g);
  if (rig_track) rig_position = position;
  csfle__schema_info_free(r.info);
  yyjson_doc_free(doc);
  return id;
}

static inline bool rig_kek(registry *g, const char *name, bool deleted)
{
  registry_kek_request r = { .name = csfle__str(name), .kms_type = CSFLE__LIT("t"), .kms_key_id = CSFLE__LIT("i"), .deleted = deleted };
  registry_problem     p;
  registry_begin(g, true);
  bool ok = registry_kek_create(g, &r, &p);
  registry_end(g);
  return ok;
}

static inline bool rig_dek(registry *g, const char *kek, const char *subject, int version)
{
  registry_dek_request r = { .kek = csfle__str(kek), .subject = csfle__str(subject), .material = CSFLE__LIT("d3JhcHBlZA=="), .algorithm = CSFLE__AES256_GCM, .version = version };
  registry_problem     p;
  registry_caller      who = { .may_block = true, .confidential = true };
  uint64_t             position;
  csfle_buf            out;
  csfle_buf_init(&out, 0, 0);
  bool ok = registry_dek_create(g, &r, &who, &out, &position, &p);
  csfle_buf_free(&out);
  return ok;
}

#endif
