#include "fetch/untar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

enum {
    READ_SIZE = 16 * 1024,
    /* Bytes of one entry's headers: two names of PATH_MAX and a few numbers. Bytes that were read
     * together with the content before don't count. */
    HEADER_MAX = 64 * 1024,
};

struct untar {
    int in, out;
    struct archive *reader;
    size_t of_header; /* bytes since the last content, or the last header */
    bool in_content;
    char why[128]; /* reading failed; "" */
    char buf[READ_SIZE];
};

/* libarchive builds data in memory from a header before we see any of it: a map of holes of any
 * length, and a list of rights, which it searches for each new entry. So the number of bytes of a
 * header is limited. */
static la_ssize_t read_some(struct archive *a, void *ctx, const void **out)
{
    (void)a;
    struct untar *u = ctx;
    ssize_t n;
    do
        n = read(u->in, u->buf, sizeof u->buf);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        (void)str_format(u->why, sizeof u->why, "reading failed: %s", strerror(errno));
        return -1;
    }
    u->of_header = u->in_content ? 0 : u->of_header + (size_t)n;
    if (u->of_header > HEADER_MAX) {
        (void)str_format(u->why, sizeof u->why, "more than %d KiB of headers before a file",
                         HEADER_MAX / 1024);
        return -1;
    }
    *out = u->buf;
    return n;
}

/* False when nobody reads it any more. */
static bool put(struct untar *u, struct untar_head head, const void *data, size_t len)
{
    head.len = (uint32_t)(len < UNTAR_LEN_MAX ? len : UNTAR_LEN_MAX);
    return fd_write_all(u->out, &head, sizeof head, "entries", NULL) == 0 &&
           fd_write_all(u->out, data, head.len, "entries", NULL) == 0;
}

static bool put_failed(struct untar *u)
{
    const char *text = *u->why ? u->why : u->reader ? archive_error_string(u->reader) : NULL;
    text = text ? text : "unknown error";
    return put(u, (struct untar_head){.kind = UNTAR_FAILED}, text, strlen(text));
}

static bool put_entry(struct untar *u, struct archive_entry *e)
{
    const char *name = archive_entry_pathname(e);
    unsigned type = archive_entry_filetype(e);
    if (!name)
        name = archive_entry_pathname_utf8(e);
    const struct untar_head head = {
        .kind = archive_entry_hardlink(e) ? UNTAR_OTHER
                : type == AE_IFREG        ? UNTAR_FILE
                : type == AE_IFDIR        ? UNTAR_DIR
                                          : UNTAR_OTHER,
        .perm = archive_entry_perm(e),
        .has_name = name != NULL,
        .has_size = archive_entry_size_is_set(e),
        .has_mtime = archive_entry_mtime_is_set(e),
        .size = archive_entry_size(e),
        .mtime = archive_entry_mtime(e),
        .mtime_nsec = archive_entry_mtime_nsec(e),
    };
    return put(u, head, name ? name : "", name ? strlen(name) : 0);
}

/* -1: the archive's error, 0: nobody reads it. */
static int put_content(struct untar *u)
{
    const char *data;
    const void *block;
    size_t len;
    la_int64_t off;
    int r;
    u->in_content = true;
    while ((r = archive_read_data_block(u->reader, &block, &len, &off)) == ARCHIVE_OK)
        for (data = block; len > 0;) {
            size_t n = len < UNTAR_LEN_MAX ? len : UNTAR_LEN_MAX;
            if (!put(u, (struct untar_head){.kind = UNTAR_DATA, .offset = off}, data, n))
                return 0;
            data += n;
            off += (la_int64_t)n;
            len -= n;
        }
    u->in_content = false;
    if (r != ARCHIVE_EOF)
        return -1;
    return put(u, (struct untar_head){.kind = UNTAR_DONE}, "", 0);
}

/* 1: on to the next, 0: it is over, -1: the archive's error. */
static int put_next(struct untar *u)
{
    struct archive_entry *e;
    u->of_header = 0;
    int r = archive_read_next_header(u->reader, &e);
    if (r == ARCHIVE_EOF) {
        (void)put(u, (struct untar_head){.kind = UNTAR_END}, "", 0);
        return 0;
    }
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return -1;
    if (!put_entry(u, e))
        return 0;
    bool is_file = archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e);
    return is_file ? put_content(u) : 1;
}

static struct archive *reader_new(void)
{
    struct archive *a = archive_read_new();
    /* Of the formats that libarchive supports, accept only uncompressed tar. */
    if (a && archive_read_support_format_tar(a) == ARCHIVE_OK &&
        archive_read_support_format_empty(a) == ARCHIVE_OK)
        return a;
    return NULL; /* what there is of it goes with the process */
}

static void run(struct untar *u)
{
    int r = u->reader && archive_read_open(u->reader, u, NULL, read_some, NULL) == ARCHIVE_OK ? 1
                                                                                              : -1;
    while (r > 0)
        r = put_next(u);
    if (r < 0)
        (void)put_failed(u);
}

void untar(int in, int out)
{
    _cleanup_free_ struct untar *u = xcalloc(1, sizeof *u);
    u->in = in;
    u->out = out;
    u->reader = reader_new();
    run(u);
    if (u->reader)
        (void)archive_read_free(u->reader);
}

static void part_main(void)
{
    struct untar *u = xcalloc(1, sizeof *u);
    u->out = STDOUT_FILENO;
    u->reader = reader_new(); /* this loads the library */
    fenced_settle();
    run(u);
}

FENCED_PART(untar_part, {"fenced-tar", part_main})
