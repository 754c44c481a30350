/* Float ops, row by row. Included once for each instruction set, which SD_ISA names. */

typedef SD_VECTOR(float, SD_NATIVE) SD(vf);
typedef SD_VECTOR(int32_t, SD_NATIVE) SD(vi);
typedef SD_VECTOR(uint32_t, SD_NATIVE) SD(vu);
typedef SD_LOOSE(float, SD_NATIVE) SD(vf_at);
typedef SD_LOOSE(uint32_t, SD_NATIVE) SD(vu_at);
typedef SD_LOOSE(int32_t, SD_NATIVE) SD(vi_at);

/* What follows goes register by register: compilers take wider vectors apart for it, number by number.
 * a < b ? a : b of each lane; a > b ? a : b; whether a < b. */
static inline __attribute__((always_inline)) void SD(least)(v16f *a, const v16f *b) {
    for (int i = 0; i < 64; i += SD_NATIVE) {
        const SD(vf) p = SD_AT(SD(vf_at), (char *)a + i), q = SD_AT(SD(vf_at), (const char *)b + i);
        const SD(vi) less = p < q;
        SD_TO(SD(vf_at), (char *)a + i) = (SD(vf))(((SD(vi))p & less) | ((SD(vi))q & ~less));
    }
}

static inline __attribute__((always_inline)) void SD(most)(v16f *a, const v16f *b) {
    for (int i = 0; i < 64; i += SD_NATIVE) {
        const SD(vf) p = SD_AT(SD(vf_at), (char *)a + i), q = SD_AT(SD(vf_at), (const char *)b + i);
        const SD(vi) more = p > q;
        SD_TO(SD(vf_at), (char *)a + i) = (SD(vf))(((SD(vi))p & more) | ((SD(vi))q & ~more));
    }
}

static inline __attribute__((always_inline)) void SD(less)(v16i *mask, const v16f *a, float b) {
    for (int i = 0; i < 64; i += SD_NATIVE) {
        SD_TO(SD(vi_at), (char *)mask + i) = SD_AT(SD(vf_at), (const char *)a + i) < b;
    }
}

static inline __attribute__((always_inline)) void SD(all)(v16f *v, float x) {
    for (int i = 0; i < 64; i += SD_NATIVE) SD_TO(SD(vf_at), (char *)v + i) = (SD(vf)){0} + x;
}

static inline __attribute__((always_inline)) void SD(copy)(void *to, const void *from) {
    for (int i = 0; i < 64; i += SD_NATIVE) SD_TO(SD(vf_at), (char *)to + i) = SD_AT(SD(vf_at), (const char *)from + i);
}

static inline __attribute__((always_inline)) void SD(ints)(v16i *n, const v16f *v) {
    for (int i = 0; i < 64; i += SD_NATIVE) {
        SD_TO(SD(vi_at), (char *)n + i) = __builtin_convertvector(SD_AT(SD(vf_at), (const char *)v + i), SD(vi));
    }
}

static inline __attribute__((always_inline)) void SD(floats)(v16f *v, const v16i *n) {
    for (int i = 0; i < 64; i += SD_NATIVE) {
        SD_TO(SD(vf_at), (char *)v + i) = __builtin_convertvector(SD_AT(SD(vi_at), (const char *)n + i), SD(vf));
    }
}

/* Each lane between two numbers. */
static inline __attribute__((always_inline)) void SD(clamp)(v16f *v, float low, float high) {
    v16f bottom, top;
    SD(all)(&bottom, low);
    SD(all)(&top, high);
    SD(least)(v, &top);
    SD(most)(v, &bottom);
}

/* 16 floats of a row from i on; what is beyond its end is 0. */
static inline void SD(take)(v16f *v, const float *x, sd_int i, sd_int n) {
    if (i + 16 <= n) {
        SD(copy)(v, x + i);
        return;
    }
    float some[16] = {0};
    memcpy(some, x + i, (size_t)(n - i) * sizeof(float));
    SD(copy)(v, some);
}

