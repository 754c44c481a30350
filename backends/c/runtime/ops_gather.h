/* The event kernel's inner loop where there is none of an instruction set's own: one column at a time. */

static inline void SD(gather)(bool half, const unsigned char *next, const unsigned char *line, const uint32_t *at, const int8_t *n,
                              int32_t events, const uint8_t *steps, const int16_t *offsets, int32_t sum, int32_t shift,
                              uint32_t *total) {
    (void)next;
    for (int o = 0; o < (half ? 64 : 128); o += o % 64 + SD(WIDE) == 32 ? 32 + SD(WIDE) : SD(WIDE)) {
        const unsigned char *part = line + o / 64 * 32 + o % 64;
        SD(vh) sums[2] = {{0}, {0}};
        for (int32_t i = 0; i < events; i++) {
            const SD(vb) codes = SD_AT(SD(vb_at), part + at[i]);
            sums[0] += __builtin_convertvector(codes & 15, SD(vh)) * (int16_t)n[i];
            sums[1] += __builtin_convertvector(codes >> 4, SD(vh)) * (int16_t)n[i];
        }
        for (int high = 0; high < 2; high++) {
            for (int j = 0; j < SD(WIDE); j++) {
                const int to = o + high * 32 + j;
                total[to] += ((uint32_t)(sums[high][j] * steps[to]) + (uint32_t)(offsets[to] * sum)) << shift;
            }
        }
    }
}

static inline void SD(settle)(const uint32_t *total, uint32_t *outputs) {
    memcpy(outputs, total, SD(LINE) * sizeof *outputs);
}
