/* Vectors of 16 numbers, by the vector types of gcc and clang: the compiler cuts them to what the instruction set has.
 * They live in local variables and behind pointers only, never in arguments, so that all tables agree on calls.
 */
#ifndef SDLLM_OPS_VECTOR_H
#define SDLLM_OPS_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SD_VECTOR(type, bytes) __attribute__((vector_size(bytes))) type
#define SD_LOOSE(type, bytes) __attribute__((vector_size(bytes), aligned(sizeof(type)), may_alias)) type

typedef SD_VECTOR(float, 64) v16f;
typedef SD_VECTOR(int32_t, 64) v16i;
typedef SD_VECTOR(uint32_t, 64) v16u;
typedef SD_LOOSE(float, 64) v16f_at;
typedef SD_LOOSE(int32_t, 64) v16i_at;
typedef SD_LOOSE(uint32_t, 64) v16u_at;
typedef SD_LOOSE(int16_t, 32) v16h_at;
typedef SD_LOOSE(uint16_t, 32) v16w_at;
typedef SD_LOOSE(int8_t, 16) v16b_at;
typedef SD_LOOSE(uint8_t, 16) v16c_at;

#define SD_AT(type, p) (*(const type *)(const void *)(p))
#define SD_TO(type, p) (*(type *)(void *)(p))
#define SD_PICK(mask, a, b) ((v16f)(((v16i)(a) & (mask)) | ((v16i)(b) & ~(mask))))
#define SD_ABS(x) ((v16f)((v16i)(x) & 0x7fffffff))

/* Added and taken away again, it rounds to whole numbers, ties to even, below 2^22. */
#define SD_ROUNDER 12582912.0f

#define SD_JOIN_(a, b) a##_##b
#define SD_JOIN(a, b) SD_JOIN_(a, b)
#define SD(name) SD_JOIN(name, SD_ISA)

/* Before a loop that should stay one: unrolled, compilers load all of it first and run out of registers. */
#if defined(__clang__)
#define SD_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define SD_ROLLED _Pragma("GCC unroll 1")
#endif

/* Ask for a line that will be read soon, into the second-level cache. */
#define SD_AHEAD(p) __builtin_prefetch((p), 0, 2)

#endif
