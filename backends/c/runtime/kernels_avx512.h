/* AVX-512, with VNNI (SD_VNNI: four products and their sum in one instruction) or without. Included for each. */
#define SD_NATIVE 64
#ifdef SD_VNNI
#define SD_ISA avx512vnni
#define SD_NAME "avx512vnni"
#else
#define SD_ISA avx512
#define SD_NAME "avx512"
#endif
#if defined(__clang__)
#ifdef SD_VNNI
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2"))), apply_to = function)
#endif
#else
#pragma GCC push_options
#ifdef SD_VNNI
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2")
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2")
#endif
#endif

/* 16 small numbers as 32-bit ones. */
static inline __attribute__((always_inline)) void SD(load_u16)(v16u *v, const uint16_t *p) {
    *v = (v16u)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline __attribute__((always_inline)) void SD(load_s16)(v16i *v, const int16_t *p) {
    *v = (v16i)_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline __attribute__((always_inline)) void SD(load_u8)(v16u *v, const uint8_t *p) {
    *v = (v16u)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline __attribute__((always_inline)) void SD(load_s8)(v16i *v, const int8_t *p) {
    *v = (v16i)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline __attribute__((always_inline)) void SD(store_s8)(int8_t *p, const v16i *v) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)*v));
}

static inline __attribute__((always_inline)) void SD(store_s16)(int16_t *p, const v16i *v) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16((__m512i)*v));
}

/* By 16 cells of a table: next where the ratio is beyond the cell's edge, and base elsewhere. */
static inline __attribute__((always_inline)) void SD(choose)(v16i *n, const v16f *ratio, const v16i *at,
                                                             const float *edges, const int32_t *base,
                                                             const int32_t *next) {
    const __m512i cell = (__m512i)*at;
    const __mmask16 beyond = _mm512_cmp_ps_mask((__m512)*ratio, _mm512_i32gather_ps(cell, edges, 4), _CMP_GT_OQ);
    const __m512i low = _mm512_i32gather_epi32(cell, base, 4);
    *n = (v16i)_mm512_mask_i32gather_epi32(low, beyond, cell, next, 4);
}

#define SD_LOAD_F16(v, p) (v) = (SD(vf))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define SD_LOAD_S8(v, p) (v) = (SD(vi))_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#include "ops_float.h"
#include "ops_encode.h"

static inline int32_t SD(dot8)(const int8_t *a, const int8_t *b, sd_int n) {
    __m512i sum = _mm512_setzero_si512();
    sd_int i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(a + i)));
        const __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(b + i)));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x, y));
    }
    int32_t total = _mm512_reduce_add_epi32(sum);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

