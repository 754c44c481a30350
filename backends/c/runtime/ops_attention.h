/* Softmax attention, on floats and on spikes. Included once for each instruction set. A pair of
 * head and token is an item.
 */

/* The keys that the query at new token s may see, padding aside. */
static inline void SD(span)(const struct sd_thread *t, const struct sd_attention *a, sd_int s, sd_int *low,
                            sd_int *high) {
    const sd_int at = t->P + s;
    *low = a->window && at - a->window + 1 > 0 ? at - a->window + 1 : 0;
    *high = a->causal ? at + 1 : a->window && at + a->window < t->T ? at + a->window : t->T;
}

/* Scores low … high of one query to probabilities, in place; a query that sees nothing sees all keys alike, as the
 * reference has it, and its range becomes all. `places` for ALiBi. */
static void SD(probabilities)(const struct sd_thread *t, const struct sd_attention *a, sd_int head, float *p,
                              const int64_t *mask, const float *places, sd_int *low, sd_int *high) {
    const float hidden = -3.40282347e38f;
    const sd_int start = *low, stop = *high;
    for (sd_int i = start; i < stop; i += 16) {
        v16f v;
        SD(take)(&v, p, i, stop);
        if (a->softcap > 0.0f) SD(act16)(SD_SOFTCAP, a->softcap, &v);
        if (a->alibi) {
            v16f place;
            SD(take)(&place, places, i, stop);
            v += place * a->slopes[head];
        }
        SD(give)(p, i, stop, &v);
    }
    if (!t->m->unpadded || mask != t->state->mask) {
        for (sd_int i = start; i < stop; i++) p[i] = mask[i] ? p[i] : hidden;
    }
    v16f top = {0};
    top += hidden;
    for (sd_int i = start; i < stop; i += 16) {
        v16f v;
        SD(take)(&v, p, i, stop);
        for (sd_int j = stop - i; j < 16; j++) v[j] = hidden;
        SD(most)(&top, &v);
    }
    const float most = SD(max16)(&top);
    if (most <= hidden) {
        *low = 0;
        *high = t->T;
        for (sd_int i = 0; i < t->T; i++) p[i] = 1.0f / (float)t->T;
        return;
    }
    v16f sum = {0};
    for (sd_int i = start; i < stop; i += 16) {
        v16f v;
        SD(take)(&v, p, i, stop);
        v -= most;
        SD(exp16)(&v);
        for (sd_int j = stop - i; j < 16; j++) v[j] = 0.0f;
        sum += v;
        SD(give)(p, i, stop, &v);
    }
    const float total = SD(sum16)(&sum);
    for (sd_int i = start; i < stop; i++) p[i] /= total;
}

/* Where each key stands among those that are no padding. */
static const float *SD(places)(const struct sd_thread *t, const struct sd_attention *a, const int64_t *mask,
                               float *room) {
    if (!a->alibi) return NULL;
    int64_t seen = 0;
    for (sd_int i = 0; i < t->T; i++) {
        seen += mask[i];
        room[i] = (float)((seen - 1) * mask[i]);
    }
    return room;
}

static void SD(softmax)(struct sd_thread *t, const struct sd_attention *a, const sd_int *shape, float *y,
                        const sd_int *ys, const float *x, const sd_int *xs, const int64_t *mask) {
    float *p = (float *)(void *)t->scratch, *room = p + t->C;
    SD_EACH(t, u, shape[1] * t->S) {
        const float *places = SD(places)(t, a, mask, room);
        const sd_int head = u % shape[1], s = u / shape[1];
        sd_int low, high;
        for (sd_int i = 0; i < t->T; i++) p[i] = x[head * xs[1] + s * xs[2] + i * xs[3]];
        SD(span)(t, a, s, &low, &high);
        SD(probabilities)(t, a, head, p, mask, places, &low, &high);
        for (sd_int i = 0; i < t->T; i++) {
            y[head * ys[1] + s * ys[2] + i * ys[3]] = i < low || i >= high ? 0.0f : p[i];
        }
    }
}

