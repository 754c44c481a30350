/* A compiled spike program as a library. C11; libc, libm and threads are all it needs.
 *
 * Models are independent of each other and nothing is global. One model serves one caller at a time; its threads are
 * its own. Functions that can fail give 0 or a pointer when they succeed; sdllm_error says why they did not.
 */
#ifndef SDLLM_H
#define SDLLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sdllm;       /* a model: weights, threads, working memory */
struct sdllm_state; /* the past of one sequence: its keys and values */

struct sdllm_options {
    int threads;       /* 0: 1 */
    ptrdiff_t context; /* most tokens of a sequence; 0: what the model was emitted for */
    const char *isa;   /* "" or NULL: the best there is; or portable, avx2, avx512, avx512vnni, neon */
    int stats;         /* count spikes */
    int profile;       /* measure where the time of thread 0 goes */
};

/* Spikes that one product was driven by, over all tokens so far; `by_step` has the spikes of each time step. */
struct sdllm_count {
    const char *op, *module, *code;
    uint64_t values, spikes, nonzero, additions, macs, updates;
    ptrdiff_t steps;
    const uint64_t *by_step;
};

/* Seconds of thread 0 by kind of work, where `profile` was set. */
struct sdllm_times {
    double linears, attention, head, rest;
};

/* Open a model on its weights file, which is checked before it is used. NULL, and a message, if that fails. */
struct sdllm *sdllm_open(const char *weights, const struct sdllm_options *options, char *message, size_t size);
void sdllm_close(struct sdllm *m);

/* Run n tokens after what the model has seen; the logits of the last one go to `logits`, if that is not NULL. */
int sdllm_prefill(struct sdllm *m, const int64_t *ids, ptrdiff_t n, float *logits);

/* Run one token. */
int sdllm_step(struct sdllm *m, int64_t id, float *logits);

/* Forget the past. */
void sdllm_reset(struct sdllm *m);

/* Numbers in one set of logits; 0 where the program has no output of that name. */
ptrdiff_t sdllm_vocabulary(const struct sdllm *m);
ptrdiff_t sdllm_context(const struct sdllm *m);
ptrdiff_t sdllm_tokens(const struct sdllm *m); /* whose spikes were counted */
const char *sdllm_isa(const struct sdllm *m);
const char *sdllm_error(const struct sdllm *m);

/* Spikes of the index-th product; 1 if there is no such product. The pointers live until the next call. */
int sdllm_stats(struct sdllm *m, ptrdiff_t index, struct sdllm_count *count);
/* Stop counting spikes, or go on: of a model opened with `stats` or without. */
void sdllm_counting(struct sdllm *m, int on);
void sdllm_profile(const struct sdllm *m, struct sdllm_times *times);

/* Several sequences on one model. sdllm_use makes the model go on from that state; NULL: from its own. */
struct sdllm_state *sdllm_state_new(struct sdllm *m);
void sdllm_state_free(struct sdllm_state *state);
void sdllm_state_copy(struct sdllm_state *to, const struct sdllm_state *from); /* both of one model */
void sdllm_use(struct sdllm *m, struct sdllm_state *state);

/* All outputs for all of n new tokens. mask, of past and new tokens, may be NULL; inputs and outputs are in the
 * program's order, an input NULL where it follows from ids and mask. The arrays are those of one sequence. */
int sdllm_run(struct sdllm *m, ptrdiff_t n, const int64_t *ids, const int64_t *mask, const void *const *inputs,
              void *const *outputs);

/* See every count and membrane as it is made: only with one thread. A value has rows x width elements of `size` bytes,
 * integers but for float membranes, which have size -4. */
typedef void sdllm_watch(void *user, const char *value, int size, ptrdiff_t rows, ptrdiff_t width, const void *data);
int sdllm_trace(struct sdllm *m, sdllm_watch *watch, void *user);

#ifdef __cplusplus
}
#endif
#endif
