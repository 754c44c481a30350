/* Text to the pieces that are merged by themselves, as tokenizers' patterns have it (they stand above each function). */
#include "tokenizer_file.h"

uint32_t sd_character(const unsigned char *p, size_t n, size_t *length) {
    const size_t wanted = p[0] < 0x80 ? 1 : p[0] >= 0xf0 && p[0] < 0xf8 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *length = 1;
    if (wanted == 1) return p[0];
    if (p[0] < 0xc0 || p[0] >= 0xf8 || n < wanted) return SD_NONE;
    uint32_t made = p[0] & (0x7fu >> wanted);
    for (size_t i = 1; i < wanted; i++) {
        if ((p[i] & 0xc0) != 0x80) return SD_NONE;
        made = made << 6 | (p[i] & 0x3f);
    }
    if (made < (wanted == 2 ? 0x80u : wanted == 3 ? 0x800u : 0x10000u)) return SD_NONE;
    *length = wanted;
    return made;
}

static unsigned class_of(const struct sdllm_tokenizer *t, uint32_t c) {
    const uint32_t *runs = t->array[SD_CLASSES];
    uint32_t low = 0, high = t->length[SD_CLASSES];
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        *(runs[middle] >> 4 <= c ? &low : &high) = middle;
    }
    return c == SD_NONE ? 0 : runs[low] & 15;
}

static unsigned class_at(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n, size_t at) {
    size_t length;
    return class_of(t, sd_character(p + at, n - at, &length));
}

/* Where characters from `at` on stop having this class among those of `mask`; `most` of them at most, 0: any. */
static size_t run(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n, size_t at, unsigned mask,
                  unsigned class, uint32_t most) {
    for (uint32_t i = 0; at < n && (!most || i < most); i++) {
        size_t length;
        if ((class_of(t, sd_character(p + at, n - at, &length)) & mask) != class) break;
        at += length;
    }
    return at;
}

enum { SD_KINDS_OF_TEXT = SD_LETTER | SD_NUMBER | SD_SPACE };

/* 's|'t|'re|'ve|'m|'ll|'d, in capitals too if they count; 0 if there is none. */
static size_t contraction(const unsigned char *p, size_t n, bool capitals) {
    static const char endings[][3] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (p[0] != '\'') return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t same = 0;
        while (endings[i][same] && same + 1 < n) {
            const unsigned char c = p[same + 1], small = capitals && c >= 'A' && c <= 'Z' ? c + 32 : c;
            if (small != (unsigned char)endings[i][same]) break;
            same++;
        }
        if (!endings[i][same]) return same + 1;
    }
    return capitals && n > 2 && p[1] == 0xc5 && p[2] == 0xbf ? 3 : 0; /* U+017F is a small s too */
}

/* \s+(?!\S)|\s+ */
static size_t spaces(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n) {
    const size_t end = run(t, p, n, 0, SD_SPACE, SD_SPACE, 0);
    size_t last = end ? end - 1 : 0;
    while (last > 0 && (p[last] & 0xc0) == 0x80) last--;
    return end == 0 ? 1 : end == n || last == 0 ? end : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t wordlike(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n) {
    const size_t short_form = contraction(p, n, false), at = p[0] == ' ' && n > 1;
    if (short_form) return short_form;
    const unsigned class = class_at(t, p, n, at) & SD_KINDS_OF_TEXT;
    return class & SD_SPACE ? spaces(t, p, n) : run(t, p, n, at, SD_KINDS_OF_TEXT, class, 0);
}

static bool breaks(unsigned char c) { return c == '\r' || c == '\n'; }

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 * \s+(?!\S)|\s+ */
static size_t runs(const struct sdllm_tokenizer *t, uint32_t most, const unsigned char *p, size_t n) {
    const size_t short_form = contraction(p, n, true);
    if (short_form) return short_form;
    size_t one;
    const unsigned class = class_of(t, sd_character(p, n, &one));
    if (class & SD_LETTER) return run(t, p, n, 0, SD_LETTER, SD_LETTER, 0);
    if (class & SD_NUMBER) return run(t, p, n, 0, SD_NUMBER, SD_NUMBER, most);
    if (!breaks(p[0]) && one < n && class_at(t, p, n, one) & SD_LETTER) {
        return run(t, p, n, one, SD_LETTER, SD_LETTER, 0);
    }
    const size_t at = p[0] == ' ' && n > 1;
    size_t end = run(t, p, n, at, SD_KINDS_OF_TEXT, 0, 0);
    if (end > at) {
        while (end < n && breaks(p[end])) end++;
        return end;
    }
    for (end = run(t, p, n, 0, SD_SPACE, SD_SPACE, 0); end > 0; end--) {
        if (breaks(p[end - 1])) return end;
    }
    return spaces(t, p, n);
}

/* A digit by itself, or digits together, as `apart` has it; or all there is before one. */
static size_t digits(const struct sdllm_tokenizer *t, bool apart, const unsigned char *p, size_t n) {
    const unsigned class = class_at(t, p, n, 0) & SD_DIGIT;
    return run(t, p, n, 0, SD_DIGIT, class, class && apart);
}

size_t sd_piece(const struct sdllm_tokenizer *t, uint32_t splitter, uint32_t number, const unsigned char *p, size_t n) {
    switch (splitter) {
    case SD_DIGITS: return digits(t, number != 0, p, n);
    case SD_WORDLIKE: return wordlike(t, p, n);
    case SD_RUNS: return runs(t, number, p, n);
    default: return n;
    }
}
