/* AVX2: 16 outputs are two vectors; products of codes and counts are added in pairs, in 16 bits where that fits. */
#define SD_ISA avx2
#define SD_NATIVE 32 /* bytes of a register */
#define SD_NAME "avx2"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#endif

/* 16 small numbers as 32-bit ones. */
static inline __attribute__((always_inline)) void SD(both)(void *v, __m256i low, __m256i high) {
    memcpy(v, &low, 32);
    memcpy((char *)v + 32, &high, 32);
}

static inline __attribute__((always_inline)) __m128i SD(at)(const void *p, sd_int bytes) {
    return _mm_loadu_si128((const __m128i *)(const void *)((const char *)p + bytes));
}

static inline __attribute__((always_inline)) void SD(load_u16)(v16u *v, const uint16_t *p) {
    SD(both)(v, _mm256_cvtepu16_epi32(SD(at)(p, 0)), _mm256_cvtepu16_epi32(SD(at)(p, 16)));
}

static inline __attribute__((always_inline)) void SD(load_s16)(v16i *v, const int16_t *p) {
    SD(both)(v, _mm256_cvtepi16_epi32(SD(at)(p, 0)), _mm256_cvtepi16_epi32(SD(at)(p, 16)));
}

static inline __attribute__((always_inline)) void SD(load_u8)(v16u *v, const uint8_t *p) {
    const __m128i all = SD(at)(p, 0);
    SD(both)(v, _mm256_cvtepu8_epi32(all), _mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)));
}

static inline __attribute__((always_inline)) void SD(load_s8)(v16i *v, const int8_t *p) {
    const __m128i all = SD(at)(p, 0);
    SD(both)(v, _mm256_cvtepi8_epi32(all), _mm256_cvtepi8_epi32(_mm_srli_si128(all, 8)));
}

static inline __attribute__((always_inline)) void SD(store_s16)(int16_t *p, const v16i *v) {
    __m256i low, high;
    memcpy(&low, v, 32);
    memcpy(&high, (const char *)v + 32, 32);
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    memcpy(p, &both, 32);
}

static inline __attribute__((always_inline)) void SD(store_s8)(int8_t *p, const v16i *v) {
    int16_t half[16];
    SD(store_s16)(half, v);
    const __m128i made = _mm_packs_epi16(SD(at)(half, 0), SD(at)(half, 16));
    memcpy(p, &made, 16);
}

/* By 16 cells of a table: next where the ratio is beyond the cell's edge, and base elsewhere. */
static inline __attribute__((always_inline)) void SD(choose)(v16i *n, const v16f *ratio, const v16i *at,
                                                             const float *edges, const int32_t *base,
                                                             const int32_t *next) {
    for (int i = 0; i < 2; i++) {
        __m256i cell;
        __m256 r;
        memcpy(&cell, (const char *)at + 32 * i, 32);
        memcpy(&r, (const char *)ratio + 32 * i, 32);
        const __m256 beyond = _mm256_cmp_ps(r, _mm256_i32gather_ps(edges, cell, 4), _CMP_GT_OQ);
        const __m256i low = _mm256_i32gather_epi32(base, cell, 4), high = _mm256_i32gather_epi32(next, cell, 4);
        const __m256i made = _mm256_blendv_epi8(low, high, _mm256_castps_si256(beyond));
        memcpy((char *)n + 32 * i, &made, 32);
    }
}

#define SD_LOAD_F16(v, p) (v) = (SD(vf))_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define SD_LOAD_S8(v, p) (v) = (SD(vi))_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#include "ops_float.h"
#include "ops_encode.h"

static inline int32_t SD(dot8)(const int8_t *a, const int8_t *b, sd_int n) {
    __m256i sum = _mm256_setzero_si256();
    sd_int i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(a + i)));
        const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    int32_t total = _mm_cvtsi128_si32(s);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

static inline __attribute__((always_inline)) __m256i SD(sixteen)(const int8_t *p) {
    return _mm256_cvtepi8_epi16(SD(at)(p, 0));
}

