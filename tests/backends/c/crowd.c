/* More threads than processors, on states that come and go: crowd WEIGHTS TIMES. Each answer must have the bits that one
 * thread gives; 0 if so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdllm.h"

static const int64_t ids[] = {1, 2, 3, 4, 5};
enum { PROMPT = 3, ALL = 5 };

/* The logits after each of the last tokens, by a state of their own. */
static int answer(struct sdllm *m, float *logits) {
    const size_t n = (size_t)sdllm_vocabulary(m);
    struct sdllm_state *state = sdllm_state_new(m);
    if (!state) return 1;
    sdllm_use(m, state);
    int failed = sdllm_prefill(m, ids, PROMPT, logits);
    for (int i = PROMPT; i < ALL; i++) failed |= sdllm_step(m, ids[i], logits + (size_t)(i - PROMPT + 1) * n);
    sdllm_state_free(state);
    return failed;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const int crowds[] = {2, 3, 7};
    char message[256];
    struct sdllm *one = sdllm_open(argv[1], NULL, message, sizeof message);
    if (!one) return 2;
    const size_t n = (size_t)sdllm_vocabulary(one) * (ALL - PROMPT + 1);
    float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    if (!want || !got || answer(one, want)) return 2;
    sdllm_close(one);
    for (int c = 0; c < 3; c++) {
        struct sdllm *m = sdllm_open(argv[1], &(struct sdllm_options){.threads = crowds[c]}, message, sizeof message);
        if (!m) return 2;
        for (long i = atol(argv[2]); i > 0; i--) {
            if (answer(m, got)) return 2;
            if (memcmp(want, got, n * sizeof *want) != 0) {
                fprintf(stderr, "%d threads have another answer than one, %ld rounds to go\n", crowds[c], i);
                return 1;
            }
        }
        sdllm_close(m);
    }
    free(want);
    free(got);
    return 0;
}
