#define _POSIX_C_SOURCE 200809L
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"
#include "threads.h"
#include "weights.h"

/* Bytes at a multiple of 64, all 0. From calloc, so that of a long context only what is used takes memory; what it gave
 * stands before them. */
static void *room(sd_int size) {
    unsigned char *whole = calloc(1, (size_t)(size > 0 ? size : 1) + 128);
    if (!whole) return NULL;
    unsigned char *made = whole + 128 - (uintptr_t)whole % 64;
    memcpy(made - sizeof whole, &whole, sizeof whole);
    return made;
}

static void give_back(void *made) {
    unsigned char *whole;
    if (!made) return;
    memcpy(&whole, (unsigned char *)made - sizeof whole, sizeof whole);
    free(whole);
}

/* ---- steps ---- */

bool sd_part(struct sd_thread *t, sd_int n, sd_int least, sd_int *begin, sd_int *end) {
    if (!t->alone) return sd_pool_part(t->m->pool, &t->step, n, least, begin, end);
    if (*end) return false;
    *end = n;
    return n > 0;
}

bool sd_once(struct sd_thread *t) {
    sd_int begin = 0, end = 0;
    if (!t->alone) t->alone = sd_pool_part(t->m->pool, &t->step, 1, 1, &begin, &end);
    return t->alone;
}

bool sd_small(struct sd_thread *t) { return t->S > 1 || sd_once(t); }

void sd_done(struct sd_thread *t) {
    sd_int begin = 0, end = 1;
    if (!t->m->pool || !t->alone) return;
    t->alone = false;
    sd_pool_part(t->m->pool, &t->step, 1, 1, &begin, &end);
}

/* ---- time ---- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void sd_clock(struct sd_thread *t, enum sd_kind kind) {
    if (!t->m->profile || t->index) return;
    const double now = seconds();
    t->m->seconds[kind] += now - t->clock;
    t->clock = now;
}

/* ---- counting ---- */

void sd_count(struct sd_thread *t, int product, const void *n, int size, sd_int rows, sd_int stride,
              const sd_int *starts, const int32_t *shift, sd_int shift_stride, sd_int fan_out) {
    struct sdllm *m = t->m;
    if (!t->stats) return;
    const struct sd_counted *c = m->program->counted + product;
    for (int s = 0; s < c->segments; s++) {
        uint64_t *histogram = m->histogram + c->histogram[s], *weighted = m->weighted + c->histogram[s];
        for (sd_int r = 0; r < rows; r++) {
            const sd_int zero = shift ? shift[r * shift_stride + s] : 0;
            for (sd_int i = starts[s]; i < starts[s + 1]; i++) {
                const sd_int at = r * stride + i;
                const sd_int count = size == 1   ? ((const int8_t *)n)[at]
                                     : size == 2 ? ((const int16_t *)n)[at]
                                                 : ((const int32_t *)n)[at];
                histogram[count + zero - c->trains[s]->low]++;
                weighted[count + zero - c->trains[s]->low] += (uint64_t)fan_out;
            }
        }
    }
}

void sd_cost(struct sd_thread *t, int product, sd_int cells, sd_int macs) {
    struct sdllm *m = t->m;
    if (!t->stats) return;
    const struct sd_counted *c = m->program->counted + product;
    for (int s = 0; s < c->segments; s++) m->cells[c->first_cell + s] += (uint64_t)cells;
    m->macs[product] += (uint64_t)macs;
}