/* Four sums of eight, side by side. */
static inline __attribute__((always_inline)) __m128i SD(sums4)(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* See ops_attention.h. Heads of 64 keep the query in registers and take four keys at a time. */
#define SD_OWN_ATTENTION
static inline void SD(scores)(int32_t *y, const int8_t *query, const int8_t *keys, sd_int width, sd_int count) {
    sd_int i = 0;
    if (width == 64) {
        const __m256i q0 = SD(sixteen)(query), q1 = SD(sixteen)(query + 16);
        const __m256i q2 = SD(sixteen)(query + 32), q3 = SD(sixteen)(query + 48);
        for (; i + 4 <= count; i += 4) {
            __m256i sum[4];
            for (int j = 0; j < 4; j++) {
                const int8_t *key = keys + (i + j) * 64;
                const __m256i a = _mm256_madd_epi16(q0, SD(sixteen)(key)), b = _mm256_madd_epi16(q1, SD(sixteen)(key + 16));
                const __m256i c = _mm256_madd_epi16(q2, SD(sixteen)(key + 32));
                const __m256i d = _mm256_madd_epi16(q3, SD(sixteen)(key + 48));
                sum[j] = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
            }
            const __m128i made = SD(sums4)(sum[0], sum[1], sum[2], sum[3]);
            memcpy(y + i, &made, 16);
        }
    }
    for (; i < count; i++) y[i] = SD(dot8)(query, keys + i * width, width);
}

/* Two keys at a time: their values of a channel side by side, times both probabilities, which take 16 bits. */
static inline __attribute__((always_inline)) void SD(mix)(const int blocks, int32_t *y, const int32_t *p,
                                                          const int32_t *key, const int8_t *n, sd_int stride,
                                                          sd_int count) {
    __m256i low[4], high[4];
    for (int b = 0; b < blocks; b++) low[b] = high[b] = _mm256_setzero_si256();
    for (sd_int i = 0; i < count; i += 2) {
        const sd_int next = i + 1 < count ? i + 1 : i;
        const __m256i both = _mm256_set1_epi32(p[i] | (next == i ? 0 : (int32_t)((uint32_t)p[next] << 16)));
        const int8_t *one = n + key[i] * stride, *two = n + key[next] * stride;
        for (int b = 0; b < blocks; b++) {
            const __m256i v = SD(sixteen)(one + b * 16), w = SD(sixteen)(two + b * 16);
            low[b] = _mm256_add_epi32(low[b], _mm256_madd_epi16(_mm256_unpacklo_epi16(v, w), both));
            high[b] = _mm256_add_epi32(high[b], _mm256_madd_epi16(_mm256_unpackhi_epi16(v, w), both));
        }
    }
    for (int b = 0; b < blocks; b++) {
        SD(both)(y + b * 16, _mm256_permute2x128_si256(low[b], high[b], 0x20),
                 _mm256_permute2x128_si256(low[b], high[b], 0x31));
    }
}

#include "ops_attention.h"

/* Sums of 8 outputs: codes of 4 inputs each times 4 counts. Nibbles fit 16 bits; bytes go through 16-bit factors. */
static inline __attribute__((always_inline)) __m256i SD(four)(const int bytes, __m256i sum, __m256i codes,
                                                              __m256i counts) {
    if (!bytes) {
        const __m256i pairs = _mm256_maddubs_epi16(codes, counts);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(codes, 8);
    const __m256i even_n = _mm256_srai_epi16(_mm256_slli_epi16(counts, 8), 8), odd_n = _mm256_srai_epi16(counts, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, even_n));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_n));
}

static inline __attribute__((always_inline)) __m256i SD(counts4)(const int8_t *n) {
    int32_t four;
    memcpy(&four, n, 4);
    return _mm256_set1_epi32(four);
}

static inline __attribute__((always_inline)) void SD(dot)(const int tokens, const int bytes,
                                                          const unsigned char *codes, sd_int lines, const int8_t *n,
                                                          sd_int stride, v16u *sums) {
    __m256i a[4], b[4];
    const __m256i low = _mm256_set1_epi8(15);
    for (int k = 0; k < tokens; k++) a[k] = b[k] = _mm256_setzero_si256();
    for (sd_int line = 0; line < lines; line++) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(codes + line * 64));
        const __m256i d = _mm256_loadu_si256((const __m256i *)(const void *)(codes + line * 64 + 32));
        for (int k = 0; k < tokens; k++) {
            const int8_t *now = n + k * stride + line * (bytes ? 4 : 8);
            if (bytes) {
                a[k] = SD(four)(1, a[k], c, SD(counts4)(now));
                b[k] = SD(four)(1, b[k], d, SD(counts4)(now));
            } else {
                a[k] = SD(four)(0, a[k], _mm256_and_si256(c, low), SD(counts4)(now));
                b[k] = SD(four)(0, b[k], _mm256_and_si256(d, low), SD(counts4)(now));
                a[k] = SD(four)(0, a[k], _mm256_and_si256(_mm256_srli_epi16(c, 4), low), SD(counts4)(now + 4));
                b[k] = SD(four)(0, b[k], _mm256_and_si256(_mm256_srli_epi16(d, 4), low), SD(counts4)(now + 4));
            }
        }
    }
    for (int k = 0; k < tokens; k++) {
        _mm256_storeu_si256((__m256i *)(void *)(sums + k), a[k]);
        _mm256_storeu_si256((__m256i *)(void *)((char *)(sums + k) + 32), b[k]);
    }
}

