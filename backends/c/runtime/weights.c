#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights.bin is little-endian, and is read where it is mapped"
#endif

enum { PIECE = 1 << 20 };

static uint64_t number(const unsigned char *p) {
    uint64_t n;
    memcpy(&n, p, 8);
    return n;
}

/* Each word, mixed with its place by one-to-one steps, summed: no change within one word is ever missed. The sum of
 * all pieces, which are of whole words but for the last, `before` bytes being before this one, and of the size. */
static uint64_t mixed(const unsigned char *p, uint64_t size, uint64_t before) {
    const uint64_t place = 0x9e3779b97f4a7c15u, mix = 0xd6e8feb86659fd93u, again = 0x94d049bb133111ebu;
    uint64_t total = 0;
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        if (at + 8 <= size) {
            word = number(p + at);
        } else {
            memcpy(&word, p + at, (size_t)(size - at));
        }
        word += ((before + at) / 8 + 1) * place;
        word = (word ^ (word >> 30)) * mix;
        word = (word ^ (word >> 27)) * again;
        total += word ^ (word >> 31);
    }
    return total;
}

uint64_t sd_checksum(const unsigned char *p, uint64_t size) { return size + mixed(p, size, 0); }

static int refuse(struct sdllm *m, const char *path, const char *why) {
    snprintf(m->error, sizeof m->error, "%.120s: %s", path, why);
    sd_weights_close(m);
    return 1;
}

/* Pieces of the mapped file that were read need not stay in memory; they are read again if they are wanted. */
static void forget(const unsigned char *file, uint64_t end) {
#if defined(__linux__) && defined(MADV_DONTNEED)
    if (end % PIECE == 0) madvise((void *)(uintptr_t)(file + end - PIECE), PIECE, MADV_DONTNEED);
#endif
    (void)file;
    (void)end;
}

/* What is wrong with a mapped file as far as its head tells, or NULL. Nothing is read that has not been found to be
 * within the file. */
static const char *wrong(const struct sd_program *p, const unsigned char *file, uint64_t size) {
    const uint64_t head = SD_HEADER + (uint64_t)SD_LINE * (uint64_t)p->n_sections;
    uint32_t version, sections;
    if (size < SD_HEADER || memcmp(file, "SDLLM-C\n", 8) != 0) return "is no weights file of sdllm";
    memcpy(&version, file + 8, 4);
    memcpy(&sections, file + 12, 4);
    if (version != SD_WEIGHTS_VERSION) return "is of another version: emit the model again";
    if (memcmp(file + 24, p->hash, 32) != 0 || sections != (uint32_t)p->n_sections) {
        return "holds the weights of another program";
    }
    if (number(file + 16) != size || size < head) return "is cut short, or longer than it says";
    unsigned char *copy = malloc(head);
    if (!copy) return "cannot be checked: out of memory";
    memcpy(copy, file, head);
    memset(copy + 56, 0, 8);
    const bool same = sd_checksum(copy, head) == number(file + 56);
    free(copy);
    if (!same) return "has a damaged head";
    uint64_t at = head;
    for (int i = 0; i < p->n_sections; i++) {
        const unsigned char *line = file + SD_HEADER + SD_LINE * i;
        at = (at + 63) / 64 * 64;
        if (number(line) != at || number(line + 8) != p->sections[i].size) return "is laid out otherwise than the model";
        if (at > size || p->sections[i].size > size - at) return "is cut short";
        for (uint64_t j = i ? number(line - SD_LINE) + number(line - SD_LINE + 8) : head; j < at; j++) {
            if (file[j]) return "is damaged: there is something between sections";
        }
        at += p->sections[i].size;
    }
    return at == size ? NULL : "is longer than its sections";
}

/* Room for the hot sections in large pages, which spare the processor most look-ups of addresses; or NULL. */
static unsigned char *large(struct sdllm *m) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const struct sd_program *p = m->program;
    size_t total = 0;
    for (int i = 0; i < p->n_sections; i++) {
        if (p->sections[i].hot) total += (p->sections[i].size + 63) / 64 * 64;
    }
    if (total < ((size_t)1 << 22)) return NULL;
    const size_t page = (size_t)1 << 21, size = (total + 2 * page) / page * page;
    unsigned char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return NULL;
    m->copied = room;
    m->copied_size = size;
    madvise(room, size, MADV_HUGEPAGE);
    return (unsigned char *)(((uintptr_t)room + page - 1) / page * page);
#endif
    (void)m;
    return NULL;
}

/* Check each section, piece by piece, and copy it if it is hot. What is wrong, or NULL. */
static const char *fetch(struct sdllm *m, const unsigned char *file) {
    const struct sd_program *p = m->program;
    unsigned char *to = large(m);
    for (int i = 0; i < p->n_sections; i++) {
        const unsigned char *line = file + SD_HEADER + SD_LINE * i;
        const uint64_t from = number(line), end = from + p->sections[i].size;
        const bool copy = to && p->sections[i].hot;
        uint64_t total = p->sections[i].size;
        m->w[i] = copy ? to : file + from;
        for (uint64_t at = from, next; at < end; at = next) {
            next = at / PIECE * PIECE + PIECE < end ? at / PIECE * PIECE + PIECE : end;
            const unsigned char *piece = (const unsigned char *)m->w[i] + (at - from);
            if (copy) memcpy(to + (at - from), file + at, (size_t)(next - at));
            total += mixed(piece, next - at, at - from);
            forget(file, next);
        }
        if (total != number(line + 16)) return "is damaged: a checksum differs";
        if (copy) to += (end - from + 63) / 64 * 64;
    }
    return NULL;
}

int sd_weights_open(struct sdllm *m, const char *path) {
    struct stat found;
    const int file = open(path, O_RDONLY);
    if (file < 0) return refuse(m, path, strerror(errno));
    if (fstat(file, &found) || !S_ISREG(found.st_mode) || found.st_size <= 0) {
        close(file);
        return refuse(m, path, "is no weights file of sdllm");
    }
    m->mapped_size = (size_t)found.st_size;
    m->mapped = mmap(NULL, m->mapped_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (m->mapped == MAP_FAILED) {
        m->mapped = NULL;
        return refuse(m, path, "cannot be mapped");
    }
    const char *why = wrong(m->program, m->mapped, m->mapped_size);
    if (why) return refuse(m, path, why);
    m->w = calloc((size_t)m->program->n_sections + 1, sizeof *m->w);
    if (!m->w) return refuse(m, path, "out of memory");
    why = fetch(m, m->mapped);
    return why ? refuse(m, path, why) : 0;
}

void sd_weights_close(struct sdllm *m) {
    if (m->mapped) munmap(m->mapped, m->mapped_size);
    if (m->copied) munmap(m->copied, m->copied_size);
    free((void *)m->w);
    m->mapped = m->copied = NULL;
    m->w = NULL;
}