int sdllm_stats(struct sdllm *m, ptrdiff_t index, struct sdllm_count *count) {
    const struct sd_program *p = m->program;
    if (index < 0 || index >= p->n_counted) return 1;
    const struct sd_counted *c = p->counted + index;
    *count = (struct sdllm_count){.op = c->op, .module = c->module, .code = c->code, .by_step = m->by_step};
    for (int s = 0; s < c->segments; s++) {
        if (c->trains[s]->steps > count->steps) count->steps = c->trains[s]->steps;
    }
    memset(m->by_step, 0, (size_t)count->steps * sizeof *m->by_step);
    for (int s = 0; s < c->segments; s++) {
        const struct sd_trains *code = c->trains[s];
        const uint32_t *first = m->w[code->first];
        const uint16_t *items = m->w[code->items];
        for (sd_int i = 0; i <= code->high - code->low; i++) {
            const uint64_t times = m->histogram[c->histogram[s] + i];
            if (!times) continue;
            count->values += times;
            if (i + code->low) count->nonzero += times;
            count->spikes += times * (first[i + 1] - first[i]);
            count->additions += m->weighted[c->histogram[s] + i] * (first[i + 1] - first[i]);
            for (uint32_t j = first[i]; j < first[i + 1]; j++) m->by_step[items[j] / 2] += times;
        }
        count->updates += m->cells[c->first_cell + s] * (uint64_t)c->updates[s];
    }
    count->macs = m->macs[index];
    return 0;
}

void sdllm_counting(struct sdllm *m, int on) { m->stats = on != 0; }

void sdllm_profile(const struct sdllm *m, struct sdllm_times *times) {
    *times = (struct sdllm_times){m->seconds[SD_LINEAR], m->seconds[SD_ATTENTION], m->seconds[SD_HEAD],
                                  m->seconds[SD_REST]};
}

/* ---- watching ---- */

int sdllm_trace(struct sdllm *m, sdllm_watch *watch, void *user) {
    if (watch && m->pool) {
        snprintf(m->error, sizeof m->error, "a model can be watched only if it runs on one thread");
        return 1;
    }
    m->watch = watch;
    m->watcher = user;
    return 0;
}

int32_t *sd_seen(struct sd_thread *t, sd_int numbers) {
    struct sdllm *m = t->m;
    if (!m->watch) return NULL;
    if (m->seen_size < (size_t)numbers) {
        give_back(m->seen);
        m->seen = room(numbers * 4);
        m->seen_size = m->seen ? (size_t)numbers : 0;
    }
    return m->seen;
}

void sd_show(struct sd_thread *t, const char *value, int size, sd_int rows, sd_int width, sd_int stride,
             const void *data) {
    struct sdllm *m = t->m;
    if (!m->watch || !data) return;
    const size_t row = (size_t)(width * (size < 0 ? -size : size)), apart = (size_t)(stride * (size < 0 ? -size : size));
    unsigned char *packed = room((sd_int)row * rows);
    if (!packed) return;
    for (sd_int r = 0; r < rows; r++) memcpy(packed + (size_t)r * row, (const unsigned char *)data + (size_t)r * apart, row);
    m->watch(m->watcher, value, size, rows, width, packed);
    give_back(packed);
}

/* ---- states ---- */

void sdllm_state_free(struct sdllm_state *state) {
    if (!state) return;
    sd_pool_rest(state->m->pool);
    for (int i = 0; state->kept && i < state->m->program->n_kept; i++) give_back(state->kept[i]);
    if (state->m->state == state) state->m->state = state->m->own;
    free(state->kept);
    give_back(state->mask);
    free(state);
}

struct sdllm_state *sdllm_state_new(struct sdllm *m) {
    const struct sd_program *p = m->program;
    struct sdllm_state *state = calloc(1, sizeof *state);
    if (!state) return NULL;
    state->m = m;
    state->kept = calloc((size_t)p->n_kept + 1, sizeof *state->kept);
    state->mask = room(m->context * (sd_int)sizeof *state->mask);
    bool whole = state->kept && state->mask;
    for (int i = 0; whole && i < p->n_kept; i++) {
        state->kept[i] = room(p->kept[i].size * p->kept[i].outer * p->kept[i].inner * m->context);
        whole = state->kept[i] != NULL;
    }
    if (whole) return state;
    snprintf(m->error, sizeof m->error, "out of memory for a context of %td tokens", m->context);
    sdllm_state_free(state);
    return NULL;
}

