/* Stateful neurons and binary attention, event by event: what does not spike costs nothing but being looked at. */
#include "lif.h"

#include "kernels.h"

#include <math.h>

static inline int bit(int8_t train, int steps, int step) { return train >> (steps - 1 - step) & 1; }

void sd_lif_current(struct sd_thread *t, int steps, float unit, const sd_int *shape, int32_t *y, const sd_int *ys,
                    sd_int apart, const float *x, const sd_int *xs) {
    SD_EACH(t, r, sd_rows(shape)) {
        int32_t *to = y + sd_row(shape, ys, r);
        const float *from = x + sd_row(shape, xs, r);
        for (sd_int i = 0; i < shape[3]; i++) {
            const int32_t fixed = (int32_t)rintf(from[i * xs[3]] * unit);
            for (int s = 0; s < steps; s++) to[i * ys[3] + s * apart] = fixed;
        }
    }
}

void sd_lif_fire(struct sd_thread *t, int steps, int beta, int threshold, const sd_int *shape, int8_t *y,
                 const sd_int *ys, const int32_t *c, const sd_int *cs, sd_int apart) {
    SD_EACH(t, r, sd_rows(shape)) {
        int8_t *to = y + sd_row(shape, ys, r);
        const int32_t *from = c + sd_row(shape, cs, r);
        for (sd_int i = 0; i < shape[3]; i++) {
            int32_t potential = 0;
            int train = 0, fired = 0;
            for (int s = 0; s < steps; s++) {
                const int32_t leaked = (int32_t)((uint32_t)potential * (uint32_t)beta) >> 8;
                potential = (int32_t)((uint32_t)from[i * cs[3] + s * apart] + (uint32_t)leaked -
                                      (fired ? (uint32_t)threshold : 0));
                fired = potential >= threshold;
                train = train << 1 | fired;
            }
            to[i * ys[3]] = (int8_t)train;
        }
    }
}

/* y[i] += column[i] */
static __attribute__((noinline)) void accumulate_column(int32_t *y, const int16_t *column, sd_int out) {
    for (sd_int i = 0; i < out; i++) y[i] = (int32_t)((uint32_t)y[i] + (uint32_t)column[i]);
}

void sd_lif_linear(struct sd_thread *t, int steps, sd_int in, const int16_t *columns, const int16_t *bias,
                   const sd_int *shape, int32_t *y, const sd_int *ys, sd_int apart, const int8_t *x, const sd_int *xs) {
    SD_EACH(t, item, sd_rows(shape) * steps) {
        const sd_int r = item / steps;
        const int step = (int)(item % steps);
        int32_t *to = y + sd_row(shape, ys, r) + step * apart;
        const int8_t *from = x + sd_row(shape, xs, r);
        for (sd_int j = 0; j < shape[3]; j++) to[j] = bias ? bias[j] : 0;
        const int16_t *column = columns;
        for (sd_int i = 0; i < in; i++, column += shape[3]) {
            if (bit(from[i * xs[3]], steps, step)) accumulate_column(to, column, shape[3]);
        }
    }
}

/* sums[s] += the channels at which both fire at step s */
static __attribute__((noinline)) void accumulate_common(int32_t *sums, int steps, const int8_t *a, sd_int a_apart,
                                                        const int8_t *b, sd_int b_apart, sd_int n) {
    for (; n > 0; n--, a += a_apart, b += b_apart) {
        const int common = *a & *b;
        for (int s = 0; s < steps; s++) sums[s] += bit((int8_t)common, steps, s);
    }
}

