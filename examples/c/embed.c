/* A spike program inside another program: embed FOLDER "Once upon a time", FOLDER being out/c of a compiled model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdllm.h"
#include "tokenizer.h"

static int fail(const char *why) {
    fprintf(stderr, "embed: %s\n", why);
    return 1;
}

static int64_t likeliest(const float *logits, ptrdiff_t n) {
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 1; i < n; i++) best = logits[i] > logits[best] ? i : best;
    return best;
}

int main(int argc, char **argv) {
    char path[4096], message[256] = "embed FOLDER TEXT";
    if (argc != 3) return fail(message);

    snprintf(path, sizeof path, "%s/tokenizer.bin", argv[1]);
    struct sdllm_tokenizer *words = sdllm_tokenizer_open(path, message, sizeof message);
    if (!words) return fail(message);
    const struct sdllm_options options = {.threads = 2, .stats = 1};
    snprintf(path, sizeof path, "%s/weights.bin", argv[1]);
    struct sdllm *model = sdllm_open(path, &options, message, sizeof message);
    if (!model) return fail(message);

    ptrdiff_t n;
    const ptrdiff_t vocabulary = sdllm_vocabulary(model);
    int64_t *ids = sdllm_encode(words, SDLLM_TEXT, argv[2], strlen(argv[2]), &n);
    float *logits = malloc((size_t)vocabulary * sizeof *logits);
    if (!ids || !logits || sdllm_prefill(model, ids, n, logits)) return fail(sdllm_error(model));
    for (int made = 0; made < 32; made++) {
        const int64_t id = likeliest(logits, vocabulary);
        if (sdllm_stops(words, id)) break;
        size_t length;
        const char *text = sdllm_token(words, id, &length);
        fwrite(text, 1, length, stdout);
        if (sdllm_step(model, id, logits)) return fail(sdllm_error(model));
    }

    unsigned long long spikes = 0;
    struct sdllm_count count;
    for (ptrdiff_t i = 0; !sdllm_stats(model, i, &count); i++) spikes += count.spikes;
    printf("\n%td tokens, %llu spikes\n", sdllm_tokens(model), spikes);
    free(ids);
    free(logits);
    sdllm_close(model);
    sdllm_tokenizer_close(words);
    return 0;
}
