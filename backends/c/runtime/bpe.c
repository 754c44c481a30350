/* Byte pairs merged, the earliest learnt first, and of those the leftmost. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_file.h"

/* A part of the piece, in a chain; gone where its id is SD_NONE. */
struct part {
    uint32_t id;
    ptrdiff_t before, after; /* -1: none */
};

/* Two parts that might merge, the right one after the part `at`. */
struct pair {
    uint32_t rank, id;
    ptrdiff_t at;
};

/* Pairs, the next one first: those of item i stand at 2i + 1 and 2i + 2, and come later. */
struct queue {
    struct pair *pair;
    size_t n;
};

static bool sooner(const struct pair *a, const struct pair *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct queue *q, struct pair one) {
    size_t i = q->n++;
    for (; i > 0 && sooner(&one, q->pair + (i - 1) / 2); i = (i - 1) / 2) q->pair[i] = q->pair[(i - 1) / 2];
    q->pair[i] = one;
}

static struct pair pop(struct queue *q) {
    const struct pair first = q->pair[0], last = q->pair[--q->n];
    size_t i = 0;
    for (size_t next = 1; next < q->n; next = 2 * i + 1) {
        if (next + 1 < q->n && sooner(q->pair + next + 1, q->pair + next)) next++;
        if (!sooner(q->pair + next, &last)) break;
        q->pair[i] = q->pair[next];
        i = next;
    }
    q->pair[i] = last;
    return first;
}

/* Rank and id of what two ids become, or NULL. */
static const uint32_t *merged(const struct sdllm_tokenizer *t, uint32_t left, uint32_t right) {
    const uint64_t wanted = (uint64_t)left << 32 | right, *pairs = (const void *)t->array[SD_PAIRS];
    uint32_t low = 0, high = t->length[SD_PAIRS];
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (pairs[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->length[SD_PAIRS] && pairs[low] == wanted ? t->array[SD_MERGED] + 2 * low : NULL;
}

/* Put the pair of the part `at` and the one after it into the queue, if they merge. */
static void offer(const struct sdllm_tokenizer *t, struct queue *q, const struct part *parts, ptrdiff_t at) {
    if (at < 0 || parts[at].after < 0) return;
    const uint32_t *made = merged(t, parts[at].id, parts[parts[at].after].id);
    if (made) push(q, (struct pair){made[0], made[1], at});
}

static void join(const struct sdllm_tokenizer *t, struct queue *q, struct part *parts) {
    while (q->n) {
        const struct pair one = pop(q);
        struct part *left = parts + one.at;
        if (left->id == SD_NONE || left->after < 0) continue;
        struct part *right = parts + left->after;
        const uint32_t *made = merged(t, left->id, right->id);
        if (!made || made[1] != one.id) continue; /* one of the two has merged otherwise meanwhile */
        left->id = one.id;
        left->after = right->after;
        right->id = SD_NONE;
        if (left->after >= 0) parts[left->after].before = one.at;
        offer(t, q, parts, left->before);
        offer(t, q, parts, one.at);
    }
}

/* The id whose text the piece is, or SD_NONE. */
static uint32_t word(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n) {
    uint32_t low = 0, high = t->length[SD_WORDS];
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2, id = t->array[SD_WORDS][middle];
        size_t length;
        const char *text = sdllm_token(t, id, &length);
        const int order = memcmp(text, p, length < n ? length : n);
        if (order == 0 && length == n) return id;
        if (order < 0 || (order == 0 && length < n)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return SD_NONE;
}

bool sd_merge(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n, struct sd_ids *ids) {
    const uint32_t known = t->whole ? word(t, p, n) : SD_NONE;
    if (known != SD_NONE) return sd_add(ids, known);
    struct part *parts = malloc((n + 1) * sizeof *parts);
    struct queue q = {malloc((3 * n + 1) * sizeof *q.pair), 0}; /* a merge takes a pair out and puts at most two in */
    bool fits = parts && q.pair;
    ptrdiff_t last = -1;
    for (size_t i = 0; fits && i < n; i++) {
        if (t->array[SD_LETTERS][p[i]] == SD_NONE) continue; /* a byte that the vocabulary lacks is left out */
        last++;
        parts[last] = (struct part){t->array[SD_LETTERS][p[i]], last - 1, -1};
        if (last) parts[last - 1].after = last;
    }
    for (ptrdiff_t i = 0; fits && i < last; i++) offer(t, &q, parts, i);
    if (fits) join(t, &q, parts);
    for (ptrdiff_t i = last < 0 ? -1 : 0; fits && i >= 0; i = parts[i].after) fits = sd_add(ids, parts[i].id);
    free(parts);
    free(q.pair);
    return fits;
}
