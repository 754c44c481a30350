/* Floats to counts, and to plain integers. Included once for each instruction set. */

/* The rank-th smallest magnitude, bit by bit from the highest: magnitudes are ordered as the integers of their bits. */
static float SD(quantile)(const float *x, sd_int n, sd_int rank, float *room) {
    int32_t *bits = (int32_t *)(void *)room, found = 0;
    if (rank == 0) return 0.0f;
    memcpy(bits, x, (size_t)n * sizeof *bits);
    for (sd_int i = 0; i < n; i++) bits[i] &= INT32_MAX;
    for (int32_t bit = 1 << 30; bit; bit >>= 1) {
        int32_t below = 0;
        for (sd_int i = 0; i < n; i++) below += bits[i] < (found | bit);
        if (below < rank) found |= bit;
    }
    float size;
    memcpy(&size, &found, sizeof size);
    return size;
}

static void SD(clipped)(float *u, const float *x, sd_int n, int form, float low) {
    for (sd_int i = 0; i < n; i++) {
        const float size = fabsf(x[i]);
        if (form == SD_SOFT) {
            const float left = size > low ? size - low : 0.0f;
            u[i] = x[i] < 0.0f ? -left : left;
        } else {
            u[i] = size > low ? x[i] : 0.0f;
        }
    }
}

static inline void SD(store)(void *n, int size, sd_int at, sd_int stride, const v16i *v, sd_int some) {
    if (size == 1) {
        int8_t *to = n;
        if (some == 16 && stride == 1) {
            SD(store_s8)(to + at, v);
        } else {
            for (sd_int j = 0; j < some; j++) to[at + j * stride] = (int8_t)(*v)[j];
        }
    } else if (size == 2) {
        int16_t *to = n;
        if (some == 16 && stride == 1) {
            SD(store_s16)(to + at, v);
        } else {
            for (sd_int j = 0; j < some; j++) to[at + j * stride] = (int16_t)(*v)[j];
        }
    } else {
        int32_t *to = n;
        for (sd_int j = 0; j < some; j++) to[at + j * stride] = (*v)[j];
    }
}

/* Extremes, mean magnitude and largest magnitude of a run. */
struct SD(range) {
    float low, high, mean, most;
};

static inline struct SD(range) SD(measure)(const float *x, sd_int n) {
    v16f low = {0}, high = {0}, sum = {0}, v;
    for (sd_int i = 0; i < n; i += 16) {
        SD(take)(&v, x, i, n);
        SD(least)(&low, &v);
        SD(most)(&high, &v);
        sum += SD_ABS(v);
    }
    low = -low;
    const float bottom = SD(max16)(&low), top = SD(max16)(&high);
    return (struct SD(range)){-bottom, top, SD(sum16)(&sum) / (float)n, bottom > top ? bottom : top};
}

/* Scale and zero point of a run, by the encoder's rule. */
static inline float SD(step)(const struct sd_encoder *e, const struct sd_grain *g, const float *x, sd_int n, float *z) {
    const struct SD(range) r = SD(measure)(x, n);
    float v;
    *z = 0.0f;
    if (e->grid == SD_ASYMMETRIC) {
        v = (r.high - r.low) / g->top;
        v = v > 1e-30f ? v : 1.0f;
        const float ratio = -r.low / v;
        *z = (ratio + SD_ROUNDER) - SD_ROUNDER;
        return v;
    }
    if (e->threshold == SD_STATIC) {
        v = e->factor;
    } else if (e->threshold == SD_MEAN) {
        v = r.mean * e->factor;
    } else {
        v = r.most * e->factor / g->top;
    }
    if (e->widen) {
        const float wide = r.most / g->top;
        v = wide > v ? wide : v;
    }
    if (e->grid == SD_OFFSET) *z = g->top + 1.0f;
    return v > 1e-30f ? v : 1.0f;
}

