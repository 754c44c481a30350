/* The linear kernels of one instruction set, and its table. */
#include "ops_readout.h"
#include "ops_dense.h"
#include "ops_event.h"
#include "ops_rows.h"
#include "ops_matrix.h"

static void SD(linear)(struct sd_thread *t, const struct sd_linear *l, const struct sd_call *c) {
    int32_t *seen = sd_seen(t, t->S * l->n_planes * l->out);
    if (l->kernel == SD_DENSE) {
        SD(dense)(t, l, c, seen);
        return;
    }
    if (l->kernel == SD_EVENT && l->plain) {
        SD(event_rows)(t, l, c, seen);
        return;
    }
    /* Few large parts: events are sorted anew for each. */
    const sd_int tiles = (l->out + 63) / 64, least = (tiles + t->threads - 1) / t->threads;
    for (sd_int begin = 0, end = 0; sd_part(t, tiles, least, &begin, &end);) {
        if (l->kernel == SD_EVENT) {
            SD(event)(t, l, c, seen, begin, end);
        } else {
            SD(added)(t, l, c, seen, begin, end);
        }
    }
}

static const struct sd_kernels SD(table) = {
    .name = SD_NAME,
    .map1 = SD(map1),
    .map2 = SD(map2),
    .rms_norm = SD(rms_norm),
    .layer_norm = SD(layer_norm),
    .rope = SD(rope),
    .rotate = SD(rotate),
    .softmax = SD(softmax),
    .attend = SD(attend),
    .attend_spiked = SD(attend_spiked),
    .encode = SD(encode),
    .int_encode = SD(int_encode),
    .linear = SD(linear),
    .matrix = SD(matrix),
};

#undef SD_NAME
#undef SD_GATHER
