/* Each function of libarchive that the program uses, forwarded; see sys/lib.h. The callers are in
 * sync, fetch and image. */
#include "sync/archive_load.h"

#include <archive.h>
#include <archive_entry.h>

#include "sys/lib.h"

typedef struct archive A;
typedef struct archive_entry E;

static struct lib lib = {"libarchive.so.13", "libarchive13", NULL};

int archive_load(struct error *err)
{
    return lib_load(&lib, err);
}

FORWARD(&lib, const char *, archive_error_string, (A * a), (a))

FORWARD(&lib, A *, archive_read_new, (void), ())
FORWARD(&lib, int, archive_read_free, (A * a), (a))
FORWARD(&lib, int, archive_read_support_filter_gzip, (A * a), (a))
FORWARD(&lib, int, archive_read_support_format_empty, (A * a), (a))
FORWARD(&lib, int, archive_read_support_format_raw, (A * a), (a))
FORWARD(&lib, int, archive_read_support_format_tar, (A * a), (a))
FORWARD(&lib, int, archive_read_open,
        (A * a, void *ctx, archive_open_callback *o, archive_read_callback *r,
         archive_close_callback *c),
        (a, ctx, o, r, c))
FORWARD(&lib, int, archive_read_open_fd, (A * a, int fd, size_t block), (a, fd, block))
FORWARD(&lib, int, archive_read_open_memory, (A * a, const void *p, size_t n), (a, p, n))
FORWARD(&lib, int, archive_read_next_header, (A * a, E **e), (a, e))
FORWARD(&lib, la_ssize_t, archive_read_data, (A * a, void *p, size_t n), (a, p, n))
FORWARD(&lib, int, archive_read_data_block, (A * a, const void **p, size_t *n, la_int64_t *at),
        (a, p, n, at))

FORWARD(&lib, A *, archive_write_new, (void), ())
FORWARD(&lib, int, archive_write_close, (A * a), (a))
FORWARD(&lib, int, archive_write_free, (A * a), (a))
FORWARD(&lib, int, archive_write_set_format_gnutar, (A * a), (a))
FORWARD(&lib, int, archive_write_set_bytes_per_block, (A * a, int n), (a, n))
FORWARD(&lib, int, archive_write_open,
        (A * a, void *ctx, archive_open_callback *o, archive_write_callback *w,
         archive_close_callback *c),
        (a, ctx, o, w, c))
FORWARD(&lib, int, archive_write_header, (A * a, E *e), (a, e))
FORWARD(&lib, la_ssize_t, archive_write_data, (A * a, const void *p, size_t n), (a, p, n))

FORWARD(&lib, E *, archive_entry_new, (void), ())
FORWARD(&lib, void, archive_entry_free, (E * e), (e))
FORWARD(&lib, const char *, archive_entry_pathname, (E * e), (e))
FORWARD(&lib, const char *, archive_entry_pathname_utf8, (E * e), (e))
FORWARD(&lib, const char *, archive_entry_hardlink, (E * e), (e))
FORWARD(&lib, __LA_MODE_T, archive_entry_filetype, (E * e), (e))
FORWARD(&lib, __LA_MODE_T, archive_entry_perm, (E * e), (e))
FORWARD(&lib, time_t, archive_entry_mtime, (E * e), (e))
FORWARD(&lib, int, archive_entry_mtime_is_set, (E * e), (e))
FORWARD(&lib, long, archive_entry_mtime_nsec, (E * e), (e))
FORWARD(&lib, la_int64_t, archive_entry_size, (E * e), (e))
FORWARD(&lib, int, archive_entry_size_is_set, (E * e), (e))
FORWARD(&lib, void, archive_entry_set_mode, (E * e, __LA_MODE_T mode), (e, mode))
FORWARD(&lib, void, archive_entry_set_mtime, (E * e, time_t t, long ns), (e, t, ns))
FORWARD(&lib, void, archive_entry_set_pathname, (E * e, const char *path), (e, path))
FORWARD(&lib, void, archive_entry_set_size, (E * e, la_int64_t n), (e, n))
FORWARD(&lib, void, archive_entry_set_symlink, (E * e, const char *to), (e, to))
