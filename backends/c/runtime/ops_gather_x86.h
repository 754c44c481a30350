/* The event kernel's inner loop for AVX2 and AVX-512: the bytes of two columns (VNNI: four) side by side, times their
 * counts. Registers are put together within each 128 bits, and totals stay in that order until they are settled.
 * Included by each, which gives SD_M (names of its intrinsics), SD(reg), SD(read), SD(row_steps) and SD(row_offsets).
 */

/* Sums of the events in 16 bits, four registers for each part of a line: low nibbles of the first and last 8 bytes of
 * each 128 bits, then high nibbles. Lines from
 * `next` on are asked for, or where that is NULL those of later events. */
static inline __attribute__((always_inline)) void SD(gather_sums)(const int parts, const unsigned char *next,
                                                                  const unsigned char *codes, const uint32_t *at,
                                                                  const int8_t *n, int32_t events, SD(reg) *m) {
    const SD(reg) mask = SD_M(set1_epi8)(15);
#ifdef SD_VNNI
    SD(reg) sum[8]; /* AVX-512 has the whole line in one part */
    (void)parts;
    for (int k = 0; k < 8; k++) sum[k] = SD_M(set1_epi32)(0);
    for (int32_t i = 0; i < events; i += 4) {
        int32_t four;
        for (int k = 0; k < 4; k++) SD_AHEAD(next ? next + (i + k) * 64 : codes + at[i + SD(NEAR) + k]);
        memcpy(&four, n + i, 4);
        const SD(reg) counts = SD_M(set1_epi32)(four);
        const SD(reg) a = SD(read)(codes + at[i]), b = SD(read)(codes + at[i + 1]);
        const SD(reg) c = SD(read)(codes + at[i + 2]), d = SD(read)(codes + at[i + 3]);
        const SD(reg) low[2] = {SD_M(unpacklo_epi8)(a, b), SD_M(unpacklo_epi8)(c, d)};
        const SD(reg) high[2] = {SD_M(unpackhi_epi8)(a, b), SD_M(unpackhi_epi8)(c, d)};
        const SD(reg) all[4] = {SD_M(unpacklo_epi16)(low[0], low[1]), SD_M(unpackhi_epi16)(low[0], low[1]),
                                SD_M(unpacklo_epi16)(high[0], high[1]), SD_M(unpackhi_epi16)(high[0], high[1])};
        for (int k = 0; k < 4; k++) {
            sum[k] = SD_M(dpbusd_epi32)(sum[k], all[k] & mask, counts);
            sum[k + 4] = SD_M(dpbusd_epi32)(sum[k + 4], SD_M(srli_epi16)(all[k], 4) & mask, counts);
        }
    }
    for (int k = 0; k < 4; k++) m[k] = SD_M(packs_epi32)(sum[2 * k], sum[2 * k + 1]);
#else
    for (int k = 0; k < 4 * parts; k++) m[k] = SD_M(set1_epi32)(0);
    for (int32_t i = 0; i < events; i += 2) {
        int16_t two;
        memcpy(&two, n + i, 2);
        const SD(reg) counts = SD_M(set1_epi16)(two);
        const unsigned char *one = codes + at[i], *other = codes + at[i + 1];
        for (int k = 0; k < 2; k++) SD_AHEAD(next ? next + (i + k) * 64 : codes + at[i + SD(NEAR) + k]);
        for (int p = 0; p < parts; p++) {
            const SD(reg) a = SD(read)(one + p * SD_NATIVE), b = SD(read)(other + p * SD_NATIVE);
            const SD(reg) all[2] = {SD_M(unpacklo_epi8)(a, b), SD_M(unpackhi_epi8)(a, b)};
            for (int k = 0; k < 2; k++) {
                SD(reg) *low = m + 4 * p + k, *high = low + 2;
                *low = SD_M(add_epi16)(*low, SD_M(maddubs_epi16)(all[k] & mask, counts));
                *high = SD_M(add_epi16)(*high, SD_M(maddubs_epi16)(SD_M(srli_epi16)(all[k], 4) & mask, counts));
            }
        }
    }
#endif
}

/* step·M + offset·N of one register of codes into its totals. */
static inline __attribute__((always_inline)) void SD(gather_part)(const SD(reg) *m, const uint8_t *steps,
                                                                  const int16_t *offsets, int32_t sum, int32_t shift,
                                                                  uint32_t *total) {
    const SD(reg) zero = SD_M(set1_epi32)(0), whole = SD_M(set1_epi16)((int16_t)sum);
    const __m128i by = _mm_cvtsi32_si128(shift);
    for (int high = 0; high < 2; high++) {
        const SD(reg) step = SD(row_steps)(steps + high * 32);
        for (int k = 0; k < 2; k++) {
            const SD(reg) sums = m[high * 2 + k], offset = SD(row_offsets)(offsets + high * 32, k);
            const SD(reg) one = k ? SD_M(unpackhi_epi8)(step, zero) : SD_M(unpacklo_epi8)(step, zero);
            SD(reg) low = SD_M(madd_epi16)(SD_M(unpacklo_epi16)(sums, whole), SD_M(unpacklo_epi16)(one, offset));
            SD(reg) top = SD_M(madd_epi16)(SD_M(unpackhi_epi16)(sums, whole), SD_M(unpackhi_epi16)(one, offset));
            if (shift) {
                low = SD_M(sll_epi32)(low, by);
                top = SD_M(sll_epi32)(top, by);
            }
            SD(vu_at) *to = (SD(vu_at) *)(void *)(total + (high * 4 + k * 2) * (SD_NATIVE / 4));
            to[0] += (SD(vu))low;
            to[1] += (SD(vu))top;
        }
    }
}

static inline __attribute__((always_inline)) void
SD(gather_parts)(const int parts, const unsigned char *next, const unsigned char *line, const uint32_t *at, const int8_t *n,
                 int32_t events, const uint8_t *steps, const int16_t *offsets, int32_t sum, int32_t shift,
                 uint32_t *total) {
    SD(reg) m[8];
    SD(gather_sums)(parts, next, line, at, n, events, m);
    for (int p = 0; p < parts; p++) SD(gather_part)(m + 4 * p, steps + 64 * p, offsets + 64 * p, sum, shift, total + 64 * p);
}

static inline void SD(gather)(bool half, const unsigned char *next, const unsigned char *line, const uint32_t *at, const int8_t *n,
                              int32_t events, const uint8_t *steps, const int16_t *offsets, int32_t sum, int32_t shift,
                              uint32_t *total) {
    if (SD_NATIVE == 64 || half) {
        SD(gather_parts)(1, next, line, at, n, events, steps, offsets, sum, shift, total);
    } else {
        SD(gather_parts)(2, next, line, at, n, events, steps, offsets, sum, shift, total);
    }
}

static inline void SD(settle)(const uint32_t *total, uint32_t *outputs) {
    for (int o = 0; o < SD(LINE); o += 4) {
        const int byte = o / 64 * 32 + o % 32; /* of the line, whose low half has o % 64 < 32 */
        const int vector = byte / SD_NATIVE * 8 + o % 64 / 32 * 4 + byte % 16 / 4, lane = byte % SD_NATIVE / 16;
        memcpy(outputs + o, total + vector * (SD_NATIVE / 4) + lane * 4, 16);
    }
}
