#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS = 1000, YIELDS = 50 };

typedef _Atomic uint64_t counter; /* its upper half tells what is under way */

enum state { CLOSED, OPEN, OVER };

struct worker {
    struct sd_pool *pool;
    int index;
    pthread_t thread;
};

struct sd_pool {
    int threads, started;
    struct sd_work work;
    struct worker *workers;
    _Alignas(64) counter now;         /* the step; in the lower half how many of its items are taken */
    _Alignas(64) atomic_uint_least64_t done; /* of the step's items */
    _Alignas(64) counter jobs;        /* how many there have been */
    _Alignas(64) atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int busy;         /* under the lock: threads at a job */
    enum state state; /* and whether there is one to join */
};

static inline void breathe(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline uint32_t upper(uint64_t number) { return (uint32_t)(number >> 32); }

/* Wait until the counter is no longer at `from`. */
static void await(struct sd_pool *p, counter *number, uint32_t from) {
    for (int i = 0; i < SPINS + YIELDS; i++) {
        if (upper(atomic_load_explicit(number, memory_order_acquire)) != from) return;
        if (i < SPINS) {
            breathe();
        } else {
            sched_yield();
        }
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (upper(atomic_load(number)) == from) pthread_cond_wait(&p->change, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Either a sleeper sees the change before it sleeps, or it is seen here. */
static void change(struct sd_pool *p, counter *number, uint64_t to) {
    atomic_store(number, to);
    if (atomic_load(&p->sleepers) == 0) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->change);
    pthread_mutex_unlock(&p->lock);
}

/* The first part is a thread's fair share, as memory is read best in long runs; parts become smaller towards the end of a
 * step, so that all threads end it at about one time. */
bool sd_pool_part(struct sd_pool *p, uint32_t *step, ptrdiff_t n, ptrdiff_t least, ptrdiff_t *begin, ptrdiff_t *end) {
    if (n < 1) return false;
    if (*end > *begin) {
        const uint64_t made = (uint64_t)(*end - *begin);
        if (atomic_fetch_add_explicit(&p->done, made, memory_order_acq_rel) + made == (uint64_t)n) {
            atomic_store_explicit(&p->done, 0, memory_order_relaxed);
            change(p, &p->now, (uint64_t)(*step + 1) << 32);
        }
    }
    uint64_t now = atomic_load_explicit(&p->now, memory_order_acquire);
    while (upper(now) == *step) {
        const ptrdiff_t taken = (ptrdiff_t)(uint32_t)now, left = n - taken;
        if (left == 0) {
            await(p, &p->now, *step);
            break;
        }
        ptrdiff_t some = left / p->threads;
        if (some < least) some = least < left ? least : left;
        if (!atomic_compare_exchange_weak_explicit(&p->now, &now, now + (uint64_t)some, memory_order_acq_rel,
                                                   memory_order_acquire)) {
            continue;
        }
        *begin = taken;
        *end = taken + some;
        return true;
    }
    ++*step;
    return false;
}

/* Join the job under way, if there still is one. */
static enum state join(struct sd_pool *p, int index) {
    pthread_mutex_lock(&p->lock);
    const enum state state = p->state;
    if (state == OPEN) {
        p->busy++;
        p->work.take(p->work.user, index);
    }
    pthread_mutex_unlock(&p->lock);
    return state;
}

static void leave(struct sd_pool *p) {
    pthread_mutex_lock(&p->lock);
    if (--p->busy == 0) pthread_cond_broadcast(&p->change);
    pthread_mutex_unlock(&p->lock);
}

static void *attend(void *user) {
    struct worker *w = user;
    struct sd_pool *p = w->pool;
    for (uint32_t known = 0;;) {
        await(p, &p->jobs, known);
        known = upper(atomic_load_explicit(&p->jobs, memory_order_acquire));
        const enum state state = join(p, w->index);
        if (state == OVER) return NULL;
        if (state == OPEN) {
            p->work.run(p->work.user, w->index);
            leave(p);
        }
    }
}

static void become(struct sd_pool *p, enum state state) {
    pthread_mutex_lock(&p->lock);
    if (state == OPEN) p->work.take(p->work.user, 0);
    p->state = state;
    pthread_mutex_unlock(&p->lock);
}

static void announce(struct sd_pool *p, enum state state) {
    become(p, state);
    change(p, &p->jobs, atomic_load_explicit(&p->jobs, memory_order_relaxed) + ((uint64_t)1 << 32));
}

struct sd_pool *sd_pool_new(int n, struct sd_work work) {
    void *room = NULL;
    if (posix_memalign(&room, 64, sizeof(struct sd_pool))) return NULL;
    struct sd_pool *p = room;
    p->threads = n;
    p->started = p->busy = 0;
    p->work = work;
    p->state = CLOSED;
    atomic_init(&p->now, 0);
    atomic_init(&p->done, 0);
    atomic_init(&p->jobs, 0);
    atomic_init(&p->sleepers, 0);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->change, NULL);
    p->workers = calloc((size_t)n, sizeof *p->workers);
    for (int i = 1; p->workers && i < n; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i};
        if (pthread_create(&p->workers[i].thread, NULL, attend, &p->workers[i])) break;
        p->started++;
    }
    if (!p->workers || p->started != n - 1) {
        sd_pool_free(p);
        return NULL;
    }
    return p;
}

void sd_pool_free(struct sd_pool *p) {
    if (!p) return;
    announce(p, OVER);
    for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->change);
    free(p->workers);
    free(p);
}

void sd_pool_run(struct sd_pool *p) {
    announce(p, OPEN);
    p->work.run(p->work.user, 0);
    become(p, CLOSED);
}

void sd_pool_rest(struct sd_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    while (p->busy) pthread_cond_wait(&p->change, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
