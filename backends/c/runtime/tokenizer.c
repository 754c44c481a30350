#include "tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_file.h"
#include "weights.h"

/* Bytes of an item of each array. */
static const uint32_t widths[SD_ARRAYS] = {8, 8, 4, 4, 4, 4, 16, 8, 4, 4, 4, 8, 4, 12, 4, 12, 1};

/* Whether all of n numbers, every `stride`-th, are below a bound. */
static bool below(const uint32_t *p, uint32_t n, uint32_t stride, uint64_t bound) {
    for (uint32_t i = 0; i < n; i++) {
        if (p[(size_t)i * stride] >= bound) return false;
    }
    return true;
}

/* Whether pairs of place and length, every `stride`-th, lie within the bytes. */
static bool within(const struct sdllm_tokenizer *t, const uint32_t *p, uint32_t n, uint32_t stride) {
    for (uint32_t i = 0; i < n; i++, p += stride) {
        if ((uint64_t)p[0] + p[1] > t->length[SD_BYTES]) return false;
    }
    return true;
}

/* What is wrong with a file's size, version and checksum, or NULL; places its arrays. */
static const char *place(struct sdllm_tokenizer *t, uint64_t size) {
    uint32_t version;
    uint64_t stated, sum, at = SD_TOKENIZER_HEADER;
    if (size < SD_TOKENIZER_HEADER || memcmp(t->file, "SDLLM-T\n", 8) != 0) return "is no tokenizer file of sdllm";
    memcpy(&version, t->file + 8, 4);
    memcpy(&stated, t->file + 16, 8);
    memcpy(&sum, t->file + 24, 8);
    if (version != SD_TOKENIZER_VERSION) return "is of another version: emit the model again";
    if (stated != size) return "is cut short, or longer than it says";
    memset(t->file + 24, 0, 8);
    if (sd_checksum(t->file, size) != sum) return "is damaged: its checksum differs";
    memcpy(t->length, t->file + 32, sizeof t->length);
    for (int i = 0; i < SD_ARRAYS; i++) {
        t->array[i] = (const void *)(t->file + at);
        at += (uint64_t)t->length[i] * widths[i];
    }
    t->whole = t->file[12] == 1;
    return at == size ? NULL : "is longer than its arrays";
}

/* Whether numbers in the file stay within what they number, and what is searched is in order. */
static bool sound(const struct sdllm_tokenizer *t) {
    const uint32_t *const *a = t->array, *n = t->length;
    if (n[SD_MERGED] != n[SD_PAIRS] || n[SD_TEXTS] < 1 || n[SD_LETTERS] != 256 || n[SD_CLASSES] < 1) return false;
    const uint32_t tokens = n[SD_TEXTS] - 1;
    const bool ids = below(a[SD_MERGED] + 1, n[SD_MERGED], 2, tokens) && below(a[SD_WORDS], n[SD_WORDS], 1, tokens) &&
                     below(a[SD_ADDED], n[SD_ADDED], 4, tokens) && below(a[SD_BEFORE], n[SD_BEFORE], 1, tokens) &&
                     below(a[SD_AFTER], n[SD_AFTER], 1, tokens);
    if (!ids || a[SD_CLASSES][0] >> 4 || n[SD_SPLITTERS] > 8 || (n[SD_CHAT] != 0 && n[SD_CHAT] != 2)) return false;
    for (int i = 0; i < 256; i++) {
        if (a[SD_LETTERS][i] >= tokens && a[SD_LETTERS][i] != SD_NONE) return false;
    }
    for (uint32_t i = 0; i < tokens; i++) {
        if (a[SD_TEXTS][i] > a[SD_TEXTS][i + 1]) return false;
    }
    for (uint32_t i = 0; i < n[SD_ADDED]; i++) {
        if (a[SD_ADDED][4 * i + 3] == 0) return false;
    }
    for (uint32_t i = 0; i < n[SD_APART]; i++) {
        if ((uint64_t)a[SD_APART][3 * i + 1] + a[SD_APART][3 * i + 2] > n[SD_PARTS]) return false;
    }
    return a[SD_TEXTS][tokens] <= n[SD_BYTES] && within(t, a[SD_ADDED] + 2, n[SD_ADDED], 4) &&
           within(t, a[SD_CHAT], n[SD_CHAT], 2);
}

