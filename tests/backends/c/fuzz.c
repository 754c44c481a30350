/* Opens a model on damaged copies of its weights file: fuzz FILE COPY TIMES SEED. Each must be refused; 0 if so. With
 * TOKENIZER, a tokenizer: copies whose checksum is put right may be opened, and are then used.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdllm.h"

#ifdef TOKENIZER
#include "tokenizer.h"
#include "weights.h"
#define OPENED struct sdllm_tokenizer
#define OPEN(path) sdllm_tokenizer_open(path, message, sizeof message)
#define CLOSE sdllm_tokenizer_close
#else
#define OPENED struct sdllm
#define OPEN(path) sdllm_open(path, NULL, message, sizeof message)
#define CLOSE sdllm_close
#endif

static uint64_t state;

static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Change some of n bytes and give how many the file shall have. */
static size_t damage(unsigned char *bytes, size_t n) {
    const size_t reach = draw(3) ? n : 256; /* the head more often than chance has it */
    const size_t at = (size_t)draw(reach < n ? reach : n);
    switch (draw(6)) {
    case 0:
        return (size_t)draw(n);
    case 1:
        return n + 1 + (size_t)draw(200);
    case 2:
        for (size_t i = at; i < n && i < at + 64; i++) bytes[i] ^= (unsigned char)(1 + draw(255));
        return n;
    case 3: { /* a number of the head made large or negative */
        const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, (uint64_t)1 << 32, n, n - 1};
        const size_t place = 8 * (size_t)draw(30);
        const uint64_t value = odd[draw(7)];
        if (memcmp(bytes + place, &value, 8) == 0) bytes[place] ^= 1;
        else memcpy(bytes + place, &value, 8);
        return n;
    }
    default:
        bytes[at] ^= (unsigned char)(1 << draw(8));
        return n;
    }
}

#ifdef TOKENIZER
/* Put size and checksum of a damaged file right. */
static void mend(unsigned char *bytes, size_t n) {
    const uint64_t size = n;
    memcpy(bytes + 16, &size, 8);
    memset(bytes + 24, 0, 8);
    const uint64_t sum = sd_checksum(bytes, n);
    memcpy(bytes + 24, &sum, 8);
}

/* Take a tokenizer that opens through all its functions. */
static void use(struct sdllm_tokenizer *t) {
    static const char text[] = "It's 1234 o'clock, \r\n\n <tool> call we'll   say <s> \xe6\xbc\xa2\xe5\xad\x97 \xff\xf0";
    size_t length;
    ptrdiff_t n;
    for (int frame = SDLLM_PLAIN; frame <= SDLLM_CHAT; frame++) {
        int64_t *ids = sdllm_encode(t, (enum sdllm_frame)frame, text, sizeof text - 1, &n);
        for (ptrdiff_t i = 0; ids && i < n; i++) {
            const char *bytes = sdllm_token(t, ids[i], &length);
            for (size_t j = 0; j < length; j++) state += (unsigned char)bytes[j];
            state += (uint64_t)(sdllm_special(t, ids[i]) + sdllm_stops(t, ids[i]));
        }
        free(ids);
    }
}
#endif

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END)) return 2;
    const size_t n = (size_t)ftell(file);
    unsigned char *whole = malloc(n), *copy = calloc(n + 256, 1);
    rewind(file);
    if (!whole || !copy || fread(whole, 1, n, file) != n) return 2;
    fclose(file);
    state = 88172645463325252u + strtoull(argv[4], NULL, 10);
    char message[256];
    OPENED *m = OPEN(argv[1]);
    if (!m) return 2;
    CLOSE(m);
    for (long i = atol(argv[3]); i > 0; i--) {
        memset(copy, 0, n + 256);
        memcpy(copy, whole, n);
        const size_t size = damage(copy, n);
        bool mended = false;
#ifdef TOKENIZER
        mended = size >= 88 && draw(4);
        if (mended) mend(copy, size);
#endif
        file = fopen(argv[2], "wb");
        if (!file || fwrite(copy, 1, size, file) != size || fclose(file)) return 2;
        m = OPEN(argv[2]);
#ifdef TOKENIZER
        if (m && mended) use(m);
#endif
        if (m && mended) CLOSE(m);
        if (m && !mended) {
            fprintf(stderr, "a damaged file of %zu bytes was taken, %ld to go\n", size, i);
            return 1;
        }
    }
    free(whole);
    free(copy);
    return 0;
}
