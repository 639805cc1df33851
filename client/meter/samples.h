/** Samples of the metrics of metrics.def, gathered and then written as Prometheus text or JSON. One thread at a time. */
#ifndef CSFLE_METER_SAMPLES_H
#define CSFLE_METER_SAMPLES_H

#include "core/base/buf.h"
#include "core/base/map.h"

typedef enum csfle__metric {
#define CSFLE_METRIC(id, kind, combine, help) CSFLE__METRIC_##id,
#include "client/meter/metrics.def"
#undef CSFLE_METRIC
  CSFLE__METRICS
} csfle__metric;

/** A label; one with an empty name is left out. Names are static, values any bytes. */
typedef struct csfle__label {
  const char  *name;
  csfle__bytes value;
} csfle__label;
#define CSFLE__LABELS 5

typedef struct csfle__samples {
  csfle__map  at;          /**< by metric, part and labels */
  bool        no_subjects; /**< labels named subject are left out, and samples that are alike then combined */
  csfle_status failed;     /**< CSFLE_E_NOMEM: nothing is written */
} csfle__samples;
void csfle__samples_init(csfle__samples *s, bool no_subjects);
void csfle__samples_free(csfle__samples *s);
/** Adds one; @p part "" or, of a histogram, "_bucket", "_sum", "_count". Text that is not UTF-8 is left out of a label's value. */
void csfle__samples_add(csfle__samples *s, csfle__metric m, const char *part, const csfle__label *labels, size_t count, double value);
/** Prometheus text exposition format 0.0.4; or a JSON object of metric names with arrays of samples. Appended. CSFLE_E_NOMEM, CSFLE_E_SPACE. */
csfle_status csfle__samples_write(const csfle__samples *s, bool json, csfle_buf *out, csfle_error *err);

#endif