static inline void SD(give)(float *y, sd_int i, sd_int n, const v16f *v) {
    if (i + 16 <= n) {
        SD(copy)(y + i, v);
    } else {
        memcpy(y + i, v, (size_t)(n - i) * sizeof(float));
    }
}

/* The 16 lanes together, in the order of a tree. */
static inline float SD(sum16)(const v16f *v) {
    float a[16];
    memcpy(a, v, sizeof a);
    for (int half = 8; half; half /= 2) {
        for (int i = 0; i < half; i++) a[i] += a[i + half];
    }
    return a[0];
}

static inline float SD(max16)(const v16f *v) {
    float a[16];
    memcpy(a, v, sizeof a);
    for (int half = 8; half; half /= 2) {
        for (int i = 0; i < half; i++) a[i] = a[i + half] > a[i] ? a[i + half] : a[i];
    }
    return a[0];
}

/* e^x: 2^k times a polynomial on ±ln 2 / 2; 0 below the normal numbers. */
static inline void SD(exp16)(v16f *v) {
    v16f at = *v;
    v16i small;
    SD(less)(&small, v, -87.3f);
    SD(clamp)(&at, -87.3f, 88.7f);
    const v16f k = (at * 1.44269504f + SD_ROUNDER) - SD_ROUNDER;
    const v16f r = (at - k * 0.693359375f) - k * -2.12194440e-4f;
    v16f p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    v16i power;
    SD(ints)(&power, &k);
    power = (power + 127) << 23;
    *v = (v16f)((v16i)(p * (v16f)power) & ~small);
}

static inline void SD(tanh16)(v16f *v) {
    const v16f x = *v, size = SD_ABS(x), z = x * x;
    v16f e = size + size;
    SD(exp16)(&e);
    v16f far = 1.0f - 2.0f / (e + 1.0f);
    far = (v16f)((v16i)far | ((v16i)x & (int32_t)0x80000000));
    v16f near = z * -5.70498872745e-3f + 2.06390887954e-2f;
    near = near * z - 5.37397155531e-2f;
    near = near * z + 1.33314422036e-1f;
    near = near * z - 3.33332819422e-1f;
    near = near * z * x + x;
    v16i small;
    SD(less)(&small, &size, 0.625f);
    *v = SD_PICK(small, near, far);
}

static inline void SD(sigmoid16)(v16f *v) {
    v16f e = -*v;
    SD(exp16)(&e);
    *v = 1.0f / (1.0f + e);
}

static inline void SD(act16)(int kind, float by, v16f *v) {
    const v16f x = *v;
    v16f u;
    switch (kind) {
    case SD_SCALE:
        *v = x * by;
        break;
    case SD_SILU:
        u = x;
        SD(sigmoid16)(&u);
        *v = x * u;
        break;
    case SD_GELU:
        for (int i = 0; i < 16; i++) u[i] = erff(x[i] * 0.70710678118654752f);
        *v = x * 0.5f * (1.0f + u);
        break;
    case SD_GELU_TANH:
        u = (x + x * x * x * 0.044715f) * 0.79788456080286536f;
        SD(tanh16)(&u);
        *v = x * 0.5f * (1.0f + u);
        break;
    case SD_RELU:
        *v = (v16f)((v16i)x & (x > 0.0f));
        break;
    case SD_RELU2:
        u = (v16f)((v16i)x & (x > 0.0f));
        *v = u * u;
        break;
    case SD_TANH:
        SD(tanh16)(v);
        break;
    case SD_SIGMOID:
        SD(sigmoid16)(v);
        break;
    case SD_QUICK_GELU:
        u = x * 1.702f;
        SD(sigmoid16)(&u);
        *v = x * u;
        break;
    case SD_SOFTCAP:
        u = x / by;
        SD(tanh16)(&u);
        *v = u * by;
        break;
    default:
        break;
    }
}

