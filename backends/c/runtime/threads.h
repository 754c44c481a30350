/* Threads that run one job together, and meet at barriers. They spin for a short while and then give way, so that a
 * busy machine is not made busier. */
#ifndef SDLLM_THREADS_H
#define SDLLM_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>

struct sd_pool;

/* Threads 1 … n-1 wait for work; thread 0 is who calls. NULL if they cannot be made. */
struct sd_pool *sd_pool_new(int n, void (*job)(void *user, int index), void *user);
void sd_pool_free(struct sd_pool *p);

/* Run the job on all threads; back when thread 0 has done its part, which must end with a barrier. */
void sd_pool_run(struct sd_pool *p);
void sd_pool_meet(struct sd_pool *p);

#endif
