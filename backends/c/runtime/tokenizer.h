/* Text to token ids and back, by a byte-level BPE tokenizer in a file of its own (tokenizer.bin, beside weights.bin).
 *
 * A tokenizer is read only once it is open: any number of threads may use one.
 */
#ifndef SDLLM_TOKENIZER_H
#define SDLLM_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sdllm_tokenizer;

enum sdllm_frame {
    SDLLM_PLAIN, /* the text alone */
    SDLLM_TEXT,  /* with the tokens that the model's texts begin and end with */
    SDLLM_CHAT   /* as a user's turn in a conversation, the answer to come next */
};

/* Open a tokenizer on its file, which is checked before it is used. NULL, and a message, if that fails. */
struct sdllm_tokenizer *sdllm_tokenizer_open(const char *path, char *message, size_t size);
void sdllm_tokenizer_close(struct sdllm_tokenizer *t);

/* Whether the model has a form of conversation. */
int sdllm_chats(const struct sdllm_tokenizer *t);

/* Token ids of n bytes of text, in memory that the caller frees; NULL if there is not enough, or no such frame. */
int64_t *sdllm_encode(const struct sdllm_tokenizer *t, enum sdllm_frame frame, const char *text, size_t n,
                      ptrdiff_t *count);

/* The n bytes that a token stands for, not ended by a 0; none for an id that is no token's. */
const char *sdllm_token(const struct sdllm_tokenizer *t, int64_t id, size_t *n);

/* Whether a token is a mark rather than text, and whether text ends with it. */
int sdllm_special(const struct sdllm_tokenizer *t, int64_t id);
int sdllm_stops(const struct sdllm_tokenizer *t, int64_t id);

/* How many of n bytes make whole UTF-8 characters: the rest, at most 3, may be the beginning of one. */
size_t sdllm_whole(const char *text, size_t n);

#ifdef __cplusplus
}
#endif
#endif