static const unsigned char *bytes(const struct sdllm_tokenizer *t, uint32_t at) {
    return (const unsigned char *)t->array[SD_BYTES] + at;
}

/* Added tokens stand sorted by first byte: where each begins. Whether they do. */
static bool index_added(struct sdllm_tokenizer *t) {
    uint32_t at = 0;
    for (unsigned first = 0; first < 256; first++) {
        t->first[first] = at;
        while (at < t->length[SD_ADDED] && *bytes(t, t->array[SD_ADDED][4 * at + 2]) == first) at++;
    }
    t->first[256] = at;
    return at == t->length[SD_ADDED];
}

/* All of a file, with its size, or NULL. */
static unsigned char *contents(const char *path, uint64_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *made = NULL;
    long length = -1;
    if (file && !fseek(file, 0, SEEK_END)) length = ftell(file);
    if (length >= 0 && !fseek(file, 0, SEEK_SET)) made = malloc((size_t)length + 1);
    if (made && fread(made, 1, (size_t)length, file) != (size_t)length) {
        free(made);
        made = NULL;
    }
    if (file) fclose(file);
    *size = (uint64_t)length;
    return made;
}

struct sdllm_tokenizer *sdllm_tokenizer_open(const char *path, char *message, size_t size) {
    struct sdllm_tokenizer *t = calloc(1, sizeof *t);
    uint64_t length = 0;
    const char *why = "out of memory";
    errno = 0;
    if (t && !(t->file = contents(path, &length))) why = errno ? strerror(errno) : "cannot be read";
    if (t && t->file) {
        why = place(t, length);
        if (!why && !(sound(t) && index_added(t))) why = "holds numbers that cannot be";
    }
    if (!why) return t;
    if (message && size) snprintf(message, size, "%.120s: %s", path, why);
    sdllm_tokenizer_close(t);
    return NULL;
}

void sdllm_tokenizer_close(struct sdllm_tokenizer *t) {
    if (t) free(t->file);
    free(t);
}

/* ---- ids to text ---- */

const char *sdllm_token(const struct sdllm_tokenizer *t, int64_t id, size_t *n) {
    *n = 0;
    if (id < 0 || id >= (int64_t)t->length[SD_TEXTS] - 1) return "";
    const uint32_t *texts = t->array[SD_TEXTS] + id;
    *n = texts[1] - texts[0];
    return (const char *)bytes(t, texts[0]);
}

int sdllm_special(const struct sdllm_tokenizer *t, int64_t id) {
    for (uint32_t i = 0; i < t->length[SD_ADDED]; i++) {
        const uint32_t *added = t->array[SD_ADDED] + 4 * i;
        if (added[0] == id) return (added[1] & SD_MARK) != 0;
    }
    return 0;
}

int sdllm_stops(const struct sdllm_tokenizer *t, int64_t id) {
    for (uint32_t i = 0; i < t->length[SD_STOPS]; i++) {
        if (t->array[SD_STOPS][i] == id) return 1;
    }
    return 0;
}

size_t sdllm_whole(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char c = p[n - back];
        if (c < 0x80) return n;
        if (c >= 0xc0) return back < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) ? n - back : n;
    }
    return n;
}

/* ---- text to ids ---- */

bool sd_add(struct sd_ids *ids, uint32_t id) {
    if (ids->n == ids->room) {
        const size_t room = 2 * ids->room + 64;
        int64_t *more = realloc(ids->id, room * sizeof *more);
        if (!more) return false;
        ids->id = more;
        ids->room = room;
    }
    ids->id[ids->n++] = id;
    return true;
}

static bool add_all(const struct sdllm_tokenizer *t, enum sd_array which, struct sd_ids *ids) {
    bool fits = true;
    for (uint32_t i = 0; i < t->length[which]; i++) fits = fits && sd_add(ids, t->array[which][i]);
    return fits;
}