/* Counts of 16 ratios u/V: the nearest, or by the table of prices. */
static inline void SD(counts)(const struct sd_thread *t, const struct sd_grain *g, const v16f *ratio, float z, v16i *n) {
    if (g->cells) {
        const float *edges = t->w[g->edges];
        const int32_t *base = t->w[g->base], *next = t->w[g->next];
        v16f cell = (*ratio + g->shift) * g->per;
        SD(clamp)(&cell, 0.0f, (float)(g->cells - 1));
        v16i at;
        SD(ints)(&at, &cell);
        SD(choose)(n, ratio, &at, edges, base, next);
        return;
    }
    v16f r = *ratio;
    SD(clamp)(&r, -4194303.0f, 4194303.0f);
    r = (r + SD_ROUNDER) - SD_ROUNDER + z;
    SD(clamp)(&r, g->low, g->high);
    SD(ints)(n, &r);
}

static void SD(encode)(struct sd_thread *t, const struct sd_encoder *e, const sd_int *shape, void *n,
                       const sd_int *ns, float *v, const sd_int *vs, int32_t *z, const sd_int *zs, const float *x,
                       const sd_int *xs) {
    SD_EACH(t, r, sd_rows(shape)) {
        const sd_int to = sd_row(shape, ns, r);
        for (int s = 0; s < e->segments; s++) {
            const struct sd_grain *g = e->segment + s;
            const sd_int width = g->stop - g->start;
            float *room = (float *)(void *)t->scratch, *cut = room + width, zero;
            const float *plain = SD(run)(x + sd_row(shape, xs, r) + g->start * xs[3], xs[3], width, room);
            const float *u = plain;
            if (e->clip != SD_WHOLE) {
                const float low = SD(quantile)(plain, width, g->rank, cut);
                SD(clipped)(cut, plain, width, e->clip, low);
                u = cut;
            }
            const float by = SD(step)(e, g, e->clip_first ? u : plain, width, &zero);
            v[sd_row(shape, vs, r) + s * vs[3]] = by;
            if (z) z[sd_row(shape, zs, r) + s * zs[3]] = (int32_t)zero;
            for (sd_int i = 0; i < width; i += 16) {
                v16f ratio;
                v16i made;
                SD(take)(&ratio, u, i, width);
                ratio /= by;
                SD(counts)(t, g, &ratio, zero, &made);
                if (e->centred) made -= (int32_t)zero;
                SD(store)(n, e->size, to + (g->start + i) * ns[3], ns[3], &made, width - i < 16 ? width - i : 16);
            }
        }
    }
}

/* round(x·top/max|x|), or of what is positive; gives the scale. */
static inline float SD(whole)(int32_t *n, const float *x, sd_int width, float top, bool with_sign) {
    const struct SD(range) range = SD(measure)(x, width);
    float by = range.most / top;
    by = by > 1e-30f ? by : 1.0f;
    const float low = with_sign ? -top : 0.0f;
    for (sd_int i = 0; i < width; i += 16) {
        v16f r;
        SD(take)(&r, x, i, width);
        r = (r / by + SD_ROUNDER) - SD_ROUNDER;
        SD(clamp)(&r, low, top);
        v16i made;
        SD(ints)(&made, &r);
        memcpy(n + i, &made, (size_t)(width - i < 16 ? width - i : 16) * sizeof *n);
    }
    return by;
}

static void SD(int_encode)(struct sd_thread *t, float top, bool with_sign, const sd_int *shape, int32_t *n,
                           const sd_int *ns, float *v, const sd_int *vs, const float *x, const sd_int *xs) {
    const sd_int width = shape[3];
    float *room = (float *)(void *)t->scratch;
    int32_t *made = (int32_t *)(void *)(room + width);
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = SD(run)(x + sd_row(shape, xs, r), xs[3], width, room);
        v[sd_row(shape, vs, r)] = SD(whole)(made, from, width, top, with_sign);
        int32_t *to = n + sd_row(shape, ns, r);
        for (sd_int i = 0; i < width; i++) to[i * ns[3]] = made[i];
    }
}
