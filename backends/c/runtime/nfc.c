/* Unicode's composed form (NFC), by the tables of the tokenizer's file: characters taken apart, marks put in order,
 * and what composes put together again.
 */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_file.h"

/* Hangul syllables are made of up to three parts by arithmetic. */
enum { SYLLABLES = 0xac00, LEADS = 0x1100, VOWELS = 0x1161, TAILS = 0x11a7, N_LEADS = 19, N_VOWELS = 21, N_TAILS = 28 };

/* Stands for a byte that is of no character. */
#define SD_BYTE 0x80000000u

struct points {
    uint32_t *p;
    size_t n, room;
};

static bool put(struct points *to, uint32_t c) {
    if (to->n == to->room) {
        const size_t room = 2 * to->room + 64;
        uint32_t *more = realloc(to->p, room * sizeof *more);
        if (!more) return false;
        to->p = more;
        to->room = room;
    }
    to->p[to->n++] = c;
    return true;
}

/* The row of three that begins with these numbers, one or two, or NULL. */
static const uint32_t *row(const struct sdllm_tokenizer *t, enum sd_array which, uint32_t first, uint32_t second,
                           bool two) {
    uint32_t low = 0, high = t->length[which];
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2, *found = t->array[which] + 3 * (size_t)middle;
        if (found[0] == first && (!two || found[1] == second)) return found;
        if (found[0] < first || (found[0] == first && found[1] < second)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* The order of a mark among marks; 0: it is none, and marks stay on their side of it. */
static unsigned order(const struct sdllm_tokenizer *t, uint32_t c) {
    const uint32_t *runs = t->array[SD_MARKS];
    uint32_t low = 0, high = t->length[SD_MARKS];
    if (c < 0x300 || c & SD_BYTE) return 0;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        *(runs[middle] >> 8 <= c ? &low : &high) = middle;
    }
    return runs[low] & 255;
}

/* Put a mark before those of higher order that stand at the end. */
static bool put_mark(const struct sdllm_tokenizer *t, struct points *to, uint32_t c) {
    const unsigned mine = order(t, c);
    if (!put(to, c)) return false;
    size_t at = to->n - 1;
    for (; mine && at > 0 && order(t, to->p[at - 1]) > mine; at--) to->p[at] = to->p[at - 1];
    to->p[at] = c;
    return true;
}

static bool take_apart(const struct sdllm_tokenizer *t, struct points *to, uint32_t c) {
    if (c < 0xc0 || c & SD_BYTE) return put(to, c);
    if (c >= SYLLABLES && c < SYLLABLES + N_LEADS * N_VOWELS * N_TAILS) {
        const uint32_t i = c - SYLLABLES, tail = i % N_TAILS;
        return put(to, LEADS + i / (N_VOWELS * N_TAILS)) && put(to, VOWELS + i / N_TAILS % N_VOWELS) &&
               (!tail || put(to, TAILS + tail));
    }
    const uint32_t *parts = row(t, SD_APART, c, 0, false);
    if (!parts) return put_mark(t, to, c);
    bool fits = true;
    for (uint32_t i = 0; fits && i < parts[2]; i++) fits = put_mark(t, to, t->array[SD_PARTS][parts[1] + i]);
    return fits;
}

/* What two characters compose to, or SD_NONE. */
static uint32_t together(const struct sdllm_tokenizer *t, uint32_t a, uint32_t b) {
    if (a >= LEADS && a < LEADS + N_LEADS && b >= VOWELS && b < VOWELS + N_VOWELS) {
        return SYLLABLES + ((a - LEADS) * N_VOWELS + (b - VOWELS)) * N_TAILS;
    }
    const bool open = a >= SYLLABLES && a < SYLLABLES + N_LEADS * N_VOWELS * N_TAILS && (a - SYLLABLES) % N_TAILS == 0;
    if (open && b > TAILS && b < TAILS + N_TAILS) return a + (b - TAILS);
    const uint32_t *made = row(t, SD_TOGETHER, a, b, true);
    return made ? made[2] : SD_NONE;
}

/* Compose in place: each character with the last that is no mark, unless a mark of its order or a higher one, or
 * another character, stands between. */
static void compose(const struct sdllm_tokenizer *t, struct points *s) {
    size_t n = 0, base = SIZE_MAX;
    int last = -1;
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t c = s->p[i];
        const int mine = (int)order(t, c);
        const uint32_t made = base != SIZE_MAX && last < mine ? together(t, s->p[base], c) : SD_NONE;
        if (made != SD_NONE) {
            s->p[base] = made;
            continue;
        }
        if (mine == 0) base = n;
        last = mine ? mine : -1;
        s->p[n++] = c;
    }
    s->n = n;
}

static size_t encode(unsigned char *to, uint32_t c) {
    if (c & SD_BYTE || c < 0x80) {
        to[0] = (unsigned char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) to[i] = (unsigned char)(0x80 | (c & 0x3f));
    to[0] = (unsigned char)((0xf00u >> n) | c);
    return n;
}

bool sd_composed(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n) {
    for (size_t i = 0; t->length[SD_MARKS] && i < n; i++) {
        if (p[i] >= 0xcc) return false; /* a character from U+0300 on */
    }
    return true;
}

unsigned char *sd_compose(const struct sdllm_tokenizer *t, const unsigned char *p, size_t *n) {
    struct points s = {NULL, 0, 0};
    bool fits = true;
    for (size_t at = 0, length; fits && at < *n; at += length) {
        const uint32_t c = sd_character(p + at, *n - at, &length);
        fits = take_apart(t, &s, c == SD_NONE ? SD_BYTE | p[at] : c);
    }
    unsigned char *made = fits ? malloc(4 * s.n + 1) : NULL;
    if (made) {
        compose(t, &s);
        *n = 0;
        for (size_t i = 0; i < s.n; i++) *n += encode(made + *n, s.p[i]);
    }
    free(s.p);
    return made;
}
