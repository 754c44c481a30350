/* Threads that run one job together. All run the same steps in the same order, and take the items of a step as they
 * come: nobody waits for a thread that has taken nothing. One that comes late finds its steps done and runs past them.
 * Who has to wait spins for a short while, then gives way, then sleeps, so that a busy machine is not made busier.
 */
#ifndef SDLLM_THREADS_H
#define SDLLM_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sd_pool;

/* What a thread does for a job. `take`: copy what the job is about, as the caller may be further by then than the
 * thread is; it is called under a lock. `run`: the steps. */
struct sd_work {
    void (*take)(void *user, int index);
    void (*run)(void *user, int index);
    void *user;
};

/* Threads 1 … n-1 wait for jobs; thread 0 is who calls. NULL if they cannot be made. */
struct sd_pool *sd_pool_new(int n, struct sd_work work);
void sd_pool_free(struct sd_pool *p);

/* Run a job; back when all of its steps are done. */
void sd_pool_run(struct sd_pool *p);

/* Wait until no thread is at a job any more, not even late at one that is over. */
void sd_pool_rest(struct sd_pool *p);

/* Items `begin` to `end` of a step's n are this thread's. The first call has begin = end = 0; each further one tells
 * that the items it was given are done. False: all are done, and `step` is the next one. A thread that is not waited
 * for may be told so while the step is long over. */
bool sd_pool_part(struct sd_pool *p, uint32_t *step, ptrdiff_t n, ptrdiff_t least, ptrdiff_t *begin, ptrdiff_t *end);

#endif