#ifdef SD_VNNI
/* Sums of the 16 lanes of each of 16 registers. */
static inline __attribute__((always_inline)) __m512i SD(sums16)(const __m512i *s) {
    __m512i four[4], two[2];
    for (int k = 0; k < 4; k++) {
        const __m512i *p = s + 4 * k;
        const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
        const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
        four[k] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    for (int k = 0; k < 2; k++) {
        const __m512i a = four[2 * k], b = four[2 * k + 1];
        two[k] = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    }
    return _mm512_add_epi32(_mm512_shuffle_i32x4(two[0], two[1], 0x88), _mm512_shuffle_i32x4(two[0], two[1], 0xdd));
}

/* See ops_attention.h. Heads of 64, 128 … take 16 keys at a time; the instruction wants one side unsigned, so keys are
 * 128 too large, which is taken off again. */
#define SD_OWN_ATTENTION
static inline void SD(scores)(int32_t *y, const int8_t *query, const int8_t *keys, sd_int width, sd_int count) {
    const __m512i flip = _mm512_set1_epi8(-128);
    sd_int i = 0;
    if (width % 64 == 0 && count >= 16) {
        __m512i beyond = _mm512_setzero_si512();
        for (sd_int d = 0; d < width; d += 64) {
            beyond = _mm512_dpbusd_epi32(beyond, flip, _mm512_loadu_si512((const void *)(query + d)));
        }
        const __m512i off = _mm512_set1_epi32(_mm512_reduce_add_epi32(beyond));
        for (; i + 16 <= count; i += 16) {
            __m512i sum[16];
            for (int j = 0; j < 16; j++) sum[j] = _mm512_setzero_si512();
            for (sd_int d = 0; d < width; d += 64) {
                const __m512i q = _mm512_loadu_si512((const void *)(query + d));
                for (int j = 0; j < 16; j++) {
                    const __m512i key = _mm512_loadu_si512((const void *)(keys + (i + j) * width + d));
                    sum[j] = _mm512_dpbusd_epi32(sum[j], _mm512_xor_si512(key, flip), q);
                }
            }
            _mm512_storeu_si512((void *)(y + i), _mm512_sub_epi32(SD(sums16)(sum), off));
        }
    }
    for (; i < count; i++) y[i] = SD(dot8)(query, keys + i * width, width);
}

/* Four keys at a time: the bytes of a channel side by side, times the low bytes of their probabilities and, where there
 * are any, the high ones. */
static inline __attribute__((always_inline)) void SD(mix)(const int blocks, int32_t *y, const int32_t *p,
                                                          const int32_t *key, const int8_t *n, sd_int stride,
                                                          sd_int count) {
    const __mmask64 all = blocks == 4 ? ~(__mmask64)0 : ((__mmask64)1 << (16 * blocks)) - 1;
    __m512i low[4], high[4];
    for (int b = 0; b < 4; b++) low[b] = high[b] = _mm512_setzero_si512();
    for (sd_int i = 0; i < count; i += 4) {
        __m512i row[4], v[4];
        uint32_t small = 0, large = 0;
        for (int j = 0; j < 4; j++) {
            const sd_int at = i + j < count ? i + j : i;
            const uint32_t by = i + j < count ? (uint32_t)p[at] : 0;
            small |= (by & 255) << (8 * j);
            large |= (by >> 8 & 255) << (8 * j);
            row[j] = _mm512_maskz_loadu_epi8(all, n + key[at] * stride);
        }
        const __m512i a = _mm512_unpacklo_epi8(row[0], row[1]), b = _mm512_unpackhi_epi8(row[0], row[1]);
        const __m512i c = _mm512_unpacklo_epi8(row[2], row[3]), d = _mm512_unpackhi_epi8(row[2], row[3]);
        v[0] = _mm512_unpacklo_epi16(a, c);
        v[1] = _mm512_unpackhi_epi16(a, c);
        v[2] = _mm512_unpacklo_epi16(b, d);
        v[3] = _mm512_unpackhi_epi16(b, d);
        const __m512i first = _mm512_set1_epi32((int32_t)small), second = _mm512_set1_epi32((int32_t)large);
        for (int k = 0; k < 4; k++) low[k] = _mm512_dpbusd_epi32(low[k], first, v[k]);
        for (int k = 0; large && k < 4; k++) high[k] = _mm512_dpbusd_epi32(high[k], second, v[k]);
    }
    int32_t made[4][16];
    for (int k = 0; k < 4; k++) {
        const __m512i sum = _mm512_add_epi32(low[k], _mm512_slli_epi32(high[k], 8));
        _mm512_storeu_si512((void *)made[k], sum);
    }
    for (int b = 0; b < blocks; b++) {
        for (int k = 0; k < 4; k++) memcpy(y + 16 * b + 4 * k, made[k] + 4 * b, 16);
    }
}
#endif

#define SD_OWN_PRESSED
static inline sd_int SD(pressed)(int32_t *p, int32_t *place, sd_int count) {
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    sd_int some = 0;
    for (sd_int i = 0; i < count; i += 16) {
        const __mmask16 there = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : (__mmask16)0xffff;
        const __m512i value = _mm512_maskz_loadu_epi32(there, p + i);
        const __mmask16 fires = _mm512_test_epi32_mask(value, value);
        const int more = __builtin_popcount(fires);
        const __mmask16 front = (__mmask16)((1u << more) - 1);
        _mm512_mask_storeu_epi32(p + some, front, _mm512_maskz_compress_epi32(fires, value));
        _mm512_mask_storeu_epi32(place + some, front, _mm512_maskz_compress_epi32(fires, at));
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
        some += more;
    }
    return some;
}

#include "ops_attention.h"

/* Sums of 16 outputs: codes of 4 inputs each times 4 counts. */
static inline __attribute__((always_inline)) __m512i SD(four)(const int bytes, __m512i sum, __m512i codes,
                                                              const int8_t *n) {
    int32_t four;
    memcpy(&four, n, 4);
    const __m512i counts = _mm512_set1_epi32(four);
#ifdef SD_VNNI
    (void)bytes;
    return _mm512_dpbusd_epi32(sum, codes, counts);
#else
    if (!bytes) {
        const __m512i pairs = _mm512_maddubs_epi16(codes, counts);
        return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
    }
    const __m512i even = _mm512_and_si512(codes, _mm512_set1_epi16(255)), odd = _mm512_srli_epi16(codes, 8);
    const __m512i even_n = _mm512_srai_epi16(_mm512_slli_epi16(counts, 8), 8), odd_n = _mm512_srai_epi16(counts, 8);
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(even, even_n));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(odd, odd_n));
#endif
}

