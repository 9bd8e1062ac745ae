/* untar.h: the part without rights (sys/fenced.h) that takes an archive of the guest apart.
 *
 * It reads the archive from descriptor 0 and writes entries to descriptor 1, each a head and then
 * `len` bytes:
 *
 *   UNTAR_DIR, UNTAR_OTHER          the name
 *   UNTAR_FILE                      the name; then UNTAR_DATA, any number of times, then UNTAR_DONE
 *   UNTAR_END, or UNTAR_FAILED      the last; what failed
 *
 * unpack.c decides what becomes of them. It trusts the part no more than the guest.
 */
#ifndef CRABBOX_FETCH_UNTAR_H
#define CRABBOX_FETCH_UNTAR_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/fenced.h"

extern const struct fenced_part untar_part;

enum untar_kind {
    UNTAR_DIR = 1,
    UNTAR_FILE,
    UNTAR_OTHER, /* links and the like */
    UNTAR_DATA,
    UNTAR_DONE,
    UNTAR_END,
    UNTAR_FAILED,
};

/* Of one head: a name is no longer than the headers that it comes from. */
enum { UNTAR_LEN_MAX = 128 * 1024 };

struct untar_head {
    uint32_t kind, len, perm;
    bool has_name, has_size, has_mtime;
    int64_t size, offset; /* of a file; of the data in it */
    int64_t mtime, mtime_nsec;
};

struct fetch_rules;
struct fetch_result;

/* The work of the part, and of unpack.c with a part that runs or has ended (pid 0), for the fuzzer.
 */
void untar(int in, int out);
int unpack_entries(int fd, struct child *part, const struct fetch_rules *rules,
                   struct fetch_result *res, struct error *err);

#endif