void sd_lif_coincide(struct sd_thread *t, int steps, sd_int in, sd_int shared, bool causal, const sd_int *near,
                     const sd_int *far, const sd_int *shape, int32_t *y, const sd_int *ys, sd_int apart,
                     const int8_t *q, const sd_int *qs, const int8_t *k, const sd_int *ks, const int64_t *mask) {
    SD_EACH(t, r, shape[1] * shape[2]) {
        const sd_int head = r / shape[2], s = r % shape[2];
        int32_t *to = y + head * ys[1] + s * ys[2];
        const int8_t *query = q + head * qs[1] + s * qs[2];
        for (sd_int j = 0; j < shape[3]; j++) {
            int32_t sums[SD_MOST_STEPS] = {0};
            const sd_int back = t->P + s - j;
            const bool within = far ? near[head] <= back && back <= far[head] : !causal || back >= 0;
            if (mask[j] && within) {
                accumulate_common(sums, steps, query, qs[3], k + head / shared * ks[1] + j * ks[2], ks[3], in);
            }
            for (int step = 0; step < steps; step++) to[j * ys[3] + step * apart] = sums[step];
        }
    }
}

/* y[i] += whether channel i fires at the step */
static __attribute__((noinline)) void accumulate_value(int32_t *y, sd_int y_apart, int steps, int step,
                                                       const int8_t *v, sd_int v_apart, sd_int n) {
    for (; n > 0; n--, y += y_apart, v += v_apart) *y += bit(*v, steps, step);
}

void sd_lif_gather(struct sd_thread *t, int steps, sd_int keys, sd_int shared, const sd_int *shape, int32_t *y,
                   const sd_int *ys, sd_int apart, const int8_t *a, const sd_int *as, const int8_t *v,
                   const sd_int *vs) {
    SD_EACH(t, r, shape[1] * shape[2]) {
        const sd_int head = r / shape[2], s = r % shape[2];
        int32_t *to = y + head * ys[1] + s * ys[2];
        const int8_t *map = a + head * as[1] + s * as[2], *values = v + head / shared * vs[1];
        for (int step = 0; step < steps; step++) {
            for (sd_int i = 0; i < shape[3]; i++) to[i * ys[3] + step * apart] = 0;
            for (sd_int j = 0; j < keys; j++) {
                if (!bit(map[j * as[3]], steps, step)) continue;
                accumulate_value(to + step * apart, ys[3], steps, step, values + j * vs[2], vs[3], shape[3]);
            }
        }
    }
}

void sd_lif_both(struct sd_thread *t, const sd_int *shape, int8_t *y, const sd_int *ys, const int8_t *a,
                 const sd_int *as, const int8_t *b, const sd_int *bs) {
    SD_EACH(t, r, sd_rows(shape)) {
        for (sd_int i = 0; i < shape[3]; i++) {
            y[sd_row(shape, ys, r) + i * ys[3]] =
                (int8_t)(a[sd_row(shape, as, r) + i * as[3]] & b[sd_row(shape, bs, r) + i * bs[3]]);
        }
    }
}

void sd_lif_rate(struct sd_thread *t, int steps, const sd_int *shape, float *y, const sd_int *ys, const int8_t *x,
                 const sd_int *xs) {
    SD_EACH(t, r, sd_rows(shape)) {
        for (sd_int i = 0; i < shape[3]; i++) {
            int fired = 0;
            for (int s = 0; s < steps; s++) fired += bit(x[sd_row(shape, xs, r) + i * xs[3]], steps, s);
            y[sd_row(shape, ys, r) + i * ys[3]] = (float)fired / (float)steps;
        }
    }
}

void sd_lif_mean(struct sd_thread *t, int steps, float unit, const sd_int *shape, float *y, const sd_int *ys,
                 const int32_t *c, const sd_int *cs, sd_int apart) {
    SD_EACH(t, r, sd_rows(shape)) {
        for (sd_int i = 0; i < shape[3]; i++) {
            float sum = 0.0f;
            for (int s = 0; s < steps; s++) sum += (float)c[sd_row(shape, cs, r) + i * cs[3] + s * apart];
            y[sd_row(shape, ys, r) + i * ys[3]] = sum / (float)steps / unit;
        }
    }
}