static inline __attribute__((always_inline)) void SD(dot)(const int tokens, const int bytes,
                                                          const unsigned char *codes, sd_int lines, const int8_t *n,
                                                          sd_int stride, v16u *sums) {
    __m512i a[4], b[4];
    const __m512i low = _mm512_set1_epi8(15);
    for (int k = 0; k < tokens; k++) a[k] = b[k] = _mm512_setzero_si512();
    for (sd_int line = 0; line < lines; line++) {
        const __m512i c = _mm512_loadu_si512((const void *)(codes + line * 64));
        for (int k = 0; k < tokens; k++) {
            const int8_t *now = n + k * stride + line * (bytes ? 4 : 8);
            if (bytes) {
                a[k] = SD(four)(1, a[k], c, now);
            } else {
                a[k] = SD(four)(0, a[k], _mm512_and_si512(c, low), now);
                b[k] = SD(four)(0, b[k], _mm512_and_si512(_mm512_srli_epi16(c, 4), low), now + 4);
            }
        }
    }
    for (int k = 0; k < tokens; k++) _mm512_storeu_si512((void *)(sums + k), _mm512_add_epi32(a[k], b[k]));
}

/* For ops_gather_x86.h. Steps and offsets come in its order: of a line's first half and its second, whole, and the first
 * or last 8 of each 16. */
#define SD_M(name) _mm512_##name
typedef __m512i SD(reg);

static inline __attribute__((always_inline)) __m512i SD(read)(const void *p) { return _mm512_loadu_si512(p); }

static inline __attribute__((always_inline)) __m512i SD(row_steps)(const uint8_t *p) {
    const __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), _mm256_loadu_si256((const __m256i *)(const void *)(p + 64)), 1);
}

static inline __attribute__((always_inline)) __m512i SD(row_offsets)(const int16_t *p, int last) {
    const __m512i first = SD(read)(p), second = SD(read)(p + 64);
    return last ? _mm512_shuffle_i32x4(first, second, 0xdd) : _mm512_shuffle_i32x4(first, second, 0x88);
}

#define SD_GATHER "ops_gather_x86.h"
#include "table.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef SD_ISA
#undef SD_NATIVE
#undef SD_LOAD_F16
#undef SD_LOAD_S8
#undef SD_M
#undef SD_OWN_ATTENTION
#undef SD_OWN_PRESSED
