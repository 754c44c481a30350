/* What all kernels of spiked linear layers share: what is worked out before, and the read-out. Included once for each
 * instruction set.
 */

static inline int32_t SD(count_at)(const void *n, int size, sd_int i) {
    return size == 1 ? ((const int8_t *)n)[i] : size == 2 ? ((const int16_t *)n)[i] : ((const int32_t *)n)[i];
}

/* Sums of counts by token and cell, which a thread works out for itself at the beginning of its scratch. */
static int32_t *SD(count_sums)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c) {
    int32_t *sums = (int32_t *)(void *)t->scratch;
    for (sd_int s = 0; s < t->S; s++) {
        for (int i = 0; i < l->n_cells; i++) {
            const struct sd_cell *cell = l->cells + i;
            int32_t sum = 0;
            if (l->count_size == 1) {
                const int8_t *n = (const int8_t *)c->n + s * c->n_stride;
                for (sd_int j = cell->start; j < cell->stop; j++) sum += n[j];
            } else if (l->count_size == 2) {
                const int16_t *n = (const int16_t *)c->n + s * c->n_stride;
                for (sd_int j = cell->start; j < cell->stop; j++) sum += n[j];
            } else {
                for (sd_int j = cell->start; j < cell->stop; j++) {
                    sum = (int32_t)((uint32_t)sum + (uint32_t)SD(count_at)(c->n, 4, s * c->n_stride + j));
                }
            }
            sums[s * l->n_cells + i] = sum;
        }
    }
    return sums;
}

/* 16 offsets, from how they are kept: see struct sd_linear. */
static inline __attribute__((always_inline)) void SD(widen_offsets)(int16_t *to, const uint8_t *steps, const int8_t *offsets,
                                                                    int narrow) {
    const v16h_at m = __builtin_convertvector(SD_AT(v16b_at, offsets), v16h_at);
    const v16h_at s = __builtin_convertvector(SD_AT(v16c_at, steps), v16h_at);
    SD_TO(v16h_at, to) = m * (int16_t)(1 << narrow) - s * 8;
}

/* What a block, or tile, of outputs has come to for one token. */
struct SD(reading) {
    v16u plane; /* the plane under way, and its sum of counts */
    v16f y;
    int32_t sum;
};

/* A cell's sums into its plane, and a finished plane into y: here stand the multiplications.
 * `where`: its outputs are `where` to `where` + 16; `each`: outputs that a row of scales or steps has, and where those
 * of this block begin. */
static inline __attribute__((always_inline)) void
SD(read_cell)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c, int cell, sd_int token,
              sd_int at, sd_int plane_at, int32_t sum, const v16u *m, struct SD(reading) *r, int32_t *seen,
              sd_int output) {
    const struct sd_cell *now = l->cells + cell;
    const bool last = cell + 1 == l->n_cells || l->cells[cell + 1].plane != now->plane;
    const float v = c->v[token * c->v_stride + now->segment];
    r->sum += sum;
    if (l->rows) {
        v16u step;
        v16i offset;
        SD(load_u8)(&step, (const uint8_t *)t->w[l->steps] + at);
        if (l->narrow < 0) {
            SD(load_s16)(&offset, (const int16_t *)t->w[l->offsets] + at);
        } else {
            int16_t wide[16];
            SD(widen_offsets)(wide, (const uint8_t *)t->w[l->steps] + at, (const int8_t *)t->w[l->offsets] + at, l->narrow);
            SD(load_s16)(&offset, wide);
        }
        r->plane += *m * step + (v16u)offset * (uint32_t)sum;
    } else {
        r->plane += *m + (uint32_t)(l->base * sum);
    }
    if (!last) return;
    v16u whole = r->plane;
    sum = r->sum;
    r->plane = (v16u){0};
    r->sum = 0;
    if (c->z) {
        const v16u w = SD_AT(v16u_at, (const uint32_t *)t->w[l->sums] + plane_at);
        whole -= w * (uint32_t)c->z[token * c->v_stride + now->segment];
        sum -= c->z[token * c->v_stride + now->segment] * (int32_t)(now->stop - now->first);
    }
    if (seen) memcpy(seen + (token * l->n_planes + now->plane) * l->out + output, &whole, sizeof whole);
    v16f y, d;
    SD(floats)(&y, (const v16i *)&whole);
    if (l->rows) {
        y *= SD_AT(v16f_at, (const float *)t->w[l->scales] + output);
    } else {
        SD(halves)(&d, (const uint16_t *)t->w[l->scales] + plane_at);
        y *= d;
        if (l->minima >= 0) {
            SD(halves)(&d, (const uint16_t *)t->w[l->minima] + plane_at);
            y += d * (float)sum;
        }
    }
    r->y += y * v;
}

/* 16 outputs of one token, once all cells are read. A gated pair: the first block goes through its function and waits. */
static inline void SD(finish)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                              sd_int token, sd_int output, v16f *y, v16f *gate) {
    if (l->bias >= 0) *y += SD_AT(v16f_at, (const float *)t->w[l->bias] + output);
    const sd_int block = output / 16;
    if (!l->gated) {
        if (l->act != SD_NOTHING) SD(act16)(l->act, 0.0f, y);
        SD_TO(v16f_at, c->y + token * c->y_stride + output) = *y;
    } else if (block % 2 == 0) {
        SD(act16)(l->act, 0.0f, y);
        *gate = *y;
    } else {
        SD_TO(v16f_at, c->y + token * c->y_stride + block / 2 * 16) = *gate * *y;
    }
}
