/* The dense kernel of spiked linear layers: counts times codes. Included once for each instruction set, which gives
 * SD(dot)(tokens, bytes, codes, lines, counts, stride, sums): sums[k][16] of one cell of a block over each token; and
 * where it knows a shorter way (SD_ROW_CELL) SD(row_cell), below.
 */

/* Counts as the dense kernel reads them: 8 bits, every cell at a whole line. What does not fit 8 bits, as few counts do,
 * is in `high`, n = low + 256·high; `more` says for each token and cell whether there is any such. */
struct SD(prepared) {
    const int32_t *sums;
    const int8_t *low, *high;
    const unsigned char *more;
    sd_int stride;
};

static void SD(prepare)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                        struct SD(prepared) *p) {
    p->sums = SD(count_sums)(t, l, c);
    p->low = c->n;
    p->high = NULL;
    p->stride = c->n_stride;
    if (l->count_size == 1 && !l->ragged) return;
    int8_t *low = (int8_t *)t->scratch + (t->S * l->n_cells * 4 + 63) / 64 * 64, *high = low + t->S * l->padded;
    unsigned char *more = (unsigned char *)(high + t->S * l->padded);
    for (sd_int s = 0; s < t->S; s++) {
        for (int i = 0; i < l->n_cells; i++) {
            const struct sd_cell *cell = l->cells + i;
            const sd_int to = s * l->padded + cell->at, width = cell->stop - cell->start;
            const size_t left = (size_t)(cell->padded - width);
            memset(low + to + width, 0, left);
            if (l->count_size == 1) {
                memcpy(low + to, (const int8_t *)c->n + s * c->n_stride + cell->start, (size_t)width);
                continue;
            }
            const int16_t *n = (const int16_t *)c->n + s * c->n_stride + cell->start;
            int any = 0;
            for (sd_int j = 0; j < width; j++) {
                low[to + j] = (int8_t)(((n[j] + 128) & 255) - 128);
                high[to + j] = (int8_t)((n[j] + 128) >> 8);
                any |= high[to + j];
            }
            memset(high + to + width, 0, left);
            more[s * l->n_cells + i] = any != 0;
        }
    }
    p->low = low;
    p->stride = l->padded;
    if (l->count_size > 1) {
        p->high = high;
        p->more = more;
    }
}

static inline bool SD(any_more)(const int tokens, const struct sd_linear *l, const struct SD(prepared) *p, sd_int token,
                                int cell) {
    int any = 0;
    for (int k = 0; k < tokens; k++) any |= p->more[(token + k) * l->n_cells + cell];
    return any != 0;
}

static inline __attribute__((always_inline)) void
SD(dense_block)(const int tokens, const int bytes, const struct sd_thread *t, const struct sd_linear *l,
                const struct sd_call *c, const struct SD(prepared) *p, sd_int block, sd_int token, int32_t *seen,
                v16f *gates) {
    const unsigned char *codes = (const unsigned char *)t->w[l->codes] + block * (l->padded * (bytes ? 16 : 8));
    const sd_int first = token * p->stride;
    struct SD(reading) r[4] = {{{0}, {0}, 0}, {{0}, {0}, 0}, {{0}, {0}, 0}, {{0}, {0}, 0}};
    for (int i = 0; i < l->n_cells; i++) {
        const struct sd_cell *cell = l->cells + i;
        const sd_int lines = cell->padded / (bytes ? 4 : 8);
        v16u m[4];
        SD(dot)(tokens, bytes, codes, lines, p->low + first + cell->at, p->stride, m);
        if (p->high && SD(any_more)(tokens, l, p, token, i)) {
            v16u high[4];
            SD(dot)(tokens, bytes, codes, lines, p->high + first + cell->at, p->stride, high);
            for (int k = 0; k < tokens; k++) m[k] += high[k] << 8;
        }
        codes += lines * 64;
        for (int k = 0; k < tokens; k++) {
            SD(read_cell)(t, l, c, i, token + k, (block * l->n_cells + i) * 16,
                          (block * l->n_planes + cell->plane) * 16, p->sums[(token + k) * l->n_cells + i], m + k, r + k,
                          seen, block * 16);
        }
    }
    for (int k = 0; k < tokens; k++) SD(finish)(t, l, c, token + k, block * 16, &r[k].y, gates + k);
}

enum { SD(QUARTERS) = 64 / SD_NATIVE };

#ifndef SD_ROW_CELL
/* A cell of 32 inputs in rows on one scale, added to the totals of 16 outputs: Σ n·code times the step, and Σ n times
 * the offset. `high`: the counts' high bytes, or NULL; sums[k·apart] is Σ n of token k. */
