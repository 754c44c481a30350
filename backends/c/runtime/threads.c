#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { SPINS = 2000, YIELDS = 200 };

struct worker {
    struct sd_pool *pool;
    int index;
    pthread_t thread;
};

struct sd_pool {
    int threads, started;
    void (*job)(void *user, int index);
    void *user;
    struct worker *workers;
    _Alignas(64) atomic_uint jobs;    /* how many there have been */
    _Alignas(64) atomic_int waiting;  /* at the barrier */
    _Alignas(64) atomic_uint turn;    /* barriers passed */
    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
};

static inline void breathe(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Whether the number has changed, after at most so many looks. */
static bool changed(atomic_uint *number, unsigned from, int yields) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(number, memory_order_acquire) != from) return true;
        breathe();
    }
    for (int i = 0; yields < 0 || i < yields; i++) {
        if (atomic_load_explicit(number, memory_order_acquire) != from) return true;
        sched_yield();
    }
    return false;
}

void sd_pool_meet(struct sd_pool *p) {
    if (!p) return;
    const unsigned turn = atomic_load_explicit(&p->turn, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->waiting, 1, memory_order_acq_rel) == p->threads - 1) {
        atomic_store_explicit(&p->waiting, 0, memory_order_relaxed);
        atomic_store_explicit(&p->turn, turn + 1, memory_order_release);
    } else {
        changed(&p->turn, turn, -1);
    }
}

static void *work(void *user) {
    struct worker *w = user;
    struct sd_pool *p = w->pool;
    unsigned done = 0;
    for (;;) {
        if (!changed(&p->jobs, done, YIELDS)) {
            pthread_mutex_lock(&p->lock);
            while (atomic_load_explicit(&p->jobs, memory_order_acquire) == done) pthread_cond_wait(&p->work, &p->lock);
            pthread_mutex_unlock(&p->lock);
        }
        done++;
        if (p->stop) return NULL;
        p->job(p->user, w->index);
    }
}

static void announce(struct sd_pool *p) {
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->jobs, 1, memory_order_release);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

struct sd_pool *sd_pool_new(int n, void (*job)(void *user, int index), void *user) {
    void *room = NULL;
    if (posix_memalign(&room, 64, sizeof(struct sd_pool))) return NULL;
    struct sd_pool *p = room;
    p->threads = n;
    p->started = 0;
    p->job = job;
    p->user = user;
    p->stop = false;
    atomic_init(&p->jobs, 0);
    atomic_init(&p->waiting, 0);
    atomic_init(&p->turn, 0);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->workers = calloc((size_t)n, sizeof *p->workers);
    for (int i = 1; p->workers && i < n; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i};
        if (pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i])) break;
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
    p->stop = true;
    announce(p);
    for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    free(p->workers);
    free(p);
}

void sd_pool_run(struct sd_pool *p) {
    announce(p);
    p->job(p->user, 0);
}
