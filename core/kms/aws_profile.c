/* The files ~/.aws/credentials and ~/.aws/config. See aws.h. */
#include "core/kms/aws.h"

static csfle__bytes take_line(csfle__bytes *file)
{
  const uint8_t *end = file->len ? memchr(file->ptr, '\n', file->len) : NULL;
  size_t         n = end ? (size_t)(end - file->ptr) : file->len;
  csfle__bytes   line = csfle__view(file->ptr, n);
  *file = csfle__from(*file, n + 1);
  return line;
}

/* "[name]"; in the config file "[profile name]", and "[default]" as well */
static bool is_section(csfle__bytes line, bool config, csfle__bytes profile)
{
  const uint8_t *end = memchr(line.ptr, ']', line.len);
  if (!end) return false;
  csfle__bytes name = csfle__trim(csfle__view(line.ptr + 1, (size_t)(end - line.ptr) - 1)), word = CSFLE__LIT("profile");
  if (config && name.len > word.len && csfle__starts(name, word) && (name.ptr[word.len] == ' ' || name.ptr[word.len] == '\t'))
    name = csfle__trim(csfle__from(name, word.len));
  else if (config && !csfle__eq_str(name, "default")) return false;
  if (name.len > 1 && (name.ptr[0] == '"' || name.ptr[0] == '\'') && name.ptr[name.len - 1] == name.ptr[0]) name = csfle__view(name.ptr + 1, name.len - 2);
  return csfle__eq(name, profile);
}

csfle__bytes csfle__aws_profile_get(csfle__bytes file, bool config, csfle__bytes profile, const char *name)
{
  csfle__bytes found = CSFLE__NONE;
  bool         inside = false;
  while (file.len) {
    csfle__bytes line = take_line(&file);
    if (line.len == 0 || line.ptr[0] == ' ' || line.ptr[0] == '\t' || line.ptr[0] == '#' || line.ptr[0] == ';') continue; /* indented: of another setting */
    if (line.ptr[0] == '[') {
      inside = is_section(line, config, profile);
      continue;
    }
    const uint8_t *eq = inside ? memchr(line.ptr, '=', line.len) : NULL;
    if (!eq || !csfle__eq_nocase(csfle__trim(csfle__view(line.ptr, (size_t)(eq - line.ptr))), csfle__str(name))) continue;
    found = csfle__view(eq + 1, line.len - (size_t)(eq - line.ptr) - 1);
    for (size_t i = 1; i < found.len; i++)
      if ((found.ptr[i] == '#' || found.ptr[i] == ';') && (found.ptr[i - 1] == ' ' || found.ptr[i - 1] == '\t')) found.len = i;
    found = csfle__trim(found);
  }
  return found;
}
