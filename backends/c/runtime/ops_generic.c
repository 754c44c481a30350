/* Ops on any layout, one number at a time: what moves data, and the spike ops where no fused kernel takes them. */
#include "kernels.h"

#include <math.h>
#include <string.h>

static void move_one(int size, unsigned char *y, const unsigned char *x) {
    switch (size) {
    case 1:
        *y = *x;
        break;
    case 2:
        memcpy(y, x, 2);
        break;
    case 4:
        memcpy(y, x, 4);
        break;
    default:
        memcpy(y, x, 8);
        break;
    }
}

void sd_copy(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
             const sd_int *xs) {
    SD_EACH(t, r, sd_rows(shape)) {
        unsigned char *to = (unsigned char *)y + sd_row(shape, ys, r) * size;
        const unsigned char *from = (const unsigned char *)x + sd_row(shape, xs, r) * size;
        if (ys[3] == 1 && xs[3] == 1) {
            memcpy(to, from, (size_t)(shape[3] * size));
        } else {
            for (sd_int i = 0; i < shape[3]; i++) move_one(size, to + i * ys[3] * size, from + i * xs[3] * size);
        }
    }
}

uint16_t sd_half(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00); /* no number */
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7bff);
    if (size >= 0x38800000) {
        /* The exponents' biases differ by 112; half of the last place is added, less a bit where that makes it even. */
        return (uint16_t)(sign | (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13);
    }
    const float places = fabsf(x) * 16777216.0f + 8388608.0f; /* of 2^-24, which the addition rounds to whole ones */
    return (uint16_t)(sign | (uint32_t)(places - 8388608.0f));
}

void sd_narrow(struct sd_thread *t, const sd_int *shape, uint16_t *y, const sd_int *ys, const float *x,
               const sd_int *xs) {
    SD_EACH(t, r, sd_rows(shape)) {
        uint16_t *to = y + sd_row(shape, ys, r);
        const float *from = x + sd_row(shape, xs, r);
        for (sd_int i = 0; i < shape[3]; i++) to[i * ys[3]] = sd_half(from[i * xs[3]]);
    }
}

void sd_repeat(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
               const sd_int *xs, int axis, sd_int times) {
    SD_EACH(t, r, sd_rows(shape)) {
        const sd_int place[3] = {r / (shape[1] * shape[2]), r / shape[2] % shape[1], r % shape[2]};
        sd_int from = 0;
        for (int a = 0; a < 3; a++) from += (a == axis ? place[a] / times : place[a]) * xs[a];
        for (sd_int i = 0; i < shape[3]; i++) {
            const sd_int last = axis == 3 ? i / times : i;
            move_one(size, (unsigned char *)y + (sd_row(shape, ys, r) + i * ys[3]) * size,
                     (const unsigned char *)x + (from + last * xs[3]) * size);
        }
    }
}

void sd_pick(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
             const sd_int *xs, const int *order) {
    SD_EACH(t, r, sd_rows(shape)) {
        for (sd_int i = 0; i < shape[3]; i++) {
            move_one(size, (unsigned char *)y + (sd_row(shape, ys, r) + i * ys[3]) * size,
                     (const unsigned char *)x + (sd_row(shape, xs, r) + order[i] * xs[3]) * size);
        }
    }
}

void sd_embed(struct sd_thread *t, const struct sd_matrix *w, sd_int n, float *y, sd_int stride,
              const int64_t *ids, sd_int rows, sd_int offset) {
    const unsigned char *table = t->w[w->values];
    const bool halves = w->form == SD_F16;
    SD_EACH(t, i, n) {
        sd_int row = (sd_int)ids[i] + offset;
        if (row < 0 || row >= rows) {
            atomic_store_explicit(&t->m->outside, true, memory_order_relaxed);
            row = 0;
        }
        /* The table lies as the head wants it: 16 rows together. */
        const unsigned char *from = table + (row / 16 * w->in * 16 + row % 16) * (halves ? 2 : 4);
        for (sd_int j = 0; j < w->in; j++) {
            if (halves) {
                uint16_t h;
                memcpy(&h, from + j * 32, 2);
                const float size = ldexpf((float)(h & 0x3ff) + ((h & 0x7c00) ? 1024.0f : 0.0f),
                                          ((h >> 10) & 31) ? ((h >> 10) & 31) - 25 : -24);
                y[i * stride + j] = (h & 0x8000) ? -size : size;
            } else {
                memcpy(y + i * stride + j, from + j * 64, 4);
            }
        }
    }
}

void sd_turns(struct sd_thread *t, float *turns, sd_int stride, const int64_t *positions, const float *freq,
              sd_int half, float scaling) {
    SD_EACH(t, s, t->S) {
        for (sd_int i = 0; i < half; i++) {
            const float angle = (float)positions[s] * freq[i];
            turns[s * stride + i] = cosf(angle) * scaling;
            turns[s * stride + half + i] = sinf(angle) * scaling;
        }
    }
}

