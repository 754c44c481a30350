/* The kernels of every instruction set this processor family has, and the choice between them. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

#include "ops_vector.h"

#if defined(__x86_64__) && !defined(SD_ONLY_PORTABLE)
#define SD_X86
#include <immintrin.h>
#elif defined(__aarch64__) && !defined(SD_ONLY_PORTABLE)
#define SD_NEON
#include <arm_neon.h>
#endif

#include "kernels_portable.h"
#ifdef SD_X86
#include "kernels_avx2.h"
#include "kernels_avx512.h"
#define SD_VNNI
#include "kernels_avx512.h"
#endif
#ifdef SD_NEON
#include "kernels_neon.h"
#endif

static bool sd_has(const char *name) {
#ifdef SD_X86
    __builtin_cpu_init();
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (!strcmp(name, "avx2")) return __builtin_cpu_supports("avx2");
    if (!strcmp(name, "avx512")) return wide;
    if (!strcmp(name, "avx512vnni")) return wide && __builtin_cpu_supports("avx512vnni");
#endif
    return !strcmp(name, "portable") || !strcmp(name, "neon");
}

const struct sd_kernels *sd_choose(const char *name) {
    static const struct sd_kernels *const tables[] = {
#ifdef SD_X86
        &table_avx512vnni, &table_avx512, &table_avx2,
#endif
#ifdef SD_NEON
        &table_neon,
#endif
        &table_portable,
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (name && *name && strcmp(name, tables[i]->name) != 0) continue;
        if (sd_has(tables[i]->name)) return tables[i];
    }
    return NULL;
}
