/* Products of floats with a matrix, in blocks of 16 outputs. Included once for each instruction set, which gives
 * SD(dot): see ops_dense.h.
 */

typedef SD_LOOSE(uint16_t, SD_NATIVE / 2) SD(vw_at);
typedef SD_LOOSE(int16_t, SD_NATIVE / 2) SD(vs_at);
typedef SD_LOOSE(int8_t, SD_NATIVE / 4) SD(vc_at);

/* Numbers of a float matrix, as many as a register has. */
static inline __attribute__((always_inline)) void SD(weights)(SD(vf) *v, const int form, const unsigned char *values,
                                                              sd_int at) {
    if (form == SD_F32) {
        *v = SD_AT(SD(vf_at), values + at * 4);
    } else if (form == SD_F16) {
#ifdef SD_LOAD_F16
        SD_LOAD_F16(*v, values + at * 2);
#else
        const SD(vu) h = __builtin_convertvector(SD_AT(SD(vw_at), values + at * 2), SD(vu));
        const SD(vf) size = (SD(vf))((h & 0x7fff) << 13) * 5.192296858534828e33f;
        *v = (SD(vf))((SD(vu))size | ((h & 0x8000) << 16));
#endif
    } else if (form == SD_I8) {
#ifdef SD_LOAD_S8
        SD(vi) whole;
        SD_LOAD_S8(whole, values + at);
        *v = __builtin_convertvector(whole, SD(vf));
#else
        const SD(vs_at) half = __builtin_convertvector(SD_AT(SD(vc_at), values + at), SD(vs_at));
        *v = __builtin_convertvector(__builtin_convertvector(half, SD(vi)), SD(vf));
#endif
    } else {
        *v = __builtin_convertvector(SD_AT(SD(vi_at), values + at * 4), SD(vf));
    }
}

/* Outputs of a block of 16, as many as `wide` registers have, on up to four tokens. Four sums run side by side, for what
 * an addition takes; groups are summed apart and scaled. */
static inline __attribute__((always_inline)) void SD(part)(const int tokens, const int wide, const int form,
                                                           const bool minima, const struct sd_thread *t,
                                                           const struct sd_matrix *w, sd_int block, int lane, v16f *y,
                                                           const float *x, sd_int x_stride) {
    enum { LANES = SD_NATIVE / 4 };
    const sd_int in = w->in, group = w->group, groups = (in + group - 1) / group;
    const int size = form == SD_I8 ? 1 : form == SD_F16 ? 2 : 4;
    const unsigned char *values = t->w[w->values];
    SD(vf) total[4][2] = {{{0}}};
    for (sd_int g = 0; g < groups; g++) {
        const sd_int stop = (g + 1) * group < in ? (g + 1) * group : in;
        SD(vf) sum[4][2][4] = {{{{0}}}}, c;
        float plain[4] = {0};
        sd_int i = g * group;
        for (; i + 4 <= stop; i += 4) {
            const sd_int at = (block * in + i) * 16 + lane;
            for (int line = 0; line < size; line++) SD_AHEAD(values + at * size + 8192 + line * 64);
            for (int j = 0; j < 4; j++) {
                for (int q = 0; q < wide; q++) {
                    SD(weights)(&c, form, values, at + j * 16 + q * LANES);
                    for (int k = 0; k < tokens; k++) sum[k][q][j] += c * x[k * x_stride + i + j];
                }
                for (int k = 0; minima && k < tokens; k++) plain[k] += x[k * x_stride + i + j];
            }
        }
        for (; i < stop; i++) {
            for (int q = 0; q < wide; q++) {
                SD(weights)(&c, form, values, (block * in + i) * 16 + lane + q * LANES);
                for (int k = 0; k < tokens; k++) sum[k][q][0] += c * x[k * x_stride + i];
            }
            for (int k = 0; minima && k < tokens; k++) plain[k] += x[k * x_stride + i];
        }
        for (int q = 0; q < wide; q++) {
            const sd_int at = (block * groups + g) * 16 + lane + q * LANES;
            for (int k = 0; k < tokens; k++) {
                SD(vf) s = (sum[k][q][0] + sum[k][q][1]) + (sum[k][q][2] + sum[k][q][3]), d;
                if (form == SD_I8) {
                    SD(weights)(&d, SD_F16, t->w[w->scales], at);
                    s *= d;
                }
                if (minima) {
                    SD(weights)(&d, SD_F16, t->w[w->minima], at);
                    s += d * plain[k];
                }
                total[k][q] += s;
            }
        }
    }
    for (int q = 0; q < wide; q++) {
        const sd_int at = block * 16 + lane + q * LANES;
        for (int k = 0; k < tokens; k++) {
            SD(vf) s = total[k][q];
            if (form == SD_I32) s *= SD_AT(SD(vf_at), (const float *)t->w[w->scales] + at);
            if (w->bias >= 0) s += SD_AT(SD(vf_at), (const float *)t->w[w->bias] + at);
            memcpy((float *)(void *)(y + k) + lane + q * LANES, &s, sizeof s);
        }
    }
}

