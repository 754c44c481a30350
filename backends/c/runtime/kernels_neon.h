/* NEON, which every 64-bit ARM has: 16 outputs are four vectors. With the dot-product extension, where the compiler is
 * told of it, four products and their sum are one instruction. */
#define SD_ISA neon
#define SD_NATIVE 16 /* bytes of a register */
#define SD_NAME "neon"

#include "ops_load.h"
#include "ops_float.h"
#include "ops_encode.h"

static inline int32_t SD(dot8)(const int8_t *a, const int8_t *b, sd_int n) {
    int32x4_t sum = vdupq_n_s32(0);
    sd_int i = 0;
    for (; i + 16 <= n; i += 16) {
        const int8x16_t x = vld1q_s8(a + i), y = vld1q_s8(b + i);
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(x), vget_high_s8(y)));
    }
    int32_t total = vaddvq_s32(sum);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

#include "ops_attention.h"

/* Sums of 4 outputs: codes of 4 inputs each, as signed numbers, times 4 counts. */
static inline __attribute__((always_inline)) int32x4_t SD(four)(int32x4_t sum, int8x16_t codes, int8x16_t counts) {
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sum, codes, counts);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(counts));
    const int16x8_t high = vmull_s8(vget_high_s8(codes), vget_high_s8(counts));
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

static inline __attribute__((always_inline)) int8x16_t SD(counts4)(const int8_t *n) {
    int32_t four;
    memcpy(&four, n, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

static inline __attribute__((always_inline)) void SD(dot)(const int tokens, const int bytes,
                                                          const unsigned char *codes, sd_int lines, const int8_t *n,
                                                          sd_int stride, v16u *sums) {
    for (int k = 0; k < tokens; k++) {
        int32x4_t sum[4];
        int32_t counted = 0;
        for (int q = 0; q < 4; q++) sum[q] = vdupq_n_s32(0);
        for (sd_int line = 0; line < lines; line++) {
            const int8_t *now = n + k * stride + line * (bytes ? 4 : 8);
            const int8x16_t first = SD(counts4)(now);
            for (int q = 0; q < 4; q++) {
                const uint8x16_t c = vld1q_u8(codes + line * 64 + q * 16);
                if (bytes) { /* 0 … 255 less 128, which the counts' sum makes good */
                    sum[q] = SD(four)(sum[q], vreinterpretq_s8_u8(veorq_u8(c, vdupq_n_u8(128))), first);
                } else {
                    const int8x16_t second = SD(counts4)(now + 4);
                    sum[q] = SD(four)(sum[q], vreinterpretq_s8_u8(vandq_u8(c, vdupq_n_u8(15))), first);
                    sum[q] = SD(four)(sum[q], vreinterpretq_s8_u8(vshrq_n_u8(c, 4)), second);
                }
            }
            if (bytes) counted += now[0] + now[1] + now[2] + now[3];
        }
        for (int q = 0; q < 4; q++) {
            if (bytes) sum[q] = vaddq_s32(sum[q], vdupq_n_s32(128 * counted));
            vst1q_s32((int32_t *)(void *)(sums + k) + q * 4, sum[q]);
        }
    }
}

#define SD_GATHER "ops_gather.h"
#include "table.h"

#undef SD_ISA
#undef SD_NATIVE
