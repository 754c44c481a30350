/* Plain C: what any processor runs. */
#define SD_ISA portable
#define SD_NATIVE 16 /* bytes of a register */
#define SD_NAME "portable"

#include "ops_load.h"
#include "ops_float.h"
#include "ops_encode.h"

static inline int32_t SD(dot8)(const int8_t *a, const int8_t *b, sd_int n) {
    int32_t sum = 0;
    for (sd_int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

#include "ops_attention.h"

/* A line has, for each of 16 outputs, the codes of 4 inputs; of nibbles, 4 more in the high halves. */
static inline __attribute__((always_inline)) void SD(dot)(const int tokens, const int bytes,
                                                          const unsigned char *codes, sd_int lines, const int8_t *n,
                                                          sd_int stride, v16u *sums) {
    for (int k = 0; k < tokens; k++) {
        int32_t sum[16] = {0};
        for (sd_int line = 0; line < lines; line++) {
            const unsigned char *c = codes + line * 64;
            const int8_t *now = n + k * stride + line * (bytes ? 4 : 8);
            for (int o = 0; o < 16; o++) {
                for (int i = 0; i < 4; i++) {
                    sum[o] += bytes ? c[o * 4 + i] * now[i] : (c[o * 4 + i] & 15) * now[i] + (c[o * 4 + i] >> 4) * now[i + 4];
                }
            }
        }
        memcpy(sums + k, sum, sizeof sum);
    }
}

#define SD_GATHER "ops_gather.h"
#include "table.h"

#undef SD_ISA
#undef SD_NATIVE
