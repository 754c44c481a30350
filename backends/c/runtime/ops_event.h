/* Event kernels: only inputs that spike are read, column by column. Included once for each instruction set.
 *
 * Codes lie by input, in tiles of 64 outputs (nibbles: 32 bytes, outputs 0-31 in the low halves and 32-63 in the high
 * ones; bytes: 64). A tile takes the columns of one cell's events, then its sums are read out.
 *
 * In functions named accumulate_ nothing is multiplied: they add, subtract and double. Tests look at their machine
 * code.
 */

/* The events of one cell and token. `column`: where each one's row begins, in bytes, by order; `first`: those of each
 * step, positive and negative ones apart. */
struct SD(events) {
    const uint32_t *column;
    const uint32_t *first;
    const int *flags; /* of each step: enum in kernels.h */
    sd_int steps;
};

/* A tile goes through in parts, as wide as the instruction set's registers: SD_WIDE outputs in 16 bits, for nibbles as
 * many of the tile's first half and of its second. */
enum { SD(WIDE) = SD_NATIVE / 2, SD(PARTS) = 32 / (SD_NATIVE / 2) };
typedef SD_VECTOR(int16_t, SD_NATIVE) SD(vh);
typedef SD_VECTOR(uint8_t, SD_NATIVE / 2) SD(vb);
typedef SD_LOOSE(uint8_t, SD_NATIVE / 2) SD(vb_at);
typedef SD_LOOSE(int16_t, SD_NATIVE / 2) SD(half_at);

/* Sum of nibble columns, by at most 16 at a time in 8 bits, into 16. */
static inline __attribute__((always_inline)) void SD(add_nibbles)(const unsigned char *tile, const uint32_t *column,
                                                                  const uint32_t *end, SD(vh) *low, SD(vh) *high) {
    while (column != end) {
        const uint32_t *stop = end - column > 16 ? column + 16 : end;
        SD(vb) a = {0}, b = {0};
        for (; column != stop; column++) {
            const SD(vb) codes = SD_AT(SD(vb_at), tile + *column);
            a += codes & 15;
            b += codes >> 4;
        }
        *low += __builtin_convertvector(a, SD(vh));
        *high += __builtin_convertvector(b, SD(vh));
    }
}

static inline __attribute__((always_inline)) void SD(add_bytes)(const unsigned char *tile, const uint32_t *column,
                                                                const uint32_t *end, SD(vh) *low, SD(vh) *high) {
    for (; column != end; column++) {
        *low += __builtin_convertvector(SD_AT(SD(vb_at), tile + *column), SD(vh));
        *high += __builtin_convertvector(SD_AT(SD(vb_at), tile + *column + 32), SD(vh));
    }
}

/* The 16-bit sums of a part into its 32-bit membrane. */
static inline __attribute__((always_inline)) void SD(widen)(uint32_t *m, const SD(vh) *low, const SD(vh) *high) {
    for (int i = 0; i < 2; i++) {
        const int at = i * (SD(WIDE) / 2);
        const SD(vi) a = __builtin_convertvector(SD_AT(SD(half_at), (const int16_t *)(const void *)low + at), SD(vi));
        const SD(vi) b = __builtin_convertvector(SD_AT(SD(half_at), (const int16_t *)(const void *)high + at), SD(vi));
        SD_TO(SD(vu_at), m + at) += (SD(vu_at))a;
        SD_TO(SD(vu_at), m + 32 + at) += (SD(vu_at))b;
    }
}

static inline __attribute__((always_inline)) void SD(twice)(uint32_t *m) {
    for (int i = 0; i < SD(WIDE); i += SD_NATIVE / 4) {
        SD_TO(SD(vu_at), m + i) += SD_AT(SD(vu_at), m + i);
        SD_TO(SD(vu_at), m + 32 + i) += SD_AT(SD(vu_at), m + 32 + i);
    }
}

/* The train of one cell on one part, step by step: the membrane doubles, spikes add their columns to it or, in a ramp,
 * to the slope, which then is added too. In 16 bits as long as that is known to fit; the flags say when not. */
static inline __attribute__((always_inline)) void SD(play)(const int bytes, const unsigned char *tile,
                                                           const struct SD(events) *e, uint32_t *m) {
    SD(vh) low = {0}, high = {0}, slope_low = {0}, slope_high = {0};
    const uint32_t *first = e->first;
    for (const int *flags = e->flags, *end = e->flags + e->steps; flags != end; flags++, first += 2) {
        if (*flags & SD_WIDEN) {
            SD(widen)(m, &low, &high);
            low = high = (SD(vh)){0};
        }
        for (int k = *flags & SD_DOUBLE; k; k--) {
            low += low;
            high += high;
            SD(twice)(m);
        }
        if (*flags & SD_CLEAR) slope_low = slope_high = (SD(vh)){0};
        SD(vh) plus_low = {0}, plus_high = {0}, minus_low = {0}, minus_high = {0};
        if (bytes) {
            SD(add_bytes)(tile, e->column + first[0], e->column + first[1], &plus_low, &plus_high);
            SD(add_bytes)(tile, e->column + first[1], e->column + first[2], &minus_low, &minus_high);
        } else {
            SD(add_nibbles)(tile, e->column + first[0], e->column + first[1], &plus_low, &plus_high);
            SD(add_nibbles)(tile, e->column + first[1], e->column + first[2], &minus_low, &minus_high);
        }
        if (*flags & SD_RAMP) {
            slope_low += plus_low - minus_low;
            slope_high += plus_high - minus_high;
            low += slope_low;
            high += slope_high;
        } else {
            low += plus_low - minus_low;
            high += plus_high - minus_high;
        }
    }
    SD(widen)(m, &low, &high);
}

