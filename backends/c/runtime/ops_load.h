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

/* 32 unsigned bytes as 16-bit numbers. */
static inline __attribute__((always_inline)) void SD(spread)(v32h *v, const v32c *p) {
    *v = __builtin_convertvector(*p, v32h);
}

static inline __attribute__((always_inline)) void SD(store_s8)(int8_t *p, const v16i *v) {
    for (int i = 0; i < 16; i++) p[i] = (int8_t)(*v)[i];
}

static inline __attribute__((always_inline)) void SD(store_s16)(int16_t *p, const v16i *v) {
    for (int i = 0; i < 16; i++) p[i] = (int16_t)(*v)[i];
}
