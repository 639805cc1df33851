/** Letters and decimal digits of Unicode's Basic Multilingual Plane: what rule and KEK names may consist of. */
#ifndef CSFLE_MODEL_LETTERS_H
#define CSFLE_MODEL_LETTERS_H

#include "core/base/bytes.h"

/** Categories Lu Ll Lt Lm Lo, as Java's Character.isLetter(char); false beyond U+FFFF. */
bool csfle__is_letter(int32_t cp);
/** Category Nd, as Java's Character.isDigit(char); false beyond U+FFFF. */
bool csfle__is_digit(int32_t cp);

typedef enum { CSFLE__NAME_OK, CSFLE__NAME_LONG, CSFLE__NAME_FIRST, CSFLE__NAME_OTHER } csfle__name_fault;
/** A letter or '_', then letters, digits, '_' and '-', at most 256 UTF-16 units. Not for the empty name. */
csfle__name_fault csfle__name_check(csfle__bytes name);

#endif