void sdllm_state_copy(struct sdllm_state *to, const struct sdllm_state *from) {
    const struct sdllm *m = to->m;
    for (int i = 0; i < m->program->n_kept; i++) {
        const struct sd_kept *kept = m->program->kept + i;
        const size_t row = (size_t)(kept->size * kept->inner);
        for (sd_int o = 0; o < kept->outer; o++) {
            const size_t at = (size_t)(o * m->context) * row;
            memcpy(to->kept[i] + at, from->kept[i] + at, (size_t)from->past * row);
        }
    }
    memcpy(to->mask, from->mask, (size_t)from->past * sizeof *to->mask);
    to->past = from->past;
}

void sdllm_use(struct sdllm *m, struct sdllm_state *state) { m->state = state ? state : m->own; }

void sdllm_reset(struct sdllm *m) { m->state->past = 0; }

/* ---- models ---- */

static void take(void *user, int index) {
    struct sdllm *m = user;
    struct sd_thread *t = m->thread + index;
    const struct sd_program *p = m->program;
    t->S = m->job.S;
    t->P = m->job.P;
    t->T = t->P + t->S;
    t->from = m->job.from;
    t->step = m->job.step;
    t->stats = m->job.stats;
    t->state = m->job.state;
    memcpy((void *)t->in, (const void *)m->job.in, (size_t)p->n_inputs * sizeof *t->in);
    memcpy((void *)t->out, (const void *)m->job.out, (size_t)p->n_outputs * sizeof *t->out);
}

static void run(void *user, int index) {
    struct sdllm *m = user;
    m->program->forward(m->thread + index);
}

/* Arrays of pointers to inputs and outputs. */
static bool pointers(const struct sd_program *p, const void ***in, void ***out) {
    *in = calloc((size_t)p->n_inputs + 1, sizeof **in);
    *out = calloc((size_t)p->n_outputs + 1, sizeof **out);
    return *in && *out;
}

static bool prepare(struct sdllm *m) {
    const struct sd_program *p = m->program;
    const sd_int scratch = (p->scratch + p->scratch_context * m->context + 127) / 64 * 64;
    m->arena = room(p->arena + p->arena_context * m->context);
    m->scratch = room(scratch * m->threads);
    bool whole = pointers(p, &m->job.in, &m->job.out);
    m->last = calloc((size_t)p->n_outputs + 1, sizeof *m->last);
    m->positions = room(m->context * (sd_int)sizeof *m->positions);
    m->zeros = room(m->context * (sd_int)sizeof *m->zeros);
    m->thread = calloc((size_t)m->threads, sizeof *m->thread);
    m->histogram = room(p->histogram * 8);
    m->weighted = room(p->histogram * 8);
    m->macs = room(p->n_counted * 8);
    m->cells = room(p->counted_cells * 8);
    m->by_step = room(p->most_steps * 8);
    whole = whole && m->arena && m->scratch && m->last && m->positions && m->zeros && m->thread && m->histogram &&
            m->weighted && m->macs && m->cells && m->by_step;
    for (int i = 0; whole && i < m->threads; i++) {
        m->thread[i] = (struct sd_thread){.m = m, .index = i, .threads = m->threads, .alone = m->threads == 1,
                                          .C = m->context, .arena = m->arena, .scratch = m->scratch + scratch * i,
                                          .w = m->w, .k = m->k};
        whole = pointers(p, &m->thread[i].in, &m->thread[i].out);
    }
    if (!whole) {
        snprintf(m->error, sizeof m->error, "out of memory for a context of %td tokens", m->context);
        return false;
    }
    if (m->threads > 1) {
        m->pool = sd_pool_new(m->threads, (struct sd_work){take, run, m});
        if (!m->pool) {
            snprintf(m->error, sizeof m->error, "cannot start %d threads", m->threads);
            return false;
        }
    }
    m->own = m->state = sdllm_state_new(m);
    return m->own != NULL;
}