/* Sums of pairs of inputs, in 16 bits, of a cell of 32 inputs and 8 outputs: at most 8·2·15·128. */
static inline __attribute__((always_inline)) void SD(pairs)(const int tokens, const unsigned char *codes,
                                                            const int8_t *n, sd_int stride, __m256i *sum) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int k = 0; k < tokens; k++) sum[k] = _mm256_setzero_si256();
    SD_ROLLED
    for (int line = 0; line < 4; line++) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(codes + line * 64));
        const __m256i c0 = _mm256_and_si256(c, low), c1 = _mm256_and_si256(_mm256_srli_epi16(c, 4), low);
        for (int k = 0; k < tokens; k++) {
            const int8_t *now = n + k * stride + line * 8;
            sum[k] = _mm256_add_epi16(sum[k], _mm256_maddubs_epi16(c0, SD(counts4)(now)));
            sum[k] = _mm256_add_epi16(sum[k], _mm256_maddubs_epi16(c1, SD(counts4)(now + 4)));
        }
    }
}

/* See ops_dense.h. The pairs' sums are joined and multiplied by the step in one instruction, and so are the offset and
 * the counts' sum, which has 16 bits where the counts have 8. */
#define SD_ROW_CELL
static inline __attribute__((always_inline)) void
SD(row_half)(const int tokens, const int q, const unsigned char *codes, __m128i step, __m128i offset, const int8_t *low,
             const int8_t *high, sd_int stride, const int32_t *sums, sd_int apart, SD(vu) (*total)[2]) {
    const __m256i by = _mm256_cvtepu8_epi32(step), more = _mm256_cvtepu16_epi32(offset);
    const __m256i twice = _mm256_or_si256(by, _mm256_slli_epi32(by, 16));
    __m256i sum[4];
    SD(pairs)(tokens, codes + 32 * q, low, stride, sum);
    for (int k = 0; k < tokens; k++) {
        const __m256i all = _mm256_set1_epi32(sums[k * apart] & 0xffff);
        total[k][q] += (SD(vu))_mm256_madd_epi16(sum[k], twice) + (SD(vu))_mm256_madd_epi16(more, all);
    }
    if (high) {
        SD(pairs)(tokens, codes + 32 * q, high, stride, sum);
        for (int k = 0; k < tokens; k++) {
            const __m256i above = _mm256_set1_epi32((sums[k * apart] + 0x8000) >> 16);
            total[k][q] += (SD(vu))_mm256_madd_epi16(sum[k], twice) << 8;
            total[k][q] += (SD(vu))_mm256_madd_epi16(more, above) << 16;
        }
    }
}

static inline __attribute__((always_inline)) void
SD(row_cell)(const int tokens, const unsigned char *codes, const uint8_t *steps, const int16_t *offsets,
             const int8_t *low, const int8_t *high, sd_int stride, const int32_t *sums, sd_int apart,
             SD(vu) (*total)[2]) {
    const __m128i step = SD(at)(steps, 0);
    SD(row_half)(tokens, 0, codes, step, SD(at)(offsets, 0), low, high, stride, sums, apart, total);
    SD(row_half)(tokens, 1, codes, _mm_srli_si128(step, 8), SD(at)(offsets, 16), low, high, stride, sums, apart, total);
}

/* For ops_gather_x86.h. Steps and offsets come in its order: whole, and the first or last 8 of each 16. */
#define SD_M(name) _mm256_##name
typedef __m256i SD(reg);

static inline __attribute__((always_inline)) __m256i SD(read)(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline __attribute__((always_inline)) __m256i SD(row_steps)(const uint8_t *p) { return SD(read)(p); }

static inline __attribute__((always_inline)) __m256i SD(row_offsets)(const int16_t *p, int last) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(SD(at)(p + 8 * last, 0)), SD(at)(p + 16 + 8 * last, 0), 1);
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
#undef SD_ROW_CELL
#undef SD_OWN_ATTENTION
#undef SD_LOAD_F16
#undef SD_LOAD_S8
#undef SD_M
