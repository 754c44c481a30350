/* 16 small numbers as 32-bit ones, in two steps, each of which compilers know as one instruction or two. Included where
 * an instruction set has no better way of its own.
 */

static inline __attribute__((always_inline)) void SD(load_u16)(v16u *v, const uint16_t *p) {
    *v = __builtin_convertvector(SD_AT(v16w_at, p), v16u);
}

static inline __attribute__((always_inline)) void SD(load_s16)(v16i *v, const int16_t *p) {
    *v = __builtin_convertvector(SD_AT(v16h_at, p), v16i);
}

static inline __attribute__((always_inline)) void SD(load_u8)(v16u *v, const uint8_t *p) {
    *v = __builtin_convertvector(__builtin_convertvector(SD_AT(v16c_at, p), v16w_at), v16u);
}

static inline __attribute__((always_inline)) void SD(load_s8)(v16i *v, const int8_t *p) {
    *v = __builtin_convertvector(__builtin_convertvector(SD_AT(v16b_at, p), v16h_at), v16i);
}

static inline __attribute__((always_inline)) void SD(store_s8)(int8_t *p, const v16i *v) {
    for (int i = 0; i < 16; i++) p[i] = (int8_t)(*v)[i];
}

static inline __attribute__((always_inline)) void SD(store_s16)(int16_t *p, const v16i *v) {
    for (int i = 0; i < 16; i++) p[i] = (int16_t)(*v)[i];
}

/* By 16 cells of a table: next where the ratio is beyond the cell's edge, and base elsewhere. */
static inline __attribute__((always_inline)) void SD(choose)(v16i *n, const v16f *ratio, const v16i *at,
                                                             const float *edges, const int32_t *base,
                                                             const int32_t *next) {
    float r[16];
    int32_t cell[16], made[16];
    memcpy(r, ratio, sizeof r);
    memcpy(cell, at, sizeof cell);
    for (int i = 0; i < 16; i++) made[i] = r[i] > edges[cell[i]] ? next[cell[i]] : base[cell[i]];
    memcpy(n, made, sizeof made);
}
