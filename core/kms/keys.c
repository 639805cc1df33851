/* Which keys. See keys.h. */
#include "core/kms/keys.h"

static bool match(csfle__bytes entry, csfle__bytes text)
{
  bool open = entry.len && entry.ptr[entry.len - 1] == '*';
  return open ? csfle__starts(text, csfle__view(entry.ptr, entry.len - 1)) : csfle__eq(entry, text);
}

/* "<type>://" in front, compared without case, is cut off. False: it is of another type. */
static bool of_type(csfle__bytes *entry, csfle__bytes type)
{
  csfle__bytes sep = CSFLE__LIT("://");
  for (size_t i = 0; i + sep.len <= entry->len; i++) {
    if (memcmp(entry->ptr + i, sep.ptr, sep.len) != 0) continue;
    csfle__bytes name = csfle__view(entry->ptr, i);
    if (csfle__eq_nocase(name, type)) *entry = csfle__from(*entry, i + sep.len);
    else return csfle__eq_nocase(name, CSFLE__LIT("https")) || csfle__eq_nocase(name, CSFLE__LIT("http"));
    return true;
  }
  return true;
}

csfle_status csfle__keys_check(const csfle__kms_props *props, csfle__bytes type, csfle__bytes key_id, csfle_error *err)
{
  csfle__bytes list = csfle__trim(csfle__str(csfle__kms_own_prop(props, CSFLE__KEYS_PROPERTY)));
  bool         ok = !list.len;
#ifdef CSFLE_BREAK_KEYS_UNCHECKED
  return CSFLE_OK;
#endif
  while (list.len) {
    const uint8_t *comma = memchr(list.ptr, ',', list.len);
    size_t         n = comma ? (size_t)(comma - list.ptr) : list.len;
    csfle__bytes   entry = csfle__trim(csfle__view(list.ptr, n));
    const uint8_t *star = entry.len ? memchr(entry.ptr, '*', entry.len) : NULL;
    list = csfle__from(list, n + 1);
    if (star && star + 1 != entry.ptr + entry.len)
      return csfle__fail(err, CSFLE_E_CONFIG, CSFLE__KEYS_PROPERTY ": '%.*s': '*' may stand at the end alone", entry.len > 120 ? 120 : (int)entry.len, (const char *)entry.ptr);
    ok = ok || (entry.len && of_type(&entry, type) && match(entry, key_id));
  }
  return ok ? CSFLE_OK
            : csfle__fail(err, CSFLE_E_POLICY, "the key '%.*s' of %.*s is not among those that may be used: set " CSFLE__KEYS_PROPERTY, key_id.len > 120 ? 120 : (int)key_id.len,
                          (const char *)key_id.ptr, type.len > 63 ? 63 : (int)type.len, (const char *)type.ptr);
}