static bool settle(struct sdllm *m, const struct sdllm_options *o) {
    const struct sd_program *p = m->program;
    m->stats = o->stats != 0;
    m->profile = o->profile != 0;
    m->threads = o->threads ? o->threads : 1;
    if (m->threads < 1 || m->threads > SD_MOST_THREADS) {
        snprintf(m->error, sizeof m->error, "threads: 1 to %d, not %d", SD_MOST_THREADS, m->threads);
        return false;
    }
    const sd_int wanted = o->context ? o->context : p->context;
    if (wanted < 1 || (p->most && wanted > p->most)) {
        snprintf(m->error, sizeof m->error, "context: 1 to %td tokens, not %td", p->most, wanted);
        return false;
    }
    m->context = (wanted + 15) / 16 * 16;
    m->limit = wanted;
    m->chunk = p->chunk && p->chunk < m->context ? p->chunk : m->context;
    m->k = sd_choose(o->isa);
    if (!m->k) snprintf(m->error, sizeof m->error, "this processor has no %s", o->isa);
    return m->k != NULL;
}

struct sdllm *sdllm_open(const char *weights, const struct sdllm_options *options, char *message, size_t size) {
    static const struct sdllm_options usual = {0};
    struct sdllm *m = calloc(1, sizeof *m);
    if (!m) {
        if (message && size) snprintf(message, size, "out of memory");
        return NULL;
    }
    m->program = &sd_program;
    atomic_init(&m->outside, false);
    if (settle(m, options ? options : &usual) && !sd_weights_open(m, weights) && prepare(m)) return m;
    if (message && size) snprintf(message, size, "%s", m->error);
    sdllm_close(m);
    return NULL;
}

void sdllm_close(struct sdllm *m) {
    if (!m) return;
    sd_pool_free(m->pool);
    m->pool = NULL;
    sdllm_state_free(m->own);
    sd_weights_close(m);
    give_back(m->arena);
    give_back(m->scratch);
    free((void *)m->job.in);
    free((void *)m->job.out);
    for (int i = 0; m->thread && i < m->threads; i++) {
        free((void *)m->thread[i].in);
        free((void *)m->thread[i].out);
    }
    free((void *)m->last);
    give_back(m->positions);
    give_back(m->zeros);
    free(m->thread);
    give_back(m->histogram);
    give_back(m->weighted);
    give_back(m->macs);
    give_back(m->cells);
    give_back(m->by_step);
    give_back(m->seen);
    free(m);
}

/* Keep a message made of two halves with a number between them. */
static int refuse(struct sdllm *m, const char *before, ptrdiff_t n, const char *after) {
    snprintf(m->error, sizeof m->error, "%s%td%s", before, n, after);
    return 1;
}

static int complain(struct sdllm *m, const char *why) {
    snprintf(m->error, sizeof m->error, "%s", why);
    return 1;
}

/* Masks and positions of n new tokens after the state's past. */
static void place(struct sdllm *m, sd_int n, const int64_t *mask) {
    struct sdllm_state *state = m->state;
    const sd_int all = state->past + n;
    for (sd_int i = mask ? 0 : state->past; i < all; i++) state->mask[i] = mask ? mask[i] : 1;
    int64_t seen = 0;
    m->unpadded = true;
    for (sd_int i = 0; i < all; i++) {
        seen += state->mask[i];
        if (state->mask[i] != 1) m->unpadded = false;
        if (i >= state->past) m->positions[i - state->past] = seen > 0 ? seen - 1 : 0;
    }
}

