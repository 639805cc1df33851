/* Drivers kept open. See pool.h. */
#include "core/kms/pool.h"
#include "core/base/alloc.h"

/* A property that the driver looked at, and what it saw. */
typedef struct seen {
  char         *name;
  bool          own, set;
  csfle__secret value;
} seen;

typedef struct csfle__pooled {
  struct csfle__pooled *next;
  csfle__kms           *kms;
  char                 *type, *key_id;
  csfle__bytes          key_id_view;
  seen                 *seen;
  size_t                seen_count, seen_cap;
  size_t                users;
  uint64_t              used; /* ticks of the pool */
  bool                  dropped;
} pooled;

static void pooled_free(pooled *e)
{
  if (!e) return;
  csfle__kms_close(e->kms);
  for (size_t i = 0; i < e->seen_count; i++) {
    csfle__free(e->seen[i].name);
    csfle__secret_wipe(&e->seen[i].value);
  }
  csfle__free(e->seen), csfle__free(e->type), csfle__free(e->key_id);
  csfle__free(e);
}

/* A list of what to close once the lock is gone */
static void free_all(pooled *e)
{
  while (e) {
    pooled *next = e->next;
    pooled_free(e);
    e = next;
  }
}

/* ---- opening: properties are noted down on their way */

typedef struct noted {
  const csfle__kms_props *props;
  pooled                 *to;
  bool                    failed;
} noted;

static const char *note(noted *n, const char *name, bool own)
{
  const char *v = own ? csfle__kms_own_prop(n->props, name) : csfle__kms_prop(n->props, name);
  pooled     *e = n->to;
  if (n->failed) return v;
  n->failed = csfle__grow((void **)&e->seen, &e->seen_cap, e->seen_count + 1, sizeof *e->seen) != 0;
  if (n->failed) return v;
  seen *s = &e->seen[e->seen_count];
  *s = (seen){ .name = csfle__dup(name, strlen(name)), .own = own, .set = v != NULL };
  n->failed = !s->name || (v && csfle__secret_copy(&s->value, csfle__str(v), NULL) != CSFLE_OK);
  e->seen_count++;
  return v;
}
static const char *note_prop(void *opaque, const char *name) { return note(opaque, name, false); }
static const char *note_own(void *opaque, const char *name) { return note(opaque, name, true); }

static csfle_status open_one(const csfle__kms_pool *p, pooled **out, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props, csfle_error *err)
{
  pooled *e = csfle__calloc(1, sizeof *e);
  if (!e) return csfle__nomem(err);
  noted            n = { props, e, false };
  csfle__kms_props through = { note_prop, &n, note_own };
  e->type = csfle__dup(type.len ? (const void *)type.ptr : "", type.len);
  e->key_id = csfle__dup(key_id.len ? (const void *)key_id.ptr : "", key_id.len);
  e->key_id_view = csfle__view(e->key_id, key_id.len);
  csfle_status rc = e->type && e->key_id ? csfle__kms_open_any(&e->kms, p->plugins, type, key_id, &through, err) : csfle__nomem(err);
  if (rc == CSFLE_OK && n.failed) rc = csfle__nomem(err);
  if (rc == CSFLE_OK) *out = e;
  else pooled_free(e);
  return rc;
}

/* ---- the pool */

static bool same_props(const pooled *e, const csfle__kms_props *props)
{
  for (size_t i = 0; i < e->seen_count; i++) {
    const seen *s = &e->seen[i];
    const char *v = s->own ? csfle__kms_own_prop(props, s->name) : csfle__kms_prop(props, s->name);
    if (!v != !s->set || (v && !csfle__secret_equal(csfle__str(v), csfle__secret_view(&s->value)))) return false;
  }
  return true;
}

static pooled *find(csfle__kms_pool *p, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props)
{
  for (pooled *e = p->first; e; e = e->next)
    if (!e->dropped && csfle__eq_nocase(type, csfle__str(e->type)) && csfle__eq(key_id, e->key_id_view) && same_props(e, props)) {
      e->users++, e->used = ++p->ticks;
      return e;
    }
  return NULL;
}

static void unlink_one(csfle__kms_pool *p, pooled *e)
{
  for (pooled **at = &p->first; *at; at = &(*at)->next)
    if (*at == e) {
      *at = e->next;
      e->next = NULL;
      p->count--;
      return;
    }
}

/* Takes out those that have to go and that nobody uses; to be freed without the lock. */
static pooled *take_out(csfle__kms_pool *p)
{
  pooled *out = NULL;
  for (;;) {
    pooled *worst = NULL;
    for (pooled *e = p->first; e; e = e->next)
      if (!e->users && (e->dropped || p->count > CSFLE__POOL_MAX) && (!worst || e->dropped || (!worst->dropped && e->used < worst->used))) worst = e;
    if (!worst) return out;
    unlink_one(p, worst);
    worst->next = out;
    out = worst;
  }
}

void csfle__kms_pool_init(csfle__kms_pool *p, const csfle__plugins *plugins)
{
  *p = (csfle__kms_pool){ .plugins = plugins };
  pthread_mutex_init(&p->lock, NULL);
}

void csfle__kms_pool_free(csfle__kms_pool *p)
{
  free_all(p->first);
  p->first = NULL, p->count = 0;
  pthread_mutex_destroy(&p->lock);
}

void csfle__kms_pool_forget(csfle__kms_pool *p)
{
  pthread_mutex_lock(&p->lock);
  for (pooled *e = p->first; e; e = e->next) e->dropped = true;
  pooled *out = take_out(p);
  pthread_mutex_unlock(&p->lock);
  free_all(out);
}

csfle_status csfle__kms_take(csfle__kms_pool *p, csfle__kms **out, csfle__bytes type, csfle__bytes key_id, const csfle__kms_props *props, csfle_error *err)
{
  pooled *e, *mine = NULL, *gone = NULL;
  *out = NULL;
  pthread_mutex_lock(&p->lock);
  e = find(p, type, key_id, props);
  pthread_mutex_unlock(&p->lock);
  if (!e) {
    csfle_status rc = open_one(p, &mine, type, key_id, props, err);
    if (rc != CSFLE_OK) return rc;
    pthread_mutex_lock(&p->lock);
    e = find(p, type, key_id, props); /* another thread was first: its session is shared */
    if (!e) {
      e = mine, mine = NULL;
      e->users = 1, e->used = ++p->ticks;
      e->next = p->first, p->first = e;
      p->count++;
      gone = take_out(p);
    }
    pthread_mutex_unlock(&p->lock);
    pooled_free(mine);
    free_all(gone);
  }
  *out = e->kms;
  return CSFLE_OK;
}

void csfle__kms_give(csfle__kms_pool *p, csfle__kms *k, csfle_status st)
{
  if (!k) return;
  pthread_mutex_lock(&p->lock);
  for (pooled *e = p->first; e; e = e->next)
    if (e->kms == k) {
      e->users--;
      e->dropped = e->dropped || st == CSFLE_E_UNAUTHENTICATED || st == CSFLE_E_FORBIDDEN;
    }
  pooled *out = take_out(p);
  pthread_mutex_unlock(&p->lock);
  free_all(out);
}
