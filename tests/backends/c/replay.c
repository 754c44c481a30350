/* Runs a model on inputs from a file and writes all it computes to stdout, as bytes: replay WEIGHTS ISA INPUTS.
 *
 * INPUTS: int64 tokens, inputs, outputs; int64 bytes of each input (0: what follows from the tokens) and output; the
 * tokens' ids; the inputs. Out come all counts and membranes as they are made, then the outputs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdllm.h"

static void seen(void *user, const char *name, int size, ptrdiff_t rows, ptrdiff_t width, const void *data) {
    (void)user;
    printf("%s %d %td %td\n", name, size, rows, width);
    fwrite(data, (size_t)abs(size), (size_t)(rows * width), stdout);
}

static void *read_all(FILE *file, int64_t bytes) {
    void *made = calloc((size_t)bytes + 1, 1);
    if (!made || fread(made, 1, (size_t)bytes, file) != (size_t)bytes) exit(2);
    return made;
}

int main(int argc, char **argv) {
    FILE *file = argc == 4 ? fopen(argv[3], "rb") : NULL;
    if (!file) return 2;
    const int64_t *head = read_all(file, 24), *sizes = read_all(file, 8 * (head[1] + head[2]));
    const int64_t *ids = read_all(file, 8 * head[0]);
    const void **inputs = calloc((size_t)head[1] + 1, sizeof *inputs);
    void **outputs = calloc((size_t)head[2] + 1, sizeof *outputs);
    if (!inputs || !outputs) return 2;
    for (int64_t i = 0; i < head[1]; i++) inputs[i] = sizes[i] ? read_all(file, sizes[i]) : NULL;
    for (int64_t i = 0; i < head[2]; i++) outputs[i] = calloc((size_t)sizes[head[1] + i] + 1, 1);

    char message[256];
    struct sdllm_options options = {.isa = argv[2], .stats = 1};
    struct sdllm *m = sdllm_open(argv[1], &options, message, sizeof message);
    if (!m) return fprintf(stderr, "%s\n", message), 2;
    if (strcmp(sdllm_isa(m), argv[2]) != 0 || sdllm_trace(m, seen, NULL)) return 2;
    if (sdllm_run(m, head[0], ids, NULL, inputs, outputs)) return fprintf(stderr, "%s\n", sdllm_error(m)), 2;
    for (int64_t i = 0; i < head[2]; i++) fwrite(outputs[i], 1, (size_t)sizes[head[1] + i], stdout);
    struct sdllm_count c;
    for (ptrdiff_t i = 0; !sdllm_stats(m, i, &c); i++) {
        printf("%s %llu %llu\n", c.op, (unsigned long long)c.spikes, (unsigned long long)c.additions);
    }
    sdllm_close(m);
    return 0;
}
