/* What a model is made of at run time, and what model.c tells of its program. */
#ifndef SDLLM_RUNTIME_H
#define SDLLM_RUNTIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sdllm.h"

typedef ptrdiff_t sd_int;

struct sd_kernels;
struct sd_thread;

/* One part of weights.bin. Hot ones are read for every token, and copied to large pages. */
struct sd_section {
    uint64_t size;
    int hot;
};

/* The array that a state keeps: [outer][context][inner] elements of `size` bytes. */
struct sd_kept {
    sd_int size, outer, inner;
};

enum { SD_MOST_THREADS = 64 };

enum sd_role { SD_RAW, SD_IDS, SD_POSITIONS, SD_MASK, SD_ZEROS };

struct sd_input {
    const char *name;
    enum sd_role role;
    int size; /* bytes of an element; row: elements of a token, or 0 where it is not laid out by token */
    sd_int row;
};

/* An output: elements of `size` bytes; `row` of them for each new token, or 0 where it is not laid out by token. */
struct sd_output {
    const char *name;
    int size;
    sd_int row;
};

/* Trains of a code: spikes of the count low + i are items first[i] to first[i+1], each 2·step + (1 if negative). */
struct sd_trains {
    sd_int low, high, steps;
    int first, items; /* sections: uint32 and uint16 */
};

/* A product that spikes drive, as it is counted: which counts, and what each costs. */
struct sd_counted {
    const char *op, *module, *code;
    int segments;
    const struct sd_trains *const *trains;
    const sd_int *histogram; /* where each segment's begins */
    const sd_int *updates;   /* of each segment: how often its train doubles a cell or adds its slope, times planes */
    sd_int first_cell;       /* segments of the products before it */
};

struct sd_program {
    const char *name;
    unsigned char hash[32];
    const struct sd_section *sections;
    const struct sd_kept *kept;
    const struct sd_input *inputs;
    const struct sd_output *outputs;
    const struct sd_counted *counted;
    int n_sections, n_kept, n_inputs, n_outputs, n_counted;
    int logits;                    /* which output, or -1 */
    sd_int vocabulary;             /* ids there are; 0: any */
    sd_int context, most;          /* default, and most that positions allow (0: any) */
    sd_int chunk;                  /* most tokens at once; 0: a whole context, as every token sees every other */
    sd_int arena, arena_context;   /* bytes, and bytes for each token of the context */
    sd_int scratch, scratch_context;
    sd_int histogram, counted_cells, most_steps; /* numbers in all histograms; segments of all products; steps */
    void (*forward)(struct sd_thread *t);
};

extern const struct sd_program sd_program;

struct sdllm_state {
    struct sdllm *m;
    sd_int past;
    unsigned char **kept;
    int64_t *mask;
};

enum sd_kind { SD_REST, SD_LINEAR, SD_ATTENTION, SD_HEAD, SD_KINDS };

/* What a call is about. Each thread takes a copy: one that is late may still look at it when the caller is further. */
struct sd_job {
    sd_int S, P, from;
    uint32_t step;
    bool stats;
    struct sdllm_state *state;
    const void **in;
    void **out;
};

struct sd_thread {
    struct sdllm *m;
    int index, threads;
    bool alone;        /* the thread does all items of a step, and no other thread is at that step */
    bool stats;        /* whether the call is counted, which takes steps of its own */
    uint32_t step;     /* steps of all calls so far */
    sd_int S, P, T, C; /* new, past, all tokens; context */
    sd_int from;       /* first new token whose outputs are wanted */
    struct sdllm_state *state;
    const void **in;
    void **out;
    unsigned char *arena, *scratch;
    const void *const *w;
    const struct sd_kernels *k;
    double clock;
};

struct sdllm {
    const struct sd_program *program;
    const struct sd_kernels *k;
    const void **w;
    void *mapped, *copied;
    size_t mapped_size, copied_size;
    sd_int context, limit, chunk; /* limit: tokens; context: what arrays are made for */
    int threads;
    unsigned char *arena, *scratch;
    struct sd_thread *thread;
    struct sd_pool *pool;
    struct sdllm_state *own, *state;
    /* of the call under way */
    struct sd_job job;
    void **last;
    int64_t *positions, *zeros;
    bool unpadded;
    atomic_bool outside;
    /* what is measured */
    bool stats, profile;
    uint64_t *histogram, *weighted, *macs, *cells, *by_step;
    sd_int tokens;
    double seconds[SD_KINDS];
    sdllm_watch *watch;
    void *watcher;
    int32_t *seen;
    size_t seen_size;
    char error[256];
};

/* A step: its n items are handed out in parts of at least `least`, to whichever thread comes for them; the results are
 * the same however they fall. Begin with *begin = *end = 0 and call until it is false: then all items are done. What the
 * step reads may be looked at only after the first part is given. */
bool sd_part(struct sd_thread *t, sd_int n, sd_int least, sd_int *begin, sd_int *end);

/* The statement after it is done for each item i of a step's n that falls to this thread. */
#define SD_EACH(t, i, n)                                                        \
    for (sd_int begin = 0, end = 0; sd_part((t), (n), 1, &begin, &end);)        \
        for (sd_int i = begin; i < end; i++)

/* Whether this thread does what follows, up to sd_done: all of it, alone. sd_small: so where one token is new, as each
 * kernel then has little to do; with several, all threads come, and each kernel is a step. */
bool sd_once(struct sd_thread *t);
bool sd_small(struct sd_thread *t);
void sd_done(struct sd_thread *t);

/* Give the time since the last call to a kind of work. */
void sd_clock(struct sd_thread *t, enum sd_kind kind);

/* Count the counts of one call: rows of n, each count less the `shift` of its row and segment (or NULL). */
void sd_count(struct sd_thread *t, int product, const void *n, int size, sd_int rows, sd_int stride,
              const sd_int *starts, const int32_t *shift, sd_int shift_stride, sd_int fan_out);

/* What the call costs beside spikes: membrane cells, and multiply-adds of the dense product. */
void sd_cost(struct sd_thread *t, int product, sd_int cells, sd_int macs);

/* Room for the membranes of a step that is watched, or NULL. */
int32_t *sd_seen(struct sd_thread *t, sd_int numbers);
void sd_show(struct sd_thread *t, const char *value, int size, sd_int rows, sd_int width, sd_int stride,
             const void *data);


#endif
