/* weights.bin: a header, a line for each section, the sections. All numbers little-endian, sections at multiples of 64.
 *
 *   0  "SDLLM-C\n"   8  version, uint32   12  sections, uint32   16  bytes of the file, uint64
 *  24  sha256 of the program, 32 bytes    56  checksum of all of the head but this, uint64
 *  64  for each section: offset, bytes, checksum: uint64 each
 */
#ifndef SDLLM_WEIGHTS_H
#define SDLLM_WEIGHTS_H

#include "runtime.h"

enum { SD_WEIGHTS_VERSION = 1, SD_HEADER = 64, SD_LINE = 24 };

/* Map and check a file of this program's weights, and give m->w. 0, or a message in m->error. */
int sd_weights_open(struct sdllm *m, const char *path);
void sd_weights_close(struct sdllm *m);

/* Of the bytes of a file, as the compiler makes it: any change within one word of 64 bits changes it. */
uint64_t sd_checksum(const unsigned char *p, uint64_t size);

#endif
