/* The interface that every instruction set implements. Each header kernels_*.h fills one table; the model asks the
 * processor which it may use. All tables give the same numbers, floats included: lanes are added in one fixed order
 * and nothing is contracted into fused multiply-adds.
 *
 * Values are seen through four axes with strides in elements. `all`: the thread does all rows, for itself; otherwise
 * rows are shared among the threads.
 */
#ifndef SDLLM_KERNELS_H
#define SDLLM_KERNELS_H

#include "runtime.h"

#define SD_4(a, b, c, d) ((const sd_int[4]){(a), (b), (c), (d)})

enum sd_map { SD_ADD, SD_MUL, SD_SCALE, SD_BIAS, SD_NOTHING, SD_SILU, SD_GELU, SD_GELU_TANH, SD_RELU, SD_RELU2, SD_TANH,
              SD_SIGMOID, SD_QUICK_GELU, SD_SOFTCAP };

/* ---- encoders ---- */

/* Channels start to stop under one code. Priced counts are found in a table: cell c of the line of u/V, of which `per`
 * make 1, has at most one edge; left of it the count is base[c], right of it the next. */
struct sd_grain {
    sd_int start, stop, rank;
    float top, low, high;
    sd_int cells;
    float per, shift;
    int edges, base, next; /* sections: float, int32, int32 */
};

enum { SD_SYMMETRIC, SD_OFFSET, SD_ASYMMETRIC };
enum { SD_ABSMAX, SD_MEAN, SD_STATIC };
enum { SD_WHOLE, SD_SOFT, SD_HARD };

struct sd_encoder {
    int grid, threshold, clip, size; /* size: bytes of a count */
    bool clip_first, widen, centred; /* centred: counts are kept less their zero point */
    float factor;
    int segments;
    const struct sd_grain *segment;
};

/* ---- spiked linear layers ---- */

/* Inputs that share a membrane plane and a weight group. `at` is where they begin in padded counts. */
struct sd_cell {
    sd_int start, stop, at, padded, first; /* first: of the plane */
    int plane, segment;
};

enum { SD_DENSE, SD_EVENT, SD_ADDED };

/* What a step of a train asks of the membrane, beside its doublings (the low bits): that the slope be added, that the
 * sums of 16 bits be widened first, that the slope begin at 0. */
enum { SD_DOUBLE = 63, SD_RAMP = 64, SD_WIDEN = 128, SD_CLEAR = 256 };

/* One matrix, or several on one input whose rows follow each other. Codes are unsigned: `base` is what to add to each.
 * On a grid, each plane has scales (and minima), float16; in rows on one scale, each cell has steps and offsets.
 *
 * DENSE: blocks of 16 outputs; a line of 64 bytes has 4 inputs (of nibbles: 8) of each.
 * EVENT, ADDED: by lines of 64 bytes, one for each input: 64 outputs, or of nibbles 128, which are two tiles: low halves
 * of 32 bytes are 32 outputs, high halves the next 32. Scales, steps and so on: for each 128 outputs, plane by plane or
 * cell by cell.
 */
struct sd_linear {
    int kernel, bytes; /* bytes: 1 where a code takes a byte, 0 for nibbles */
    bool rows, gated, ragged;
    bool plain; /* nibbles in rows on one scale, cells of 32 inputs, one plane, no zero points: the short way */
    int act;           /* of the outputs; where gated, of every other block, which then multiplies the next */
    int count_size;    /* bytes of a count */
    sd_int in, padded, out;
    int32_t base;
    int narrow; /* >= 0: offsets are 8 bits times 2^narrow, less 8 steps; -1: they are 16 bits. Of the dense kernel */
    int n_cells, n_planes, n_segments;
    const struct sd_cell *cells;
    int codes, steps, offsets, scales, minima, bias, sums; /* sections, or -1; sums: what a zero point is times */
    const struct sd_trains *const *trains;                 /* of each segment: ADDED */
    const int *flags;                                      /* of each segment's steps: see ops_event.h */
};

struct sd_call {
    const void *n;   /* counts, rows of `n_stride` */
    const float *v;  /* scales, and zero points or NULL, rows of `v_stride` */
    const int32_t *z;
    float *y;
    sd_int n_stride, v_stride, y_stride;
};

/* A matrix for floats: blocks of 16 outputs, for each input 16 numbers. I4: unsigned nibbles, as the dense kernel above
 * has them, `base` what to add to each; groups and inputs are multiples of 8. */
enum { SD_F32, SD_F16, SD_I8, SD_I32, SD_I4 };

struct sd_matrix {
    int form, values, scales, minima, bias; /* sections, or -1 */
    sd_int in, out, group;
    int32_t base;
};

/* ---- attention ---- */

/* How counts are spikes, by segments of their channels: for products that only add. */
struct sd_spikes {
    int segments;
    const sd_int *starts;
    const struct sd_trains *const *trains;
    const int *const *flags;
};

/* Σ x·n over so many counts of one segment, by additions alone. `sums`: room for two numbers a step. */
uint32_t sd_added(const struct sd_thread *t, const struct sd_spikes *s, int segment, const void *n, int size,
                  sd_int n_stride, const int32_t *x, sd_int x_stride, sd_int counts, uint32_t *sums);


struct sd_attention {
    sd_int heads, shared, width, value_width; /* shared: query heads that share a key */
    float scale, softcap;
    bool causal, alibi;
    const float *slopes; /* of each head, for ALiBi */
    sd_int window;
    float q_top, p_top; /* spiked: largest integers of queries and probabilities */
    const struct sd_spikes *keys, *values; /* spiked, where nothing may be multiplied; or NULL */
    bool half;           /* not spiked: keys and values are kept as float16 */
};