static int32_t whole(const struct sd_ints *n, sd_int at) {
    return n->size == 1   ? ((const int8_t *)n->data)[at]
           : n->size == 2 ? ((const int16_t *)n->data)[at]
                          : ((const int32_t *)n->data)[at];
}

/* Shapes of linear ops by themselves are [a, b, planes, out] or, of counts, those of the tokens. */
void sd_linear_plain(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, void *m, const sd_int *ms,
                     struct sd_ints n, const void *weight, bool floats, sd_int in) {
    SD_EACH(t, i, shape[0] * shape[1] * shape[3]) {
        const sd_int out = i % shape[3], b = i / shape[3] % shape[1], a = i / shape[3] / shape[1];
        const sd_int from = a * n.strides[0] + b * n.strides[1];
        for (int k = 0; k < p->n; k++) {
            const sd_int to = a * ms[0] + b * ms[1] + k * ms[2] + out * ms[3];
            float sum = 0.0f;
            uint32_t total = 0;
            for (sd_int j = p->cells[k].start; j < p->cells[k].stop; j++) {
                const int32_t count = whole(&n, from + j * n.strides[3]);
                if (floats) {
                    sum += (float)count * ((const float *)weight)[out * in + j];
                } else {
                    total += (uint32_t)count * (uint32_t)((const int32_t *)weight)[out * in + j];
                }
            }
            if (floats) {
                ((float *)m)[to] = sum;
            } else {
                ((uint32_t *)m)[to] = total;
            }
        }
    }
}

void sd_center(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, void *y, const sd_int *ys,
               const void *m, const sd_int *ms, const int32_t *z, const sd_int *zs, const void *weight, bool floats,
               sd_int in) {
    SD_EACH(t, i, shape[0] * shape[1] * shape[3]) {
        const sd_int out = i % shape[3], b = i / shape[3] % shape[1], a = i / shape[3] / shape[1];
        for (int k = 0; k < p->n; k++) {
            const int32_t zero = z[a * zs[0] + b * zs[1] + p->cells[k].segment * zs[3]];
            const sd_int to = a * ys[0] + b * ys[1] + k * ys[2] + out * ys[3];
            const sd_int from = a * ms[0] + b * ms[1] + k * ms[2] + out * ms[3];
            float sum = 0.0f;
            uint32_t total = 0;
            for (sd_int j = p->cells[k].start; j < p->cells[k].stop; j++) {
                if (floats) {
                    sum += ((const float *)weight)[out * in + j];
                } else {
                    total += (uint32_t)((const int32_t *)weight)[out * in + j];
                }
            }
            if (floats) {
                ((float *)y)[to] = ((const float *)m)[from] - (float)zero * sum;
            } else {
                ((uint32_t *)y)[to] = ((const uint32_t *)m)[from] - (uint32_t)zero * total;
            }
        }
    }
}

void sd_sum(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, int32_t *y,
            const sd_int *ys, struct sd_ints n, const int32_t *z, const sd_int *zs) {
    SD_EACH(t, r, sd_rows(shape)) {
        for (int k = 0; k < p->n; k++) {
            const struct sd_cell *c = p->cells + k;
            uint32_t sum = 0;
            for (sd_int j = c->start; j < c->stop; j++) {
                sum += (uint32_t)whole(&n, sd_row(shape, n.strides, r) + j * n.strides[3]);
            }
            if (z) {
                const int32_t zero = z[sd_row(shape, zs, r) + c->segment * zs[3]];
                sum -= (uint32_t)zero * (uint32_t)(c->stop - c->start);
            }
            y[sd_row(shape, ys, r) + k * ys[3]] = (int32_t)sum;
        }
    }
}

void sd_read_out(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, float *y, const sd_int *ys,
                 const void *m, const sd_int *ms, const float *v, const sd_int *vs, const int32_t *sums,
                 const sd_int *ss, const float *scales, const float *minima, int groups, const float *bias,
                 bool floats) {
    SD_EACH(t, i, shape[0] * shape[1] * shape[3]) {
        const sd_int out = i % shape[3], b = i / shape[3] % shape[1], a = i / shape[3] / shape[1];
        float total = 0.0f;
        for (int k = 0; k < p->n; k++) {
            const sd_int from = a * ms[0] + b * ms[1] + k * ms[2] + out * ms[3];
            float one = floats ? ((const float *)m)[from] : (float)((const int32_t *)m)[from];
            if (scales) one *= scales[out * groups + p->group[k]];
            if (minima) one += minima[out * groups + p->group[k]] * (float)sums[a * ss[0] + b * ss[1] + k * ss[3]];
            total += one * v[a * vs[0] + b * vs[1] + p->cells[k].segment * vs[3]];
        }
        y[a * ys[0] + b * ys[1] + out * ys[3]] = bias ? total + bias[out] : total;
    }
}