/* 16 numbers of a key or value of n, from i on, as they are kept. */
static inline __attribute__((always_inline)) void SD(take_kept)(const bool half, v16f *v, const void *from, sd_int at,
                                                                sd_int i, sd_int n) {
    if (!half) {
        SD(take)(v, (const float *)from + at, i, n);
        return;
    }
    const uint16_t *p = (const uint16_t *)from + at + i;
    uint16_t some[16] = {0};
    if (i + 16 > n) p = memcpy(some, p, (size_t)(n - i) * sizeof *some);
    SD(halves)(v, p);
}

static inline __attribute__((always_inline)) void SD(attend_kept)(const bool half, struct sd_thread *t,
                                                                  const struct sd_attention *a, float *y,
                                                                  const sd_int *ys, const float *q, const sd_int *qs,
                                                                  const void *k, const sd_int *ks, const void *v,
                                                                  const sd_int *vs, const int64_t *mask) {
    float *p = (float *)(void *)t->scratch, *room = p + t->C;
    SD_EACH(t, u, a->heads * t->S) {
        const float *places = SD(places)(t, a, mask, room);
        const sd_int head = u % a->heads, s = u / a->heads;
        const float *query = q + head * qs[1] + s * qs[2];
        const sd_int key = head / a->shared * ks[1], value = head / a->shared * vs[1];
        sd_int low, high;
        SD(span)(t, a, s, &low, &high);
        for (sd_int i = low; i < high; i++) {
            v16f sum = {0}, b, c;
            for (sd_int d = 0; d < a->width; d += 16) {
                SD(take)(&b, query, d, a->width);
                SD(take_kept)(half, &c, k, key + i * ks[2], d, a->width);
                sum += b * c;
            }
            p[i] = SD(sum16)(&sum) * a->scale;
        }
        SD(probabilities)(t, a, head, p, mask, places, &low, &high);
        float *to = y + head * ys[1] + s * ys[2];
        for (sd_int d = 0; d < a->value_width; d += 16) {
            v16f sum = {0}, b;
            for (sd_int i = low; i < high; i++) {
                if (p[i] == 0.0f) continue;
                SD(take_kept)(half, &b, v, value + i * vs[2], d, a->value_width);
                sum += b * p[i];
            }
            SD(give)(to, d, a->value_width, &sum);
        }
    }
}

static void SD(attend)(struct sd_thread *t, const struct sd_attention *a, float *y, const sd_int *ys, const float *q,
                       const sd_int *qs, const void *k, const sd_int *ks, const void *v, const sd_int *vs,
                       const int64_t *mask) {
    if (a->half) {
        SD(attend_kept)(true, t, a, y, ys, q, qs, k, ks, v, vs, mask);
    } else {
        SD(attend_kept)(false, t, a, y, ys, q, qs, k, ks, v, vs, mask);
    }
}

#ifndef SD_OWN_PRESSED
/* Bring what is not 0 to the front, with its place; gives how many there are. */
static inline sd_int SD(pressed)(int32_t *p, int32_t *place, sd_int count) {
    sd_int some = 0;
    for (sd_int i = 0; i < count; i++) {
        const int32_t value = p[i];
        p[some] = value;
        place[some] = (int32_t)i;
        some += value != 0;
    }
    return some;
}
#endif

#ifndef SD_OWN_ATTENTION
/* The products of one query with so many keys, which follow each other. */
static inline void SD(scores)(int32_t *y, const int8_t *query, const int8_t *keys, sd_int width, sd_int count) {
    for (sd_int i = 0; i < count; i++) y[i] = SD(dot8)(query, keys + i * width, width);
}

/* Σ p[i]·n over the keys key[i], for 16 or 64 channels of their values. */
static inline __attribute__((always_inline)) void SD(mix)(const int blocks, int32_t *y, const int32_t *p,
                                                          const int32_t *key, const int8_t *n, sd_int stride,
                                                          sd_int count) {
    v16u sum[4] = {{0}, {0}, {0}, {0}};
    for (sd_int i = 0; i < count; i++) {
        for (int b = 0; b < blocks; b++) {
            v16i value;
            SD(load_s8)(&value, n + key[i] * stride + b * 16);
            sum[b] += (v16u)value * (uint32_t)p[i];
        }
    }
    for (int b = 0; b < blocks; b++) SD_TO(v16u_at, y + b * 16) = sum[b];
}
#endif