static __attribute__((noinline)) void SD(accumulate_nibbles)(const unsigned char *tile, const struct SD(events) *e,
                                                             uint32_t *m) {
    memset(m, 0, 64 * sizeof *m);
    for (int part = 0; part < SD(PARTS); part++, tile += SD(WIDE), m += SD(WIDE)) SD(play)(0, tile, e, m);
}

static __attribute__((noinline)) void SD(accumulate_bytes)(const unsigned char *tile, const struct SD(events) *e,
                                                           uint32_t *m) {
    memset(m, 0, 64 * sizeof *m);
    for (int part = 0; part < SD(PARTS); part++, tile += SD(WIDE), m += SD(WIDE)) SD(play)(1, tile, e, m);
}

/* Where a tile of the first input begins. */
static inline const unsigned char *SD(tile)(const struct sd_thread *t, const struct sd_linear *l, sd_int tile) {
    const unsigned char *codes = t->w[l->codes];
    return codes + (l->bytes ? tile * l->in * 64 : tile / 2 * l->in * 64 + tile % 2 * 32);
}

/* Spikes of counts n[start … stop) in order of step, negative ones after positive ones. */
static void SD(sort)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c, sd_int token,
                     const struct sd_cell *cell, uint32_t *first, uint32_t *column) {
    const struct sd_trains *code = l->trains[cell->segment];
    const uint32_t *index = t->w[code->first];
    const uint16_t *items = t->w[code->items];
    const sd_int slots = 2 * code->steps;
    memset(first, 0, (size_t)(slots + 2) * sizeof *first);
    for (sd_int i = cell->start; i < cell->stop; i++) {
        const int32_t n = SD(count_at)(c->n, l->count_size, token * c->n_stride + i);
        for (uint32_t j = index[n - code->low]; j < index[n - code->low + 1]; j++) first[items[j] + 2]++;
    }
    for (sd_int i = 2; i < slots + 2; i++) first[i] += first[i - 1];
    for (sd_int i = cell->start; i < cell->stop; i++) {
        const int32_t n = SD(count_at)(c->n, l->count_size, token * c->n_stride + i);
        for (uint32_t j = index[n - code->low]; j < index[n - code->low + 1]; j++) {
            column[first[items[j] + 1]++] = (uint32_t)(i * 64);
        }
    }
}

/* Sums and results of the tiles of a thread, for all tokens: kept in scratch between cells. */
static struct SD(reading) *SD(readings)(struct sd_thread *t, const struct sd_linear *l, unsigned char **rest) {
    unsigned char *room = t->scratch + (t->S * l->n_cells * 4 + 63) / 64 * 64;
    const sd_int bytes = t->S * (l->out / 16) * (sd_int)sizeof(struct SD(reading));
    memset(room, 0, (size_t)bytes);
    *rest = room + bytes;
    return (struct SD(reading) *)(void *)room;
}

static void SD(read_tile)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c, int cell,
                          sd_int token, sd_int tile, int32_t sum, const uint32_t *m, struct SD(reading) *r,
                          int32_t *seen) {
    const sd_int end = tile * 64 + 64 < l->out ? tile * 64 + 64 : l->out;
    for (sd_int o = tile * 64; o < end; o += 16) {
        const v16u sums = SD_AT(v16u_at, m + (o - tile * 64));
        SD(read_cell)(t, l, c, cell, token, (o / 128 * l->n_cells + cell) * 128 + o % 128,
                      (o / 128 * l->n_planes + l->cells[cell].plane) * 128 + o % 128, sum, &sums, r + token * (l->out / 16) + o / 16, seen,
                      o);
    }
}

static void SD(finish_tiles)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                             struct SD(reading) *r, sd_int begin, sd_int end) {
    const sd_int stop = end * 64 < l->out ? end * 64 : l->out;
    v16f gate = {0};
    for (sd_int s = 0; s < t->S; s++) {
        for (sd_int o = begin * 64; o < stop; o += 16) {
            SD(finish)(t, l, c, s, o, &r[s * (l->out / 16) + o / 16].y, &gate);
        }
    }
}