/* Of one token two registers of outputs at once, as weights then come line by line. */
static inline __attribute__((always_inline)) void SD(block)(const int tokens, const int form, const bool minima,
                                                            const struct sd_thread *t, const struct sd_matrix *w,
                                                            sd_int block, float *y, sd_int y_stride, const float *x,
                                                            sd_int x_stride) {
    v16f made[4];
    const int wide = tokens == 1 && SD_NATIVE < 64 ? 2 : 1;
    for (int lane = 0; lane < 16; lane += wide * SD_NATIVE / 4) {
        SD(part)(tokens, wide, form, minima, t, w, block, lane, made, x, x_stride);
    }
    for (int k = 0; k < tokens; k++) SD(give)(y + k * y_stride, block * 16, w->out, made + k);
}

/* With constants for the form, so that the inner loop has no question left. */
static inline __attribute__((always_inline)) void SD(forms)(const int tokens, const struct sd_thread *t,
                                                            const struct sd_matrix *w, sd_int block, float *y,
                                                            sd_int y_stride, const float *x, sd_int x_stride) {
    if (w->form == SD_F32) {
        SD(block)(tokens, SD_F32, false, t, w, block, y, y_stride, x, x_stride);
    } else if (w->form == SD_F16) {
        SD(block)(tokens, SD_F16, false, t, w, block, y, y_stride, x, x_stride);
    } else if (w->form == SD_I8 && w->minima < 0) {
        SD(block)(tokens, SD_I8, false, t, w, block, y, y_stride, x, x_stride);
    } else if (w->form == SD_I8) {
        SD(block)(tokens, SD_I8, true, t, w, block, y, y_stride, x, x_stride);
    } else {
        SD(block)(tokens, SD_I32, false, t, w, block, y, y_stride, x, x_stride);
    }
}

static __attribute__((noinline)) void SD(block1)(const struct sd_thread *t, const struct sd_matrix *w, sd_int block,
                                                 float *y, sd_int y_stride, const float *x, sd_int x_stride) {
    SD(forms)(1, t, w, block, y, y_stride, x, x_stride);
}

static __attribute__((noinline)) void SD(block4)(const struct sd_thread *t, const struct sd_matrix *w, sd_int block,
                                                 float *y, sd_int y_stride, const float *x, sd_int x_stride) {
    SD(forms)(4, t, w, block, y, y_stride, x, x_stride);
}

/* ---- nibbles: inputs are rounded to 16 bits, run by run, so that products are those of integers ---- */

enum { SD(TOP) = 127 * 256, SD(RUN) = 32 };

/* Inputs as n = low + 256·high, times the scale of their run; sums are Σ n of a run. */
struct SD(sixteen) {
    int8_t *low, *high;
    int32_t *sums;
    float *v;
    sd_int run, runs, in;
};

/* Inputs of a run: as many as share a scale of the weights, or fewer. emitter.py knows the room it takes. */
static void SD(room16)(const struct sd_thread *t, const struct sd_matrix *w, sd_int rows, struct SD(sixteen) *p) {
    p->in = w->in;
    p->run = w->group % SD(RUN) ? w->group : SD(RUN);
    p->runs = (w->in + p->run - 1) / p->run;
    p->sums = (int32_t *)(void *)t->scratch;
    p->v = (float *)(void *)(p->sums + rows * p->runs);
    p->low = (int8_t *)(p->v + rows * p->runs);
    p->high = p->low + rows * p->in;
}

