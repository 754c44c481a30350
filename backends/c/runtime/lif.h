/* Stateful neurons. A train is a number a channel, its first step the highest of `steps` bits; a current has an int32
 * for each step, steps standing `apart`. All is 32-bit integer arithmetic that wraps around, as in every backend. */
#ifndef SDLLM_LIF_H
#define SDLLM_LIF_H

#include "runtime.h"

#include <stdbool.h>

#define SD_MOST_STEPS 7 /* of a train, in a signed byte */

/* A float in fixed point, times `unit`, the same at every step. */
void sd_lif_current(struct sd_thread *t, int steps, float unit, const sd_int *shape, int32_t *y, const sd_int *ys,
                    sd_int apart, const float *x, const sd_int *xs);

/* U = I + (beta·U >> 8) - S·threshold ; S = U >= threshold. */
void sd_lif_fire(struct sd_thread *t, int steps, int beta, int threshold, const sd_int *shape, int8_t *y,
                 const sd_int *ys, const int32_t *c, const sd_int *cs, sd_int apart);

/* Each spike adds its column of weights [in][out], every step the bias (or NULL). */
void sd_lif_linear(struct sd_thread *t, int steps, sd_int in, const int16_t *columns, const int16_t *bias,
                   const sd_int *shape, int32_t *y, const sd_int *ys, sd_int apart, const int8_t *x, const sd_int *xs);

/* Spikes that queries and keys have in common, where a query sees the key: y [heads, new, all]. near and far: how many
   tokens before the query stands what a head sees, both included; NULL: all. */
void sd_lif_coincide(struct sd_thread *t, int steps, sd_int in, sd_int shared, bool causal, const sd_int *near,
                     const sd_int *far, const sd_int *shape, int32_t *y, const sd_int *ys, sd_int apart,
                     const int8_t *q, const sd_int *qs, const int8_t *k, const sd_int *ks, const int64_t *mask);

/* Each spike of attention adds the value row it points at: y [heads, new, width]. */
void sd_lif_gather(struct sd_thread *t, int steps, sd_int keys, sd_int shared, const sd_int *shape, int32_t *y,
                   const sd_int *ys, sd_int apart, const int8_t *a, const sd_int *as, const int8_t *v,
                   const sd_int *vs);

/* Spikes that two trains have in common. */
void sd_lif_both(struct sd_thread *t, const sd_int *shape, int8_t *y, const sd_int *ys, const int8_t *a,
                 const sd_int *as, const int8_t *b, const sd_int *bs);

/* Averages over time: of a train, its rate; of a current, in units of `unit`. */
void sd_lif_rate(struct sd_thread *t, int steps, const sd_int *shape, float *y, const sd_int *ys, const int8_t *x,
                 const sd_int *xs);
void sd_lif_mean(struct sd_thread *t, int steps, float unit, const sd_int *shape, float *y, const sd_int *ys,
                 const int32_t *c, const sd_int *cs, sd_int apart);

#endif
