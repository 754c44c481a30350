/* How fast threads read one block of memory again and again, each its part of it, as decoding reads weights:
 *
 *     cc -O3 -march=native stream.c -lpthread -o stream && ./stream BYTES THREADS
 *
 * prints the best of some rounds in GB/s. Pages are large where the system gives them, and lines are asked for 8 KB ahead:
 * without, a core of a large server gets half of what there is.
 */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ROUNDS = 8, LINE = 64, AHEAD = 8192, MOST = 64, LARGE = 2 << 20 };

typedef uint64_t eight __attribute__((vector_size(LINE), aligned(LINE)));

struct part {
    const char *from;
    size_t bytes;
    uint64_t sum;
};

static void *sum(void *user) {
    struct part *p = user;
    const size_t half = p->bytes / 2 / (4 * LINE) * (4 * LINE);
    eight total[4] = {{0}};
    for (size_t i = 0; i < half; i += 4 * LINE) {
        for (int run = 0; run < 2; run++) {
            const char *now = p->from + (size_t)run * half + i;
            for (int k = 0; k < 4; k++) __builtin_prefetch(now + AHEAD + k * LINE, 0, 2);
            for (int k = 0; k < 4; k++) total[k] += *(const eight *)(const void *)(now + k * LINE);
        }
    }
    const eight all = total[0] + total[1] + total[2] + total[3];
    for (int k = 0; k < 8; k++) p->sum += all[k];
    return NULL;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    const size_t bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    const int threads = argc > 2 ? atoi(argv[2]) : 0;
    void *block;
    if (bytes < LARGE || threads < 1 || threads > MOST || posix_memalign(&block, LARGE, bytes)) {
        fprintf(stderr, "stream BYTES THREADS: 2 MB or more, and 1 to %d threads\n", MOST);
        return 2;
    }
#ifdef MADV_HUGEPAGE
    madvise(block, bytes, MADV_HUGEPAGE);
#endif
    memset(block, 1, bytes);
    const size_t share = bytes / (size_t)threads / LINE * LINE;
    uint64_t seen = 0;
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct part parts[MOST] = {{0}};
        pthread_t others[MOST];
        const double began = seconds();
        for (int i = 0; i < threads; i++) {
            parts[i] = (struct part){(const char *)block + (size_t)i * share, share, 0};
            if (i && pthread_create(&others[i], NULL, sum, &parts[i])) return 1;
        }
        sum(&parts[0]);
        for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
        const double rate = (double)bytes / (seconds() - began) / 1e9;
        for (int i = 0; i < threads; i++) seen += parts[i].sum;
        best = rate > best ? rate : best;
    }
    printf("%.2f\n", best);
    free(block);
    return seen == 0;
}