/* What is not finite makes the scale NaN, and so all outputs, as it would among floats. */
static void SD(round16)(const struct SD(sixteen) *p, sd_int row, const float *x) {
    int8_t *low = p->low + row * p->in, *high = p->high + row * p->in;
    for (sd_int r = 0; r < p->runs; r++) {
        const sd_int start = r * p->run, stop = start + p->run < p->in ? start + p->run : p->in;
        v16f most = {0}, odd = {0}, v;
        for (sd_int i = start; i < stop; i += 16) {
            SD(take)(&v, x, i, stop);
            const v16f size = SD_ABS(v);
            SD(most)(&most, &size);
            odd += v * 0.0f;
        }
        const float top = SD(max16)(&most), step = top > 1e-30f ? top / SD(TOP) : 1.0f;
        p->v[row * p->runs + r] = step + SD(sum16)(&odd);
        const float by = p->v[row * p->runs + r] == step ? 1.0f / step : 0.0f;
        v16i sum = {0};
        for (sd_int i = start; i < stop; i += 16) {
            SD(take)(&v, x, i, stop);
            v = by == 0.0f ? (v16f){0} : (v * by + SD_ROUNDER) - SD_ROUNDER;
            v16i n;
            SD(ints)(&n, &v);
            sum += n;
            const v16i upper = (n + 128) >> 8, lower = n - upper * 256;
            int8_t some[2][16];
            SD(store_s8)(some[0], &lower);
            SD(store_s8)(some[1], &upper);
            const size_t size = (size_t)(stop - i < 16 ? stop - i : 16);
            memcpy(low + i, some[0], size);
            memcpy(high + i, some[1], size);
        }
        int32_t parts[16], whole = 0;
        memcpy(parts, &sum, sizeof parts);
        for (int i = 0; i < 16; i++) whole += parts[i];
        p->sums[row * p->runs + r] = whole;
    }
}

/* A run of so many lines, which adds its part to y. */
static inline __attribute__((always_inline)) void
SD(run16)(const int tokens, const bool minima, const struct sd_thread *t, const struct sd_matrix *w,
          const struct SD(sixteen) *p, const unsigned char *codes, const sd_int lines, sd_int at, sd_int run, sd_int row,
          SD(vf) (*y)[64 / SD_NATIVE]) {
    enum { LANES = SD_NATIVE / 4 };
    v16u m[4], upper[4];
    const sd_int first = row * p->in + run * p->run;
    SD(dot)(tokens, 0, codes, lines, p->low + first, p->in, m);
    SD(dot)(tokens, 0, codes, lines, p->high + first, p->in, upper);
    for (int q = 0; q < 64 / SD_NATIVE; q++) {
        SD(vf) scale, least;
        SD(weights)(&scale, SD_F16, t->w[w->scales], at + q * LANES);
        if (minima) SD(weights)(&least, SD_F16, t->w[w->minima], at + q * LANES);
        for (int k = 0; k < tokens; k++) {
            const sd_int place = (row + k) * p->runs + run;
            const int32_t sum = p->sums[place];
            const SD(vu) low = SD_AT(SD(vu_at), (const char *)(m + k) + q * SD_NATIVE);
            const SD(vu) high = SD_AT(SD(vu_at), (const char *)(upper + k) + q * SD_NATIVE);
            const SD(vi) whole = (SD(vi))(low + (high << 8) + (uint32_t)(w->base * sum));
            SD(vf) part = __builtin_convertvector(whole, SD(vf)) * scale;
            if (minima) part += least * (float)sum;
            y[k][q] += part * p->v[place];
        }
    }
}