/* At most a chunk of tokens, `done` of the call before them; their outputs go behind those of `told` tokens. */
static void run_chunk(struct sdllm *m, sd_int n, sd_int done, sd_int told, const int64_t *ids,
                      const void *const *inputs, void *const *outputs) {
    const struct sd_program *p = m->program;
    for (int i = 0; i < p->n_inputs; i++) {
        const struct sd_input *input = p->inputs + i;
        m->job.in[i] = input->role == SD_IDS         ? (const void *)(ids + done)
                   : input->role == SD_POSITIONS ? (const void *)(m->positions + done)
                   : input->role == SD_MASK      ? (const void *)m->state->mask
                                                 : (const void *)m->zeros;
        if (inputs && inputs[i]) m->job.in[i] = (const unsigned char *)inputs[i] + done * input->row * input->size;
    }
    for (int i = 0; i < p->n_outputs; i++) {
        m->job.out[i] = outputs && outputs[i]
                            ? (unsigned char *)outputs[i] + told * p->outputs[i].row * p->outputs[i].size
                            : NULL;
    }
    m->job.S = n;
    m->job.P = m->state->past;
    m->job.step = m->thread[0].step;
    m->job.stats = m->stats;
    m->job.state = m->state;
    if (m->profile) m->thread[0].clock = seconds();
    if (m->pool) {
        sd_pool_run(m->pool);
    } else {
        take(m, 0);
        run(m, 0);
    }
    m->state->past += n;
    if (m->stats) m->tokens += n;
}

static int check(struct sdllm *m, ptrdiff_t n, const int64_t *ids) {
    const sd_int left = m->limit - m->state->past;
    if (n < 1) return complain(m, "there are no tokens");
    if (n > left && m->state->past) return refuse(m, "the context is full: there is room for ", left, " tokens more");
    if (n > left) return refuse(m, "the prompt is longer than the context of ", m->limit, " tokens");
    for (ptrdiff_t i = 0; ids && m->program->vocabulary && i < n; i++) {
        if (ids[i] < 0 || ids[i] >= m->program->vocabulary) {
            return refuse(m, "token id ", (ptrdiff_t)ids[i], " is outside the vocabulary");
        }
    }
    bool whole = m->program->chunk == 0;
    for (int i = 0; i < m->program->n_outputs; i++) whole = whole || m->program->outputs[i].row == 0;
    if (whole && n > m->chunk) return refuse(m, "at most ", m->chunk, " tokens go through at once");
    return 0;
}

/* All tokens, chunk by chunk. Where only the last logits are wanted, `last` is set and outputs are for one token. */
static int run_all(struct sdllm *m, ptrdiff_t n, const int64_t *ids, const int64_t *mask, const void *const *inputs,
                   void *const *outputs, bool last) {
    if (check(m, n, ids)) return 1;
    const sd_int before = m->state->past;
    place(m, n, mask);
    for (sd_int done = 0; done < n;) {
        const sd_int some = n - done < m->chunk ? n - done : m->chunk;
        m->job.from = last ? some - 1 : 0;
        if (last) {
            run_chunk(m, some, done, 0, ids, inputs, done + some == n ? outputs : NULL);
        } else {
            run_chunk(m, some, done, done, ids, inputs, outputs);
        }
        done += some;
    }
    if (atomic_exchange(&m->outside, false)) {
        m->state->past = before;
        return complain(m, "an id or position is outside its table");
    }
    return 0;
}

int sdllm_run(struct sdllm *m, ptrdiff_t n, const int64_t *ids, const int64_t *mask, const void *const *inputs,
              void *const *outputs) {
    return run_all(m, n, ids, mask, inputs, outputs, false);
}

int sdllm_prefill(struct sdllm *m, const int64_t *ids, ptrdiff_t n, float *logits) {
    const int which = m->program->logits;
    if (which < 0) return complain(m, "the program has no logits");
    for (int i = 0; i < m->program->n_outputs; i++) m->last[i] = NULL;
    m->last[which] = logits;
    return run_all(m, n, ids, NULL, NULL, m->last, true);
}

int sdllm_step(struct sdllm *m, int64_t id, float *logits) { return sdllm_prefill(m, &id, 1, logits); }

ptrdiff_t sdllm_vocabulary(const struct sdllm *m) {
    return m->program->logits < 0 ? 0 : m->program->outputs[m->program->logits].row;
}

ptrdiff_t sdllm_context(const struct sdllm *m) { return m->limit; }
ptrdiff_t sdllm_tokens(const struct sdllm *m) { return m->tokens; }
const char *sdllm_isa(const struct sdllm *m) { return m->k->name; }
const char *sdllm_error(const struct sdllm *m) { return m->error; }
