/* Runs the model beside this file: run --prompt "Once upon a time". Text goes out as it is made; with --ids, ids do. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sdllm.h"
#include "tokenizer.h"

static const char usage[] =
    "run --prompt TEXT | --chat TEXT | --ids 1,2,3     (TEXT '-': standard input; --chat: as a user's turn)\n"
    "    [--tokens 128] [--temperature 0] [--seed 0] [--threads N] [--context N] [--isa NAME]\n"
    "    [--weights FILE] [--tokenizer FILE] [--stats] [--layers] [--profile]\n";

struct wishes {
    struct sdllm_options options;
    enum sdllm_frame frame;
    const char *weights, *tokenizer, *text, *ids;
    long tokens;
    double temperature;
    uint64_t seed;
    int stats, layers;
};

/* What the model has read and written. */
struct told {
    int64_t *id;
    ptrdiff_t prompt, n; /* of them are the prompt's; all */
    double filling, writing; /* seconds */
    ptrdiff_t steps;
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- choosing ---- */

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

/* ---- reading ---- */

/* All of standard input. */
static char *everything(size_t *n) {
    size_t room = 1 << 16;
    char *made = malloc(room);
    *n = 0;
    while (made) {
        const size_t some = fread(made + *n, 1, room - *n, stdin);
        if (!some) return made;
        *n += some;
        if (*n < room) continue;
        char *more = realloc(made, room *= 2);
        if (!more) free(made);
        made = more;
    }
    return NULL;
}

/* Ids of a list such as 1,2,3; NULL if it is none. */
static int64_t *list(const char *text, ptrdiff_t *n) {
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

/* The ids of what was asked, or NULL when it has been said why not. */
static int64_t *prompt(const struct wishes *w, const struct sdllm_tokenizer *t, ptrdiff_t *n) {
    if (w->ids) {
        int64_t *ids = list(w->ids, n);
        if (!ids) fprintf(stderr, "run: --ids: '%s' is no list of integers\n", w->ids);
        return ids;
    }
    if (w->frame == SDLLM_CHAT && !sdllm_chats(t)) {
        fprintf(stderr, "run: --chat: this model has no form of conversation; use --prompt\n");
        return NULL;
    }
    size_t length = strlen(w->text);
    char *read = NULL;
    if (!strcmp(w->text, "-")) read = everything(&length);
    int64_t *ids = sdllm_encode(t, w->frame, read ? read : w->text, length, n);
    free(read);
    if (ids && *n) return ids;
    fprintf(stderr, ids ? "run: the prompt is empty\n" : "run: out of memory\n");
    free(ids);
    return NULL;
}

/* ---- writing ---- */

/* The text of a token; what may be the beginning of a character waits, in `held`, for the rest. */
static void show(const struct sdllm_tokenizer *t, int64_t id, char held[4], size_t *waiting) {
    size_t n;
    const char *text = sdllm_token(t, id, &n);
    if (sdllm_special(t, id)) return;
    for (size_t i = 0; i < n; i++) {
        held[(*waiting)++] = text[i];
        if (*waiting < 4 && !sdllm_whole(held, *waiting)) continue;
        fwrite(held, 1, *waiting, stdout);
        *waiting = 0;
    }
    fflush(stdout);
}

/* Read the prompt, then write until a token that ends text, the tokens wanted, or the end of the context. */
static int generate(struct sdllm *m, const struct sdllm_tokenizer *t, const struct wishes *w, struct told *told) {
    float *logits = malloc((size_t)sdllm_vocabulary(m) * sizeof *logits);
    uint64_t state = w->seed * 2654435769u + 88172645463325252u;
    char held[4];
    size_t waiting = 0;
    double start = seconds();
    int failed = !logits || sdllm_prefill(m, told->id, told->prompt, logits);
    told->n = told->prompt;
    told->filling = seconds() - start;
    start = seconds();
    for (long made = 0; !failed && made < w->tokens; made++) {
        const int64_t id = pick(logits, sdllm_vocabulary(m), w->temperature, &state);
        if (t && sdllm_stops(t, id)) break;
        if (w->ids) {
            printf(made ? ",%lld" : "%lld", (long long)id);
            fflush(stdout);
        } else {
            show(t, id, held, &waiting);
        }
        told->id[told->n++] = id;
        if (made + 1 == w->tokens || told->n > sdllm_context(m)) break;
        failed = sdllm_step(m, id, logits);
        told->steps++;
    }
    told->writing = seconds() - start;
    if (waiting) fwrite(held, 1, waiting, stdout);
    printf("\n");
    if (failed) fprintf(stderr, "run: %s\n", logits ? sdllm_error(m) : "out of memory");
    free(logits);
    return failed;
}

/* ---- telling ---- */

/* Speeds were measured without counting; spikes are counted over the same tokens, in the same steps, once more. */
static int show_stats(struct sdllm *m, const struct wishes *w, const struct told *told) {
    const ptrdiff_t n = told->prompt + told->steps;
    uint64_t spikes = 0, additions = 0, values = 0, nonzero = 0, macs = 0;
    struct sdllm_count c;
    sdllm_reset(m);
    sdllm_counting(m, 1);
    int failed = sdllm_prefill(m, told->id, told->prompt, NULL);
    for (ptrdiff_t i = told->prompt; !failed && i < n; i++) failed = sdllm_step(m, told->id[i], NULL);
    if (failed) {
        fprintf(stderr, "run: %s\n", sdllm_error(m));
        return 1;
    }
    for (ptrdiff_t i = 0; !sdllm_stats(m, i, &c); i++) {
        spikes += c.spikes, additions += c.additions, values += c.values, nonzero += c.nonzero, macs += c.macs;
        if (!w->layers) continue;
        fprintf(stderr, "%s: %llu spikes, %.1f%% of counts not 0, %.3f additions a multiply-add of the dense product\n",
                *c.module ? c.module : c.op, (unsigned long long)c.spikes,
                100.0 * (double)c.nonzero / (c.values ? (double)c.values : 1.0),
                (double)c.additions / (c.macs ? (double)c.macs : 1.0));
    }
    fprintf(stderr, "prompt: %td tokens, %.1f tokens/s; then %td steps, %.1f tokens/s; threads %d, kernels %s\n",
            told->prompt, (double)told->prompt / told->filling, told->steps,
            told->steps ? (double)told->steps / told->writing : 0.0, w->options.threads, sdllm_isa(m));
    fprintf(stderr, "a token: %.0f spikes, %.0f additions (%.3f a multiply-add of the dense products)\n",
            (double)spikes / (double)n, (double)additions / (double)n,
            (double)additions / (macs ? (double)macs : 1.0));
    if (values) fprintf(stderr, "%.1f%% of counts are not 0\n", 100.0 * (double)nonzero / (double)values);
    return 0;
}

static void show_profile(const struct sdllm *m) {
    struct sdllm_times t;
    sdllm_profile(m, &t);
    const double all = (t.linears + t.attention + t.head + t.rest) / 100.0;
    fprintf(stderr, "time: linears %.1f%%, attention %.1f%%, head %.1f%%, rest %.1f%%\n", t.linears / all,
            t.attention / all, t.head / all, t.rest / all);
}

/* ---- the program ---- */

/* An option without a value. Whether it is one. */
static int flag(const char *name, struct wishes *w) {
    if (!strcmp(name, "--profile")) return w->options.profile = 1;
    if (!strcmp(name, "--layers")) return w->stats = w->layers = 1;
    return !strcmp(name, "--stats") && (w->stats = 1);
}

/* A whole number, `least` at least; -1, when that has been said, for anything else. */
static long whole(const char *name, const char *value, long least) {
    char *end;
    const long made = strtol(value, &end, 10);
    if (end != value && !*end && made >= least) return made;
    fprintf(stderr, "run: %s: '%s' is no whole number of %ld or more\n", name, value, least);
    return -1;
}

/* Take one option with its value: 0, or 1 if there is no such option, or 2 if its value is wrong and that was said. */
static int take(const char *name, const char *value, struct wishes *w) {
    long number = 0;
    if (!strcmp(name, "--prompt") || !strcmp(name, "--chat")) {
        w->text = value;
        w->frame = name[2] == 'c' ? SDLLM_CHAT : SDLLM_TEXT;
    } else if (!strcmp(name, "--ids")) {
        w->ids = value;
    } else if (!strcmp(name, "--tokens")) {
        w->tokens = number = whole(name, value, 1);
    } else if (!strcmp(name, "--temperature")) {
        w->temperature = atof(value);
    } else if (!strcmp(name, "--seed")) {
        number = whole(name, value, 0);
        w->seed = (uint64_t)number;
    } else if (!strcmp(name, "--threads")) {
        number = whole(name, value, 1);
        w->options.threads = number > INT_MAX ? INT_MAX : (int)number;
    } else if (!strcmp(name, "--context")) {
        w->options.context = number = whole(name, value, 1);
    } else if (!strcmp(name, "--isa")) {
        w->options.isa = value;
    } else if (!strcmp(name, "--weights")) {
        w->weights = value;
    } else if (!strcmp(name, "--tokenizer")) {
        w->tokenizer = value;
    } else {
        return 1;
    }
    return number < 0 ? 2 : 0;
}

static int parse(int argc, char **argv, struct wishes *w) {
    int wrong = 0;
    for (int i = 1; i < argc && !wrong; i++) {
        if (flag(argv[i], w)) continue;
        wrong = i + 1 < argc ? take(argv[i], argv[i + 1], w) : 1;
        i++;
    }
    if (!wrong && !w->ids == !w->text) wrong = 1;
    if (wrong == 1) fputs(usage, stderr);
    return wrong;
}

/* SDLLM_THREADS, or the processors there are, but no more than 4: a small model gains nothing from more. */
static int usual_threads(void) {
    const char *given = getenv("SDLLM_THREADS");
    const long there = given ? atol(given) : sysconf(_SC_NPROCESSORS_ONLN);
    return there < 1 ? 1 : !given && there > 4 ? 4 : (int)there;
}

/* A file beside the program. */
static const char *beside(const char *program, const char *name, char path[4096]) {
    const char *slash = strrchr(program, '/');
    snprintf(path, 4096, "%.*s%s", slash ? (int)(slash - program) + 1 : 0, program, name);
    return path;
}

static int run(const struct wishes *w, const struct sdllm_tokenizer *t, const char *weights) {
    char message[256];
    struct told told = {0};
    struct sdllm *m = sdllm_open(weights, &w->options, message, sizeof message);
    if (!m) {
        fprintf(stderr, "run: %s\n", message);
        return 2;
    }
    int failed = 1;
    if (sdllm_vocabulary(m) == 0) {
        fprintf(stderr, "run: this model has no logits to decode from\n");
    } else if ((told.id = prompt(w, t, &told.prompt))) {
        int64_t *more = realloc(told.id, (size_t)(told.prompt + (w->tokens > 0 ? w->tokens : 0)) * sizeof *more);
        if (more) told.id = more;
        failed = !more || generate(m, t, w, &told);
    }
    if (!failed && w->options.profile) show_profile(m);
    if (!failed && w->stats) failed = show_stats(m, w, &told);
    free(told.id);
    sdllm_close(m);
    return failed ? 2 : 0;
}

int main(int argc, char **argv) {
    struct wishes w = {.tokens = 128};
    char weights[4096], tokenizer[4096], message[256];
    if (parse(argc, argv, &w)) return 2;
    if (!w.options.threads) w.options.threads = usual_threads();
    if (!w.weights) w.weights = beside(argv[0], "weights.bin", weights);
    if (!w.tokenizer) w.tokenizer = beside(argv[0], "tokenizer.bin", tokenizer);
    struct sdllm_tokenizer *t = NULL;
    if (w.text && access(w.tokenizer, F_OK) != 0) {
        fprintf(stderr, "run: there is no tokenizer for this model in C (manifest.json says why); give --ids 1,2,3\n");
        return 2;
    }
    if (w.text && !(t = sdllm_tokenizer_open(w.tokenizer, message, sizeof message))) {
        fprintf(stderr, "run: %s\n", message);
        return 2;
    }
    const int code = run(&w, t, w.weights);
    sdllm_tokenizer_close(t);
    return code;
}
