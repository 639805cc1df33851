/* What kind of address this is. See fetch.h. */
#include "core/fetch/fetch.h"

unsigned csfle__address_v4(const uint8_t a[4])
{
  static const uint8_t aliyun_metadata[4] = { 100, 100, 100, 200 };
  if (a[0] == 127 || a[0] == 0) return CSFLE__ADDRESS_LOOPBACK; /* 0.0.0.0 connects to this machine */
  if ((a[0] == 169 && a[1] == 254) || memcmp(a, aliyun_metadata, 4) == 0) return CSFLE__ADDRESS_LINK_LOCAL;
  return a[0] >= 224 && (a[0] < 240 || (a[1] == 255 && a[2] == 255 && a[3] == 255)) ? CSFLE__ADDRESS_GROUP : CSFLE__ADDRESS_OTHER;
}

unsigned csfle__address_v6(const uint8_t a[16])
{
  static const uint8_t zero[12], mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
  static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b }, translated[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
  if (memcmp(a, zero, 12) == 0) {
    bool low = a[12] == 0 && a[13] == 0 && a[14] == 0 && a[15] <= 1; /* :: and ::1 */
    return low ? CSFLE__ADDRESS_LOOPBACK : csfle__address_v4(a + 12);
  }
  if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0 || memcmp(a, translated, 12) == 0) return csfle__address_v4(a + 12);
  if (a[0] == 0x20 && a[1] == 0x02) return csfle__address_v4(a + 2);
  if ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || (a[0] == 0xfd && a[1] == 0 && a[2] == 0x0e && a[3] == 0xc2)) return CSFLE__ADDRESS_LINK_LOCAL;
  return a[0] == 0xff ? CSFLE__ADDRESS_GROUP : CSFLE__ADDRESS_OTHER;
}
