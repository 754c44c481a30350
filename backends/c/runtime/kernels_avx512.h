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