/* Keys and values as they are kept: [shared head][context][width]. */
struct sd_cache {
    const void *k, *v;
    const float *k_scale, *v_scale; /* [shared head][context], where they are spikes */
};

struct sd_kernels {
    const char *name;
    void (*map1)(struct sd_thread *t, enum sd_map kind, float by, const float *w, const sd_int *shape,
                 float *y, const sd_int *ys, const float *x, const sd_int *xs);
    void (*map2)(struct sd_thread *t, enum sd_map kind, const sd_int *shape, float *y, const sd_int *ys,
                 const float *a, const sd_int *as, const float *b, const sd_int *bs);
    void (*rms_norm)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                     const sd_int *xs, const float *gain, float eps, float offset);
    void (*layer_norm)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                       const sd_int *xs, const float *gain, const float *bias, const sd_int *ws, float eps);
    void (*rope)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                 const sd_int *xs, const float *turns, sd_int turn_stride, bool interleaved);
    void (*rotate)(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const float *x,
                   const sd_int *xs, sd_int hadamard, const float *small);
    void (*softmax)(struct sd_thread *t, const struct sd_attention *a, const sd_int *shape, float *y, const sd_int *ys,
                    const float *x, const sd_int *xs, const int64_t *mask);
    void (*attend)(struct sd_thread *t, const struct sd_attention *a, float *y, const sd_int *ys, const float *q,
                   const sd_int *qs, const void *k, const sd_int *ks, const void *v, const sd_int *vs,
                   const int64_t *mask);
    void (*attend_spiked)(struct sd_thread *t, const struct sd_attention *a, float *y, const sd_int *ys,
                          const float *q, const sd_int *qs, const struct sd_cache *cache, const int64_t *mask);
    void (*encode)(struct sd_thread *t, const struct sd_encoder *e, const sd_int *shape, void *n,
                   const sd_int *ns, float *v, const sd_int *vs, int32_t *z, const sd_int *zs, const float *x,
                   const sd_int *xs);
    void (*int_encode)(struct sd_thread *t, float top, bool with_sign, const sd_int *shape, int32_t *n,
                       const sd_int *ns, float *v, const sd_int *vs, const float *x, const sd_int *xs);
    void (*linear)(struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c);
    void (*matrix)(struct sd_thread *t, const struct sd_matrix *w, sd_int from, sd_int rows, float *y,
                   sd_int y_stride, const float *x, sd_int x_stride);
};

/* The table of that name, or of the best instruction set of this processor; NULL if it has not that one. */
const struct sd_kernels *sd_choose(const char *name);

/* ---- what is the same everywhere, in ops_generic.c: any op on any layout, one number at a time ---- */

/* The nearest float16, ties to even; the largest one for what is larger. */
uint16_t sd_half(float x);

/* Copy floats into float16. */
void sd_narrow(struct sd_thread *t, const sd_int *shape, uint16_t *y, const sd_int *ys, const float *x,
               const sd_int *xs);
void sd_copy(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
             const sd_int *xs);
void sd_repeat(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
               const sd_int *xs, int axis, sd_int times);
void sd_pick(struct sd_thread *t, int size, const sd_int *shape, void *y, const sd_int *ys, const void *x,
             const sd_int *xs, const int *order);
void sd_embed(struct sd_thread *t, const struct sd_matrix *w, sd_int n, float *y, sd_int stride,
              const int64_t *ids, sd_int rows, sd_int offset);
void sd_turns(struct sd_thread *t, float *turns, sd_int stride, const int64_t *positions, const float *freq,
              sd_int half, float scaling);

struct sd_ints { /* integers of any size through four axes; size -4: floats */
    const void *data;
    int size;
    const sd_int *strides;
};
struct sd_planes { /* of a linear op by itself: inputs of each plane, its segment and weight group */
    int n;
    const struct sd_cell *cells;
    const int *group;
};
void sd_linear_plain(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, void *m, const sd_int *ms,
                     struct sd_ints n, const void *weight, bool floats, sd_int in);
void sd_center(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, void *y, const sd_int *ys,
               const void *m, const sd_int *ms, const int32_t *z, const sd_int *zs, const void *weight, bool floats,
               sd_int in);
void sd_sum(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, int32_t *y,
            const sd_int *ys, struct sd_ints n, const int32_t *z, const sd_int *zs);
void sd_read_out(struct sd_thread *t, const struct sd_planes *p, const sd_int *shape, float *y, const sd_int *ys,
                 const void *m, const sd_int *ms, const float *v, const sd_int *vs, const int32_t *sums,
                 const sd_int *ss, const float *scales, const float *minima, int groups, const float *bias,
                 bool floats);
void sd_matmul(struct sd_thread *t, const sd_int *shape, sd_int inner, sd_int shared, int32_t *m, const sd_int *ms,
               struct sd_ints a, struct sd_ints n, bool transpose, const struct sd_spikes *adding);
void sd_read_matmul(struct sd_thread *t, const sd_int *shape, float *y, const sd_int *ys, const int32_t *m,
                    const sd_int *ms, const float *rows, const sd_int *rs, const float *columns, const sd_int *cs);

/* Where row i of a value of that shape begins; the last axis is not counted. */
static inline sd_int sd_row(const sd_int *shape, const sd_int *strides, sd_int i) {
    return i / (shape[1] * shape[2]) * strides[0] + i / shape[2] % shape[1] * strides[1] + i % shape[2] * strides[2];
}

static inline sd_int sd_rows(const sd_int *shape) { return shape[0] * shape[1] * shape[2]; }

#endif