/* Counts of one segment, how they are spikes, and what a spike adds: x, one for each count. */
struct row {
    const unsigned char *n;
    const uint32_t *first;
    const uint16_t *items;
    const int32_t *x;
    ptrdiff_t n_step, x_step; /* n_step: in bytes */
    int32_t low;
    int size;
};

/* Each spike adds x to the sum of its step and sign. */
static __attribute__((noinline)) void accumulate_row(struct row r, sd_int counts, uint32_t *sums) {
    for (; counts; counts--, r.n += r.n_step, r.x += r.x_step) {
        int32_t n;
        if (*r.x == 0) continue;
        if (r.size == 1) {
            n = *(const int8_t *)r.n;
        } else if (r.size == 2) {
            n = *(const int16_t *)(const void *)r.n;
        } else {
            n = *(const int32_t *)(const void *)r.n;
        }
        const uint32_t *first = r.first + (n - r.low);
        for (const uint16_t *i = r.items + first[0], *end = r.items + first[1]; i != end; i++) {
            sums[*i] += (uint32_t)*r.x;
        }
    }
}

/* The membrane of a train, from the sums of its steps. */
static __attribute__((noinline)) uint32_t accumulate_train(const uint32_t *sums, const int *flags, sd_int steps) {
    uint32_t m = 0, slope = 0;
    for (; steps; steps--, flags++, sums += 2) {
        for (int k = *flags & SD_DOUBLE; k; k--) m += m;
        if (*flags & SD_CLEAR) slope = 0;
        const uint32_t arriving = sums[0] - sums[1];
        if (*flags & SD_RAMP) {
            slope += arriving;
            m += slope;
        } else {
            m += arriving;
        }
    }
    return m;
}

uint32_t sd_added(const struct sd_thread *t, const struct sd_spikes *s, int segment, const void *n, int size,
                  sd_int n_stride, const int32_t *x, sd_int x_stride, sd_int counts, uint32_t *sums) {
    const struct sd_trains *code = s->trains[segment];
    memset(sums, 0, (size_t)code->steps * 2 * sizeof *sums);
    accumulate_row((struct row){n, t->w[code->first], t->w[code->items], x, n_stride * size, x_stride,
                                (int32_t)code->low, size},
                   counts, sums);
    return accumulate_train(sums, s->flags[segment], code->steps);
}

static inline int segment_of(const struct sd_spikes *s, sd_int channel) {
    int segment = 0;
    while (channel >= s->starts[segment + 1]) segment++;
    return segment;
}

void sd_matmul(struct sd_thread *t, const sd_int *shape, sd_int inner, sd_int shared, int32_t *m, const sd_int *ms,
               struct sd_ints a, struct sd_ints n, bool transpose, const struct sd_spikes *adding) {
    const sd_int along = n.strides[transpose ? 3 : 2], across = n.strides[transpose ? 2 : 3];
    uint32_t *sums = (uint32_t *)(void *)t->scratch;
    SD_EACH(t, r, shape[1] * shape[2]) {
        const sd_int head = r / shape[2], s = r % shape[2];
        const sd_int a_at = head * a.strides[1] + s * a.strides[2], n_at = head / shared * n.strides[1];
        for (sd_int j = 0; j < shape[3]; j++) {
            uint32_t sum = 0;
            if (adding) {
                const int32_t *x = (const int32_t *)a.data + a_at;
                const unsigned char *from = (const unsigned char *)n.data + (n_at + j * across) * n.size;
                for (int k = 0; transpose && k < adding->segments; k++) {
                    const sd_int start = adding->starts[k], stop = adding->starts[k + 1];
                    sum += sd_added(t, adding, k, from + start * along * n.size, n.size, along,
                                    x + start * a.strides[3], a.strides[3], stop - start, sums);
                }
                if (!transpose) {
                    sum = sd_added(t, adding, segment_of(adding, j), from, n.size, along, x, a.strides[3], inner, sums);
                }
            } else {
                for (sd_int i = 0; i < inner; i++) {
                    sum += (uint32_t)whole(&a, a_at + i * a.strides[3]) *
                           (uint32_t)whole(&n, n_at + i * along + j * across);
                }
            }
            m[head * ms[1] + s * ms[2] + j * ms[3]] = (int32_t)sum;
        }
    }
}

void sd_read_matmul(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const int32_t *m,
                    const sd_int *ms, const float *rows, const sd_int *rs, const float *columns, const sd_int *cs) {
    SD_EACH(t, r, sd_rows(shape)) {
        const float by = rows[sd_row(shape, rs, r)];
        for (sd_int j = 0; j < shape[3]; j++) {
            float one = (float)m[sd_row(shape, ms, r) + j * ms[3]] * by;
            if (columns) one *= columns[sd_row(shape, cs, r) + j * cs[3]];
            y[sd_row(shape, ys, r) + j * ys[3]] = one;
        }
    }
}