static inline __attribute__((always_inline)) void
SD(nibbles)(const int tokens, const bool minima, const struct sd_thread *t, const struct sd_matrix *w,
            const struct SD(sixteen) *p, sd_int block, float *y, sd_int y_stride, sd_int row) {
    const unsigned char *codes = (const unsigned char *)t->w[w->values] + block * w->in * 8;
    const sd_int groups = (w->in + w->group - 1) / w->group, each = w->group / p->run;
    SD(vf) total[4][64 / SD_NATIVE] = {{{0}}};
    sd_int at = block * groups * 16, left = each;
    for (sd_int r = 0; r < p->runs; r++, codes += p->run * 8) {
        for (sd_int k = 0; k < p->run * 8; k += 64) SD_AHEAD(codes + 8192 + k);
        SD_AHEAD((const uint16_t *)t->w[w->scales] + at + 512);
        if (p->run == SD(RUN) && (r + 1) * SD(RUN) <= p->in) { /* with a constant, so that it is no loop */
            SD(run16)(tokens, minima, t, w, p, codes, SD(RUN) / 8, at, r, row, total);
        } else {
            const sd_int stop = (r + 1) * p->run < p->in ? (r + 1) * p->run : p->in;
            SD(run16)(tokens, minima, t, w, p, codes, (stop - r * p->run) / 8, at, r, row, total);
        }
        if (--left == 0) {
            left = each;
            at += 16;
        }
    }
    for (int k = 0; k < tokens; k++) {
        v16f made;
        memcpy(&made, total[k], sizeof made);
        if (w->bias >= 0) made += SD_AT(v16f_at, (const float *)t->w[w->bias] + block * 16);
        SD(give)(y + k * y_stride, block * 16, w->out, &made);
    }
}

static __attribute__((noinline)) void SD(nibbles1)(const struct sd_thread *t, const struct sd_matrix *w,
                                                   const struct SD(sixteen) *p, sd_int block, float *y,
                                                   sd_int y_stride, sd_int row) {
    if (w->minima < 0) {
        SD(nibbles)(1, false, t, w, p, block, y, y_stride, row);
    } else {
        SD(nibbles)(1, true, t, w, p, block, y, y_stride, row);
    }
}

static __attribute__((noinline)) void SD(nibbles4)(const struct sd_thread *t, const struct sd_matrix *w,
                                                   const struct SD(sixteen) *p, sd_int block, float *y,
                                                   sd_int y_stride, sd_int row) {
    if (w->minima < 0) {
        SD(nibbles)(4, false, t, w, p, block, y, y_stride, row);
    } else {
        SD(nibbles)(4, true, t, w, p, block, y, y_stride, row);
    }
}

static void SD(matrix4)(struct sd_thread *t, const struct sd_matrix *w, sd_int rows, float *y, sd_int y_stride,
                        const float *x, sd_int x_stride) {
    struct SD(sixteen) p = {0};
    SD_EACH(t, b, (w->out + 15) / 16) {
        if (!p.low) {
            SD(room16)(t, w, rows, &p);
            for (sd_int s = 0; s < rows; s++) SD(round16)(&p, s, x + s * x_stride);
        }
        sd_int s = 0;
        for (; s + 4 <= rows; s += 4) SD(nibbles4)(t, w, &p, b, y + s * y_stride, y_stride, s);
        for (; s < rows; s++) SD(nibbles1)(t, w, &p, b, y + s * y_stride, y_stride, s);
    }
}

/* y = x·Wᵀ + b for rows `from` to `rows`, the first of which goes to y: threads share the blocks of outputs. */
static void SD(matrix)(struct sd_thread *t, const struct sd_matrix *w, sd_int from, sd_int rows, float *y,
                       sd_int y_stride, const float *x, sd_int x_stride) {
    if (w->form == SD_I4) {
        SD(matrix4)(t, w, rows - from, y, y_stride, x + from * x_stride, x_stride);
        return;
    }
    SD_EACH(t, b, (w->out + 15) / 16) {
        sd_int s = from;
        for (; s + 4 <= rows; s += 4) SD(block4)(t, w, b, y + (s - from) * y_stride, y_stride, x + s * x_stride, x_stride);
        for (; s < rows; s++) SD(block1)(t, w, b, y + (s - from) * y_stride, y_stride, x + s * x_stride, x_stride);
    }
}
