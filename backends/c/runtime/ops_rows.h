/* The event kernel for what is most common: nibbles in rows on one scale, cells of 32 inputs, one plane, no zero points.
 * Included once for each instruction set, which gives
 * SD(gather)(half, next, line, at, n, events, steps, offsets, sum, shift, total): a chunk's sums into the totals of a
 * line of codes, or of its first half, asking for memory from `next` on (NULL: of the events to come);
 * SD(settle)(total, outputs): a line's totals in the order of outputs.
 *
 * Events of a cell come in chunks that fit sums of 16 bits, 15·Σ|n| ≤ 32767. Then step·M + offset·N is one multiply-add
 * of pairs of 16 bits, which makes reading a cell out so cheap that it needs no membrane of its own. A count beyond 8
 * bits is two events, n = low + 256·high; high parts have chunks of their own, shifted by 8.
 */
/* FAR: inputs ahead that are asked for in order; NEAR: events ahead, where few inputs spike. */
enum { SD(LINE) = 128, SD(CHUNK) = 32767 / 15, SD(FAR) = 128, SD(NEAR) = 32 };

struct SD(chunk) {
    int32_t first, events; /* a multiple of 4 of them, made up with counts of 0 */
    int32_t sum, shift;    /* the sum of the cell's counts, or a part of it */
};

/* The events of one token, cell after cell. */
struct SD(list) {
    uint32_t *at; /* where the input's codes are in a line */
    struct SD(chunk) *chunks;
    int32_t *cells; /* the first chunk of each */
    int8_t *n;
    int32_t events, made; /* so far, and chunks */
};

/* Room for a list: every input twice, four chunks a cell, each made up with three, and FAR more. linears.py knows it. */
static inline unsigned char *SD(room_of)(const struct sd_linear *l, unsigned char *room, struct SD(list) *e) {
    const sd_int events = 2 * l->in + 16 * l->n_cells + SD(FAR) + 4;
    e->at = (uint32_t *)(void *)room;
    e->chunks = (struct SD(chunk) *)(void *)(e->at + events);
    e->cells = (int32_t *)(void *)(e->chunks + 4 * l->n_cells);
    e->n = (int8_t *)(void *)(e->cells + l->n_cells + 1);
    e->events = e->made = 0;
    return room + (events * 5 + l->n_cells * (4 * (sd_int)sizeof *e->chunks + 4) + 4 + 63) / 64 * 64;
}

static inline void SD(end_chunk)(struct SD(list) *e, int32_t first, int32_t sum, int32_t shift) {
    while ((e->events - first) % 4) {
        e->at[e->events] = e->at[e->events - 1];
        e->n[e->events++] = 0;
    }
    e->chunks[e->made++] = (struct SD(chunk)){first, e->events - first, sum, shift};
}

/* A cell whose counts are beyond 8 bits, or too large together for one chunk: low parts, then high ones. */
static __attribute__((noinline)) void SD(list_parts)(sd_int start, const int16_t *n,
                                                     int32_t sum, struct SD(list) *e) {
    const int32_t low_sum = sum > 32767 || sum < -32768 ? ((sum + 128) & 255) - 128 : sum;
    for (int shift = 0; shift <= 8; shift += 8) {
        int32_t left = shift ? (sum - low_sum) >> 8 : low_sum, size = 0, first = e->events;
        const int before = e->made;
        for (int j = 0; j < 32; j++) {
            const int low = ((n[j] + 128) & 255) - 128, part = shift ? (n[j] - low) >> 8 : low;
            if (part == 0) continue;
            size += abs(part);
            if (size > SD(CHUNK)) {
                SD(end_chunk)(e, first, left, shift);
                left = 0;
                first = e->events;
                size = abs(part);
            }
            e->at[e->events] = (uint32_t)((start + j) * 64);
            e->n[e->events++] = (int8_t)part;
        }
        if (e->events > first || (left && e->made == before)) SD(end_chunk)(e, first, left, shift);
    }
}