/* The pure-add kernel. */
static __attribute__((noinline)) void SD(added)(struct sd_thread *t, const struct sd_linear *l,
                                                const struct sd_call *c, int32_t *seen, sd_int begin, sd_int end) {
    unsigned char *rest;
    uint32_t m[64];
    const int32_t *sums = SD(count_sums)(t, l, c);
    struct SD(reading) *r = SD(readings)(t, l, &rest);
    for (int i = 0; i < l->n_cells; i++) {
        const struct sd_cell *cell = l->cells + i;
        const struct sd_trains *code = l->trains[cell->segment];
        uint32_t *first = (uint32_t *)(void *)rest, *column = first + 2 * code->steps + 2;
        const int *flags = l->flags;
        for (int s = 0; s < cell->segment; s++) flags += l->trains[s]->steps;
        for (sd_int s = 0; s < t->S; s++) {
            SD(sort)(t, l, c, s, cell, first, column);
            const struct SD(events) e = {column, first, flags, code->steps};
            for (sd_int tile = begin; tile < end; tile++) {
                if (l->bytes) {
                    SD(accumulate_bytes)(SD(tile)(t, l, tile), &e, m);
                } else {
                    SD(accumulate_nibbles)(SD(tile)(t, l, tile), &e, m);
                }
                SD(read_tile)(t, l, c, i, s, tile, sums[s * l->n_cells + i], m, r, seen);
            }
        }
    }
    SD(finish_tiles)(t, l, c, r, begin, end);
}

/* Nibble columns times their counts, where a count takes 8 bits: 16 bits hold few of these, so they are widened often. */
static __attribute__((noinline)) void SD(events_narrow)(const unsigned char *tile, const uint32_t *column,
                                                        const int32_t *n, sd_int events, uint32_t *m) {
    memset(m, 0, 64 * sizeof *m);
    for (int part = 0; part < SD(PARTS); part++, tile += SD(WIDE), m += SD(WIDE)) {
        for (sd_int i = 0; i < events;) {
            const sd_int stop = events - i > 16 ? i + 16 : events;
            SD(vh) low = {0}, high = {0};
            for (; i < stop; i++) {
                const SD(vb) codes = SD_AT(SD(vb_at), tile + column[i]);
                const int16_t by = (int16_t)n[i];
                low += __builtin_convertvector(codes & 15, SD(vh)) * by;
                high += __builtin_convertvector(codes >> 4, SD(vh)) * by;
            }
            SD(widen)(m, &low, &high);
        }
    }
}

/* The same for any count, added to what is there. */
static __attribute__((noinline)) void SD(events_wide)(const int bytes, const unsigned char *tile,
                                                      const uint32_t *column, const int32_t *n, sd_int events,
                                                      uint32_t *m) {
    for (sd_int i = 0; i < events; i++) {
        for (int q = 0; q < 4; q++) {
            v16u codes;
            if (bytes) {
                SD(load_u8)(&codes, tile + column[i] + q * 16);
            } else {
                SD(load_u8)(&codes, tile + column[i] + (q & 1) * 16);
                codes = q < 2 ? codes & 15 : codes >> 4;
            }
            SD_TO(v16u_at, m + q * 16) += codes * (uint32_t)n[i];
        }
    }
}

/* The event kernel that multiplies: each active column once, times its count. */
static __attribute__((noinline)) void SD(event)(struct sd_thread *t, const struct sd_linear *l,
                                                const struct sd_call *c, int32_t *seen, sd_int begin, sd_int end) {
    unsigned char *rest;
    uint32_t m[64];
    const int32_t *sums = SD(count_sums)(t, l, c);
    struct SD(reading) *r = SD(readings)(t, l, &rest);
    uint32_t *column = (uint32_t *)(void *)rest;
    int32_t *counts = (int32_t *)(void *)(column + l->in);
    for (int i = 0; i < l->n_cells; i++) {
        const struct sd_cell *cell = l->cells + i;
        for (sd_int s = 0; s < t->S; s++) {
            /* From the front those whose count fits 8 bits, from the back the rest. */
            sd_int narrow = 0, wide = l->in;
            for (sd_int j = cell->start; j < cell->stop; j++) {
                const int32_t n = SD(count_at)(c->n, l->count_size, s * c->n_stride + j);
                if (n == 0) continue;
                const sd_int at = !l->bytes && n >= -128 && n < 128 ? narrow++ : --wide;
                column[at] = (uint32_t)(j * 64);
                counts[at] = n;
            }
            for (sd_int tile = begin; tile < end; tile++) {
                const unsigned char *at = SD(tile)(t, l, tile);
                SD(events_narrow)(at, column, counts, narrow, m);
                if (wide < l->in) SD(events_wide)(l->bytes, at, column + wide, counts + wide, l->in - wide, m);
                SD(read_tile)(t, l, c, i, s, tile, sums[s * l->n_cells + i], m, r, seen);
            }
        }
    }
    SD(finish_tiles)(t, l, c, r, begin, end);
}
