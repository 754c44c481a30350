/* tokenizer.bin: a header, then arrays one behind the other. All numbers little-endian, 32 bits but where it is said.
 *
 *   0  "SDLLM-T\n"   8  version   12  1 if a piece that is a word is taken whole
 *  16  bytes of the file, 64 bits   24  checksum of all but this, 64 bits
 *  32  lengths, in the order of enum sd_array
 * 100  0, then the arrays in that order
 */
#ifndef SDLLM_TOKENIZER_FILE_H
#define SDLLM_TOKENIZER_FILE_H

#include <stdbool.h>

#include "tokenizer.h"

enum { SD_TOKENIZER_VERSION = 1, SD_TOKENIZER_HEADER = 104 };

enum sd_array {
    SD_PAIRS,     /* 64 bits: two ids that merge, left << 32 | right; sorted */
    SD_MERGED,    /* of each: rank, id of what they become */
    SD_TEXTS,     /* where the text of each id begins in SD_BYTES, and where the last ends */
    SD_WORDS,     /* ids of the vocabulary, sorted by their texts */
    SD_LETTERS,   /* 256: the id of each byte, or SD_NONE */
    SD_CLASSES,   /* first character of a run of one class << 4 | class; sorted, from 0 */
    SD_ADDED,     /* tokens found in text before it is split: id, enum sd_added, place in SD_BYTES, length */
    SD_SPLITTERS, /* how text is split: enum sd_splitter, number */
    SD_BEFORE,    /* ids that a text begins with */
    SD_AFTER,     /* ids that it ends with */
    SD_STOPS,     /* ids that end what the model writes */
    SD_CHAT,      /* what stands before and after a user's words: places and lengths in SD_BYTES; empty: no chat */
    SD_MARKS,     /* empty, or text is put into composed form first; a run of marks of one order: first << 8 | order */
    SD_APART,     /* sorted: a character that is taken apart, place and number of its parts in SD_PARTS */
    SD_PARTS,     /* characters */
    SD_TOGETHER,  /* sorted: two characters that compose, and to what */
    SD_BYTES,     /* bytes: texts */
    SD_ARRAYS
};

enum sd_added { SD_MARK = 1, SD_LATE = 2 }; /* is no text; is looked for where no other was found */
enum sd_splitter { SD_DIGITS = 1, SD_WORDLIKE, SD_RUNS };
enum sd_class { SD_LETTER = 1, SD_NUMBER = 2, SD_SPACE = 4, SD_DIGIT = 8 };

#define SD_NONE UINT32_MAX

struct sdllm_tokenizer {
    unsigned char *file;
    bool whole;
    const uint32_t *array[SD_ARRAYS];
    uint32_t length[SD_ARRAYS]; /* in items of a row */
    uint32_t first[257];        /* where added tokens of each first byte begin */
};

/* Ids as they are made. */
struct sd_ids {
    int64_t *id;
    size_t n, room;
};
bool sd_add(struct sd_ids *ids, uint32_t id);

/* The character at p, of n bytes that are some, and its length; SD_NONE, of 1 byte, for what is no UTF-8. */
uint32_t sd_character(const unsigned char *p, size_t n, size_t *length);

/* Whether text needs no composing; and its composed form, in memory that the caller frees, or NULL. */
bool sd_composed(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n);
unsigned char *sd_compose(const struct sdllm_tokenizer *t, const unsigned char *p, size_t *n);

/* How many bytes of n, which are some, are the first piece by a splitter. */
size_t sd_piece(const struct sdllm_tokenizer *t, uint32_t splitter, uint32_t number, const unsigned char *p, size_t n);

/* Merge the bytes of one piece and add their ids. False if memory is short. */
bool sd_merge(const struct sdllm_tokenizer *t, const unsigned char *p, size_t n, struct sd_ids *ids);

#endif