static inline __attribute__((always_inline)) void
SD(row_cell)(const int tokens, const unsigned char *codes, const uint8_t *steps, const int16_t *offsets,
             const int8_t *low, const int8_t *high, sd_int stride, const int32_t *sums, sd_int apart,
             SD(vu) (*total)[SD(QUARTERS)]) {
    v16u m[4], step;
    v16i offset;
    SD(dot)(tokens, 0, codes, 4, low, stride, m);
    if (high) {
        v16u upper[4];
        SD(dot)(tokens, 0, codes, 4, high, stride, upper);
        for (int k = 0; k < tokens; k++) m[k] += upper[k] << 8;
    }
    SD(load_u8)(&step, steps);
    SD(load_s16)(&offset, offsets);
    for (int q = 0; q < SD(QUARTERS); q++) {
        const SD(vu) by = SD_AT(SD(vu_at), (const char *)&step + q * SD_NATIVE);
        const SD(vu) more = SD_AT(SD(vu_at), (const char *)&offset + q * SD_NATIVE);
        for (int k = 0; k < tokens; k++) {
            const SD(vu) sum = SD_AT(SD(vu_at), (const char *)(m + k) + q * SD_NATIVE);
            total[k][q] += sum * by + more * (uint32_t)sums[k * apart];
        }
    }
}
#endif

/* Cells ahead that are asked for: 8 KB of codes, so that memory is always at work. */
enum { SD(AHEAD) = 32 };

/* The same for what is most common: nibbles in rows on one scale, in groups of 32 inputs and one plane. */
static inline __attribute__((always_inline)) void
SD(dense_rows)(const int tokens, const bool narrow, const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
               const struct SD(prepared) *p, sd_int block, sd_int token, v16f *gates) {
    const unsigned char *codes = (const unsigned char *)t->w[l->codes] + block * l->padded * 8;
    const uint8_t *steps = (const uint8_t *)t->w[l->steps] + block * l->n_cells * 16;
    const sd_int each = narrow ? 16 : 32; /* bytes of a cell's offsets */
    const unsigned char *offsets = (const unsigned char *)t->w[l->offsets] + block * l->n_cells * each;
    const int8_t *n = p->low + token * p->stride;
    const int32_t *sums = p->sums + token * l->n_cells;
    const int cells = l->n_cells;
    SD(vu) total[4][SD(QUARTERS)] = {{{0}}};
    for (int i = 0; i < cells; i++) {
        for (int k = 0; k < 256; k += 64) SD_AHEAD(codes + SD(AHEAD) * 256 + k);
        SD_AHEAD(steps + SD(AHEAD) * 16);
        SD_AHEAD(offsets + SD(AHEAD) * each);
        int16_t wide[16];
        const int16_t *now = (const int16_t *)(const void *)offsets;
        if (narrow) {
            SD(widen_offsets)(wide, steps, (const int8_t *)offsets, l->narrow);
            now = wide;
        }
        const bool more = p->high && SD(any_more)(tokens, l, p, token, i);
        SD(row_cell)(tokens, codes, steps, now, n, more ? p->high + (n - p->low) : NULL, p->stride, sums + i, cells,
                     total);
        codes += 256;
        steps += 16;
        offsets += each;
        n += 32;
    }
    for (int k = 0; k < tokens; k++) {
        v16i whole;
        memcpy(&whole, total[k], sizeof whole);
        v16f y;
        SD(floats)(&y, &whole);
        y *= SD_AT(v16f_at, (const float *)t->w[l->scales] + block * 16);
        y = y * c->v[(token + k) * c->v_stride] + 0.0f;
        SD(finish)(t, l, c, token + k, block * 16, &y, gates + k);
    }
}

static void SD(dense_one)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                          const struct SD(prepared) *p, sd_int block, sd_int token, int32_t *seen, v16f *gates) {
    if (l->plain && !seen && l->narrow < 0) {
        SD(dense_rows)(1, false, t, l, c, p, block, token, gates);
    } else if (l->plain && !seen) {
        SD(dense_rows)(1, true, t, l, c, p, block, token, gates);
    } else if (l->bytes) {
        SD(dense_block)(1, 1, t, l, c, p, block, token, seen, gates);
    } else {
        SD(dense_block)(1, 0, t, l, c, p, block, token, seen, gates);
    }
}

static void SD(dense_four)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                           const struct SD(prepared) *p, sd_int block, sd_int token, int32_t *seen, v16f *gates) {
    if (l->plain && !seen && l->narrow < 0) {
        SD(dense_rows)(4, false, t, l, c, p, block, token, gates);
    } else if (l->plain && !seen) {
        SD(dense_rows)(4, true, t, l, c, p, block, token, gates);
    } else if (l->bytes) {
        SD(dense_block)(4, 1, t, l, c, p, block, token, seen, gates);
    } else {
        SD(dense_block)(4, 0, t, l, c, p, block, token, seen, gates);
    }
}

/* The dense kernel: all counts times all codes, 16 outputs at a time, threads sharing the outputs. */
static __attribute__((noinline)) void SD(dense)(struct sd_thread *t, const struct sd_linear *l,
                                                const struct sd_call *c, int32_t *seen) {
    struct SD(prepared) p = {0};
    const sd_int pair = l->gated ? 2 : 1;
    SD_EACH(t, unit, l->out / 16 / pair) {
        const sd_int b = unit * pair;
        sd_int s = 0;
        if (!p.low) SD(prepare)(t, l, c, &p);
        v16f gates[4] = {{0}};
        for (; s + 4 <= t->S; s += 4) {
            for (sd_int i = b; i < b + pair; i++) SD(dense_four)(t, l, c, &p, i, s, seen, gates);
        }
        for (; s < t->S; s++) {
            for (sd_int i = b; i < b + pair; i++) SD(dense_one)(t, l, c, &p, i, s, seen, gates);
        }
    }
}