/* Mix, and the product of a query and a key, by additions alone. */
static void SD(mix_added)(const struct sd_thread *t, const struct sd_attention *a, int32_t *y, const int32_t *p,
                          const int8_t *n, sd_int count, uint32_t *room) {
    for (int k = 0; k < a->values->segments; k++) {
        for (sd_int d = a->values->starts[k]; d < a->values->starts[k + 1]; d++) {
            y[d] = (int32_t)sd_added(t, a->values, k, n + d, 1, a->value_width, p, 1, count, room);
        }
    }
}

static int32_t SD(dot_added)(const struct sd_thread *t, const struct sd_spikes *keys, const int32_t *q, const int8_t *n,
                             uint32_t *room) {
    uint32_t m = 0;
    for (int k = 0; k < keys->segments; k++) {
        const sd_int start = keys->starts[k];
        m += sd_added(t, keys, k, n + start, 1, 1, q + start, 1, keys->starts[k + 1] - start, room);
    }
    return (int32_t)m;
}

static void SD(attend_spiked)(struct sd_thread *t, const struct sd_attention *a, float *y, const sd_int *ys,
                              const float *q, const sd_int *qs, const struct sd_cache *cache, const int64_t *mask) {
    float *p = (float *)(void *)t->scratch, *room = p + t->C;
    int32_t *whole = (int32_t *)(void *)(room + t->C), *mixed = whole + (t->C > a->width ? t->C : a->width);
    int8_t *query = (int8_t *)(mixed + a->value_width + 64);
    uint32_t *sums = (uint32_t *)(void *)(query + (a->width + 63) / 64 * 64);
    SD_EACH(t, u, a->heads * t->S) {
        const float *places = SD(places)(t, a, mask, room);
        const sd_int head = u % a->heads, s = u / a->heads, shared = head / a->shared;
        const int8_t *keys = (const int8_t *)cache->k + shared * t->C * a->width;
        const int8_t *values = (const int8_t *)cache->v + shared * t->C * a->value_width;
        const float *k_scale = cache->k_scale + shared * t->C, *v_scale = cache->v_scale + shared * t->C;
        sd_int low, high;
        const float q_scale = SD(whole)(whole, q + head * qs[1] + s * qs[2], a->width, a->q_top, true);
        for (sd_int d = 0; d < a->width; d++) query[d] = (int8_t)whole[d];
        SD(span)(t, a, s, &low, &high);
        for (sd_int i = low; a->keys && i < high; i++) {
            const float m = (float)SD(dot_added)(t, a->keys, whole, keys + i * a->width, sums);
            p[i] = m * q_scale * k_scale[i] * a->scale;
        }
        if (!a->keys) {
            SD(scores)(whole, query, keys + low * a->width, a->width, high - low);
            for (sd_int i = low; i < high; i++) p[i] = (float)whole[i - low] * q_scale * k_scale[i] * a->scale;
        }
        SD(probabilities)(t, a, head, p, mask, places, &low, &high);
        const sd_int seen = high - low;
        values += low * a->value_width;
        for (sd_int i = low; i < high; i++) p[i] *= v_scale[i];
        const float p_scale = SD(whole)(whole, p + low, seen, a->p_top, false);
        sd_int d = a->values ? a->value_width : 0;
        if (a->values) SD(mix_added)(t, a, mixed, whole, values, seen, sums);
        int32_t *key = (int32_t *)(void *)p; /* the probabilities are whole numbers now */
        const sd_int some = SD(pressed)(whole, key, seen);
        for (; d + 64 <= a->value_width; d += 64) SD(mix)(4, mixed + d, whole, key, values + d, a->value_width, some);
        for (; d + 16 <= a->value_width; d += 16) SD(mix)(1, mixed + d, whole, key, values + d, a->value_width, some);
        for (; d < a->value_width; d++) {
            int32_t sum = 0;
            for (sd_int i = 0; i < some; i++) sum += whole[i] * values[key[i] * a->value_width + d];
            mixed[d] = sum;
        }
        float *to = y + head * ys[1] + s * ys[2];
        for (d = 0; d < a->value_width; d++) to[d] = (float)mixed[d] * p_scale;
    }
}