/* A row whose elements may stand apart, as one run: itself, or a copy in the thread's scratch. */
static inline const float *SD(run)(const float *x, sd_int stride, sd_int n, float *room) {
    if (stride == 1) return x;
    for (sd_int i = 0; i < n; i++) room[i] = x[i * stride];
    return room;
}

static void SD(map1)(struct sd_thread *t, enum sd_map kind, float by, const float *w, const sd_int *shape,
                     float *y, const sd_int *ys, const float *x, const sd_int *xs) {
    const sd_int n = shape[3];
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = x + sd_row(shape, xs, r);
        float *to = y + sd_row(shape, ys, r);
        for (sd_int i = 0; i < n; i += 16) {
            const sd_int some = n - i < 16 ? n - i : 16;
            v16f v = {0}, b;
            if (xs[3] == 1) {
                SD(take)(&v, from, i, n);
            } else {
                for (sd_int j = 0; j < some; j++) v[j] = from[(i + j) * xs[3]];
            }
            if (kind == SD_BIAS) {
                SD(take)(&b, w, i, n);
                v += b;
            } else {
                SD(act16)((int)kind, by, &v);
            }
            if (ys[3] == 1) {
                SD(give)(to, i, n, &v);
            } else {
                for (sd_int j = 0; j < some; j++) to[(i + j) * ys[3]] = v[j];
            }
        }
    }
}

static void SD(map2)(struct sd_thread *t, enum sd_map kind, const sd_int *shape, float *y, const sd_int *ys,
                     const float *a, const sd_int *as, const float *b, const sd_int *bs) {
    const sd_int n = shape[3];
    const bool runs = as[3] == 1 && bs[3] == 1 && ys[3] == 1;
    SD_EACH(t, r, sd_rows(shape)) {
        const float *u = a + sd_row(shape, as, r), *v = b + sd_row(shape, bs, r);
        float *to = y + sd_row(shape, ys, r);
        if (runs) {
            for (sd_int i = 0; i < n; i += 16) {
                v16f p, q;
                SD(take)(&p, u, i, n);
                SD(take)(&q, v, i, n);
                p = kind == SD_ADD ? p + q : p * q;
                SD(give)(to, i, n, &p);
            }
        } else {
            for (sd_int i = 0; i < n; i++) {
                const float p = u[i * as[3]], q = v[i * bs[3]];
                to[i * ys[3]] = kind == SD_ADD ? p + q : p * q;
            }
        }
    }
}

static void SD(rms_norm)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys,
                         const float *x, const sd_int *xs, const float *gain, float eps, float offset) {
    const sd_int n = shape[3];
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = x + sd_row(shape, xs, r);
        float *to = y + sd_row(shape, ys, r);
        v16f sum = {0}, v, g = {0};
        for (sd_int i = 0; i < n; i += 16) {
            SD(take)(&v, from, i, n);
            sum += v * v;
        }
        const float by = 1.0f / sqrtf(SD(sum16)(&sum) / (float)n + eps);
        for (sd_int i = 0; i < n; i += 16) {
            SD(take)(&v, from, i, n);
            v *= by;
            if (gain) {
                SD(take)(&g, gain, i, n);
                v *= g + offset;
            }
            SD(give)(to, i, n, &v);
        }
    }
}