static void SD(list_events)(const struct sd_linear *l, const struct sd_call *c, sd_int token, struct SD(list) *e) {
    for (int i = 0; i < l->n_cells; i++) {
        const sd_int start = l->cells[i].start;
        int16_t n[32];
        int32_t sum = 0, size = 0, wide = 0;
        if (l->count_size == 1) {
            const int8_t *from = (const int8_t *)c->n + token * c->n_stride + start;
            for (int j = 0; j < 32; j++) n[j] = from[j];
        } else {
            memcpy(n, (const int16_t *)c->n + token * c->n_stride + start, sizeof n);
        }
        for (int j = 0; j < 32; j++) {
            sum += n[j];
            size += abs(n[j]);
            wide |= (n[j] + 128) & ~255;
        }
        e->cells[i] = e->made;
        if (size == 0) continue;
        if (wide || size > SD(CHUNK)) {
            SD(list_parts)(start, n, sum, e);
            continue;
        }
        const int32_t first = e->events;
        int32_t k = first;
        for (int j = 0; j < 32; j++) {
            e->at[k] = (uint32_t)((start + j) * 64);
            e->n[k] = (int8_t)n[j];
            k += n[j] != 0;
        }
        e->events = k;
        SD(end_chunk)(e, first, sum, 0);
    }
    e->cells[l->n_cells] = e->made;
    memset(e->at + e->events, 0, (SD(FAR) + 4) * sizeof *e->at);
}

#include SD_GATHER

/* One line of codes for one token: cell after cell into totals, and these to results. */
static inline void SD(event_line)(const struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c,
                                  const struct SD(list) *e, sd_int token, sd_int line, int32_t *seen) {
    const unsigned char *codes = (const unsigned char *)t->w[l->codes] + line * l->in * 64;
    const uint8_t *steps = (const uint8_t *)t->w[l->steps] + line * l->n_cells * SD(LINE);
    const int16_t *offsets = (const int16_t *)t->w[l->offsets] + line * l->n_cells * SD(LINE);
    const sd_int first = line * SD(LINE), width = l->out - first < SD(LINE) ? l->out - first : SD(LINE);
    uint32_t total[SD(LINE)] = {0}, outputs[SD(LINE)];
    /* Memory is quickest when all that follows is asked for in order; where few inputs spike, only what will be read. */
    const bool few = 5 * e->events <= l->in;
    for (int i = 0; i < l->n_cells; i++, steps += SD(LINE), offsets += SD(LINE)) {
        for (int k = 0; k < SD(LINE); k += 64) SD_AHEAD(steps + SD(FAR) / 16 * SD(LINE) + k);
        for (int k = 0; k < SD(LINE); k += 32) SD_AHEAD(offsets + SD(FAR) / 16 * SD(LINE) + k);
        const unsigned char *next = few ? NULL : codes + (i * 32 + SD(FAR)) * 64;
        for (int k = e->cells[i]; k < e->cells[i + 1]; k++) {
            const struct SD(chunk) *now = e->chunks + k;
            SD(gather)(width <= SD(LINE) / 2, next, codes, e->at + now->first, e->n + now->first, now->events, steps,
                       offsets, now->sum, now->shift, total);
            for (int32_t j = now->events; next && j < 32; j++) SD_AHEAD(next + j * 64);
        }
    }
    SD(settle)(total, outputs);
    if (seen) memcpy(seen + token * l->out + first, outputs, (size_t)width * sizeof *outputs);
    v16f gate = {0};
    for (sd_int o = 0; o < width; o += 16) {
        v16f y = __builtin_convertvector(SD_AT(v16i_at, outputs + o), v16f);
        y *= SD_AT(v16f_at, (const float *)t->w[l->scales] + first + o);
        y = y * c->v[token * c->v_stride] + 0.0f;
        SD(finish)(t, l, c, token, first + o, &y, &gate);
    }
}

static __attribute__((noinline)) void SD(event_rows)(struct sd_thread *t, const struct sd_linear *l,
                                                     const struct sd_call *c, int32_t *seen) {
    struct SD(list) *lists = (struct SD(list) *)(void *)t->scratch;
    bool listed = false; /* by the first part, before which the counts may not be there */
    for (sd_int begin = 0, end = 0; sd_part(t, (l->out + SD(LINE) - 1) / SD(LINE), 1, &begin, &end);) {
        unsigned char *room = t->scratch + (t->S * (sd_int)sizeof *lists + 63) / 64 * 64;
        for (sd_int s = 0; !listed && s < t->S; s++) {
            room = SD(room_of)(l, room, lists + s);
            SD(list_events)(l, c, s, lists + s);
        }
        listed = true;
        for (sd_int line = begin; line < end; line++) {
            for (sd_int s = 0; s < t->S; s++) SD(event_line)(t, l, c, lists + s, s, line, seen);
        }
    }
}
