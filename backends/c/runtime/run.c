/* Runs the model beside this file: run --ids 1,2,3 --steps 20. Prints token ids as they come.
 *
 * Text goes in and out where a tokenizer is added: `read_prompt` and `show_token` are all that would change.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sdllm.h"

struct wishes {
    struct sdllm_options options;
    const char *weights, *ids;
    long steps;
    double temperature;
    uint64_t seed;
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A number of 0 to 1 from a 64-bit shift register. */
static double draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 0x2545f4914f6cdd1du) >> 11) / 9007199254740992.0;
}

static int64_t pick(const float *logits, ptrdiff_t n, double temperature, uint64_t *state) {
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 1; i < n; i++) best = logits[i] > logits[best] ? i : best;
    if (temperature <= 0.0) return (int64_t)best;
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) sum += exp(((double)logits[i] - (double)logits[best]) / temperature);
    double left = draw(state) * sum;
    for (ptrdiff_t i = 0; i < n; i++) {
        left -= exp(((double)logits[i] - (double)logits[best]) / temperature);
        if (left < 0.0) return (int64_t)i;
    }
    return (int64_t)best;
}

/* Ids of a list such as 1,2,3; NULL if it is none. */
static int64_t *read_prompt(const char *text, ptrdiff_t *n) {
    int64_t *ids = malloc((strlen(text) + 1) * sizeof *ids);
    *n = 0;
    while (ids) {
        char *end;
        ids[(*n)++] = strtoll(text, &end, 10);
        if (end == text || (*end && *end != ',')) break;
        if (!*end) return ids;
        text = end + 1;
    }
    free(ids);
    return NULL;
}

static void show_token(int64_t id, int first) {
    printf(first ? "%lld" : ",%lld", (long long)id);
    fflush(stdout);
}

static void show_stats(struct sdllm *m) {
    struct sdllm_count c;
    printf("%td tokens, kernels %s\n", sdllm_tokens(m), sdllm_isa(m));
    for (ptrdiff_t i = 0; !sdllm_stats(m, i, &c); i++) {
        const double values = c.values ? (double)c.values : 1.0, macs = c.macs ? (double)c.macs : 1.0;
        printf("%s: %llu spikes, %.1f%% of counts not 0, %llu additions (%.3f a multiply-add of the dense product)\n",
               *c.module ? c.module : c.op, (unsigned long long)c.spikes, 100.0 * (double)c.nonzero / values,
               (unsigned long long)c.additions, (double)c.additions / macs);
    }
}

static int generate(struct sdllm *m, const struct wishes *w) {
    ptrdiff_t n;
    int64_t *ids = read_prompt(w->ids, &n);
    float *logits = malloc((size_t)sdllm_vocabulary(m) * sizeof *logits);
    uint64_t state = w->seed * 2654435769u + 88172645463325252u;
    double start = seconds(), filled = 0.0;
    long made = 0;
    int failed = !ids || !logits;
    if (!ids) fprintf(stderr, "run: --ids: '%s' is no list of integers\n", w->ids);
    if (!failed) failed = sdllm_prefill(m, ids, n, logits);
    filled = seconds() - start;
    start = seconds();
    while (!failed && made < w->steps) {
        const int64_t id = pick(logits, sdllm_vocabulary(m), w->temperature, &state);
        show_token(id, made == 0);
        if (++made < w->steps) failed = sdllm_step(m, id, logits);
    }
    const double took = seconds() - start;
    if (ids && failed) fprintf(stderr, "\nrun: %s\n", sdllm_error(m));
    printf("\n");
    if (!failed && made > 1) {
        fprintf(stderr, "prompt %.1f tokens/s, then %.1f tokens/s\n", (double)n / filled, (double)(made - 1) / took);
    }
    free(ids);
    free(logits);
    return failed ? 2 : 0;
}

static const char usage[] =
    "run --ids 1,2,3 [--steps 20] [--temperature 0] [--seed 0] [--threads 1] [--context N] [--isa NAME]\n"
    "    [--weights FILE] [--stats] [--profile]\n";

static int parse(int argc, char **argv, struct wishes *w) {
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--stats")) {
            w->options.stats = 1;
            continue;
        }
        if (!strcmp(argv[i], "--profile")) {
            w->options.profile = 1;
            continue;
        }
        const char *name = argv[i], *value = ++i < argc ? argv[i] : NULL;
        if (!value) return 1;
        if (!strcmp(name, "--ids")) {
            w->ids = value;
        } else if (!strcmp(name, "--steps")) {
            w->steps = atol(value);
        } else if (!strcmp(name, "--temperature")) {
            w->temperature = atof(value);
        } else if (!strcmp(name, "--seed")) {
            w->seed = strtoull(value, NULL, 10);
        } else if (!strcmp(name, "--threads")) {
            w->options.threads = atoi(value);
        } else if (!strcmp(name, "--context")) {
            w->options.context = atol(value);
        } else if (!strcmp(name, "--isa")) {
            w->options.isa = value;
        } else if (!strcmp(name, "--weights")) {
            w->weights = value;
        } else {
            return 1;
        }
    }
    return w->ids == NULL;
}

/* weights.bin beside the program. */
static char *beside(const char *program) {
    const char *slash = strrchr(program, '/');
    const size_t folder = slash ? (size_t)(slash - program) + 1 : 0;
    char *path = malloc(folder + sizeof "weights.bin");
    if (path) {
        memcpy(path, program, folder);
        memcpy(path + folder, "weights.bin", sizeof "weights.bin");
    }
    return path;
}

int main(int argc, char **argv) {
    struct wishes w = {.steps = 20};
    char message[256];
    if (parse(argc, argv, &w)) {
        fputs(usage, stderr);
        return 2;
    }
    char *path = beside(argv[0]);
    struct sdllm *m = path ? sdllm_open(w.weights ? w.weights : path, &w.options, message, sizeof message) : NULL;
    free(path);
    if (!m) {
        fprintf(stderr, "run: %s\n", message);
        return 2;
    }
    int code = 2;
    if (sdllm_vocabulary(m) == 0) {
        fprintf(stderr, "run: this model has no logits to decode from\n");
    } else {
        code = generate(m, &w);
    }
    if (code == 0 && w.options.stats) show_stats(m);
    if (code == 0 && w.options.profile) {
        struct sdllm_times t;
        sdllm_profile(m, &t);
        const double all = (t.linears + t.attention + t.head + t.rest) / 100.0;
        printf("time: linears %.1f%%, attention %.1f%%, head %.1f%%, rest %.1f%%\n", t.linears / all,
               t.attention / all, t.head / all, t.rest / all);
    }
    sdllm_close(m);
    return code;
}