static void SD(layer_norm)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys,
                           const float *x, const sd_int *xs, const float *gain, const float *bias, const sd_int *ws,
                           float eps) {
    const sd_int n = shape[3];
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = x + sd_row(shape, xs, r);
        float *to = y + sd_row(shape, ys, r);
        const sd_int w = ws ? sd_row(shape, ws, r) : 0; /* norms of their own for each head */
        v16f sum = {0}, v, g;
        for (sd_int i = 0; i < n; i += 16) {
            SD(take)(&v, from, i, n);
            sum += v;
        }
        const float mean = SD(sum16)(&sum) / (float)n;
        sum = (v16f){0};
        for (sd_int i = 0; i < n; i += 16) {
            SD(take)(&v, from, i, n);
            v -= mean;
            if (i + 16 > n) {
                for (sd_int j = n - i; j < 16; j++) v[j] = 0.0f;
            }
            sum += v * v;
        }
        const float by = 1.0f / sqrtf(SD(sum16)(&sum) / (float)n + eps);
        for (sd_int i = 0; i < n; i += 16) {
            SD(take)(&v, from, i, n);
            v = (v - mean) * by;
            if (gain) {
                SD(take)(&g, gain + w, i, n);
                v *= g;
            }
            if (bias) {
                SD(take)(&g, bias + w, i, n);
                v += g;
            }
            SD(give)(to, i, n, &v);
        }
    }
}

/* x is [1, heads, tokens, D]; `turns` has cos and sin, D/2 each, for each token. */
static void SD(rope)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                     const sd_int *xs, const float *turns, sd_int turn_stride, bool interleaved) {
    const sd_int half = shape[3] / 2;
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = x + sd_row(shape, xs, r);
        float *to = y + sd_row(shape, ys, r);
        const float *cosine = turns + r % shape[2] * turn_stride, *sine = cosine + half;
        if (!interleaved && xs[3] == 1 && ys[3] == 1) {
            for (sd_int i = 0; i < half; i += 16) {
                v16f a, b, c, s;
                SD(take)(&a, from, i, half);
                SD(take)(&b, from + half, i, half);
                SD(take)(&c, cosine, i, half);
                SD(take)(&s, sine, i, half);
                const v16f p = a * c - b * s, q = b * c + a * s;
                SD(give)(to, i, half, &p);
                SD(give)(to + half, i, half, &q);
            }
            continue;
        }
        const sd_int step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
        for (sd_int i = 0; i < half; i++) {
            const float a = from[i * step * xs[3]], b = from[(i * step + apart) * xs[3]];
            to[i * step * ys[3]] = a * cosine[i] - b * sine[i];
            to[(i * step + apart) * ys[3]] = b * cosine[i] + a * sine[i];
        }
    }
}

static void SD(rotate)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                       const sd_int *xs, sd_int hadamard, const float *small) {
    const sd_int n = shape[3], parts = n / hadamard;
    const float by = (float)(1.0 / sqrt((double)hadamard));
    float *a = (float *)(void *)t->scratch, *b = a + n;
    SD_EACH(t, r, sd_rows(shape)) {
        const float *from = x + sd_row(shape, xs, r);
        float *to = y + sd_row(shape, ys, r);
        for (sd_int i = 0; i < n; i++) a[i] = from[i * xs[3]];
        for (sd_int step = 1; step < hadamard; step *= 2) {
            for (sd_int i = 0; i < n; i += 2 * step) {
                for (sd_int j = i; j < i + step; j++) {
                    const float p = a[j], q = a[j + step];
                    a[j] = p + q;
                    a[j + step] = p - q;
                }
            }
        }
        for (sd_int i = 0; i < n; i++) a[i] *= by;
        if (small) {
            memset(b, 0, (size_t)n * sizeof(float));
            for (sd_int f = 0; f < parts; f++) {
                for (sd_int g = 0; g < parts; g++) {
                    for (sd_int h = 0; h < hadamard; h++) b[g * hadamard + h] += a[f * hadamard + h] * small[f * parts + g];
                }
            }
        }
        for (sd_int i = 0; i < n; i++) to[i * ys[3]] = small ? b[i] : a[i];
    }
}

/* 16 numbers of float16. */
static inline __attribute__((always_inline)) void SD(halves)(v16f *v, const uint16_t *p) {
    v16u bits;
    SD(load_u16)(&bits, p);
    /* The exponents' biases differ by 112; so it is right for subnormal numbers too. */
    const v16f size = (v16f)((bits & 0x7fff) << 13) * 5.192296858534828e33f;
    *v = (v16f)((v16u)size | ((bits & 0x8000) << 16));
}