/* The added token that text begins with, the longest one, or NULL. */
static const uint32_t *begins(const struct sdllm_tokenizer *t, uint32_t late, const unsigned char *p, size_t n) {
    for (uint32_t i = t->first[p[0]]; i < t->first[p[0] + 1]; i++) {
        const uint32_t *added = t->array[SD_ADDED] + 4 * (size_t)i;
        if ((added[1] & SD_LATE) == late && added[3] <= n && !memcmp(bytes(t, added[2]), p, added[3])) return added;
    }
    return NULL;
}

static bool encode(const struct sdllm_tokenizer *t, uint32_t stage, const unsigned char *p, size_t n,
                   struct sd_ids *ids);

/* Go on with text in its composed form. */
static bool encode_composed(const struct sdllm_tokenizer *t, uint32_t stage, const unsigned char *p, size_t n,
                            struct sd_ids *ids) {
    if (sd_composed(t, p, n)) return encode(t, stage, p, n, ids);
    unsigned char *made = sd_compose(t, p, &n);
    const bool fits = made && encode(t, stage, made, n, ids);
    free(made);
    return fits;
}

/* Ids of text: first added tokens are found, then, between them and composed, those that are looked for late, then what
 * is left is split by each splitter in turn, then merged. */
static bool encode(const struct sdllm_tokenizer *t, uint32_t stage, const unsigned char *p, size_t n,
                   struct sd_ids *ids) {
    if (n == 0) return true;
    if (stage >= 2 + t->length[SD_SPLITTERS]) return sd_merge(t, p, n, ids);
    if (stage >= 2) {
        const uint32_t *splitter = t->array[SD_SPLITTERS] + 2 * (stage - 2);
        for (size_t at = 0, some; at < n; at += some) {
            some = sd_piece(t, splitter[0], splitter[1], p + at, n - at);
            if (!encode(t, stage + 1, p + at, some, ids)) return false;
        }
        return true;
    }
    bool (*const next)(const struct sdllm_tokenizer *, uint32_t, const unsigned char *, size_t, struct sd_ids *) =
        stage ? encode : encode_composed;
    size_t done = 0;
    for (size_t at = 0; at < n;) {
        const uint32_t *added = begins(t, stage ? SD_LATE : 0, p + at, n - at);
        if (!added) {
            at++;
            continue;
        }
        if (!next(t, stage + 1, p + done, at - done, ids) || !sd_add(ids, added[0])) return false;
        at += added[3];
        done = at;
    }
    return next(t, stage + 1, p + done, n - done, ids);
}

int sdllm_chats(const struct sdllm_tokenizer *t) { return t->length[SD_CHAT] != 0; }

/* The text between what stands before and after a user's words. */
static char *framed(const struct sdllm_tokenizer *t, const char *text, size_t *n) {
    const uint32_t *chat = t->array[SD_CHAT];
    char *made = malloc((size_t)chat[1] + *n + chat[3] + 1);
    if (!made) return NULL;
    memcpy(made, bytes(t, chat[0]), chat[1]);
    memcpy(made + chat[1], text, *n);
    memcpy(made + chat[1] + *n, bytes(t, chat[2]), chat[3]);
    *n += (size_t)chat[1] + chat[3];
    return made;
}

int64_t *sdllm_encode(const struct sdllm_tokenizer *t, enum sdllm_frame frame, const char *text, size_t n,
                      ptrdiff_t *count) {
    struct sd_ids ids = {malloc(sizeof *ids.id), 0, 1};
    char *made = NULL;
    bool fits = ids.id != NULL;
    if (frame == SDLLM_CHAT) {
        made = sdllm_chats(t) ? framed(t, text, &n) : NULL;
        fits = fits && made;
        text = made;
    }
    fits = fits && (frame != SDLLM_TEXT || add_all(t, SD_BEFORE, &ids));
    fits = fits && encode(t, 0, (const unsigned char *)text, n, &ids);
    fits = fits && (frame != SDLLM_TEXT || add_all(t, SD_AFTER, &ids));
    free(made);
    if (!fits) {
        free(ids.id);
        return NULL;
    }
    *count = (ptrdiff_t)ids.n;
    return ids.id;
}
