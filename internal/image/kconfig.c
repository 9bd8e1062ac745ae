#include "image/kconfig.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <archive.h>

#include "base/cleanup.h"

#define SEARCH_MAX (256u << 20) /* bytes of a kernel that are searched */
#define CHUNK      (1u << 20)
#define PACKED_MAX (1u << 20)

/* The mark, and the first bytes of the gzip stream that follows it. */
static const uint8_t mark[] = {'I', 'K', 'C', 'F', 'G', '_', 'S', 'T', 0x1f, 0x8b, 0x08};
static const char end_mark[] = "IKCFG_ED";

static ssize_t read_at(int fd, void *buf, size_t len, off_t off)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Offset of the gzip stream, 0 if there is none, -1 on a read error. The pieces that are read
 * overlap by the mark's length. */
static off_t find_mark(int fd, uint8_t *buf)
{
    for (off_t off = 0; off < (off_t)SEARCH_MAX; off += (off_t)(CHUNK - sizeof mark)) {
        ssize_t n = read_at(fd, buf, CHUNK, off);
        if (n < 0)
            return -1;
        const uint8_t *hit = memmem(buf, (size_t)n, mark, sizeof mark);
        if (hit)
            return off + (hit - buf) + 8;
        if ((size_t)n < CHUNK)
            break;
    }
    return 0;
}

static void free_archive(struct archive **a)
{
    (void)archive_read_free(*a);
}

/* Unpacks gzip in memory; false if the archive is broken or its content is too large. */
static bool unpack(const uint8_t *data, size_t len, struct strbuf *out)
{
    _cleanup_(free_archive) struct archive *a = archive_read_new();
    struct archive_entry *entry;
    char buf[16384];
    size_t before = out->len;
    la_ssize_t n;
    if (!a || archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_format_raw(a) != ARCHIVE_OK ||
        archive_read_open_memory(a, data, len) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK)
        return false;
    while ((n = archive_read_data(a, buf, sizeof buf)) > 0) {
        if (out->len - before + (size_t)n > KCONFIG_MAX)
            return false;
        strbuf_add(out, buf, (size_t)n);
    }
    return n == 0 && out->len > before && !memchr(out->buf + before, '\0', out->len - before);
}

int kconfig_extract(int fd, const char *path, struct strbuf *out, struct error *err)
{
    _Static_assert(PACKED_MAX <= CHUNK, "one buffer serves both");
    _cleanup_free_ uint8_t *buf = xcalloc(1, CHUNK);
    off_t at = find_mark(fd, buf);
    ssize_t n = at > 0 ? read_at(fd, buf, PACKED_MAX, at) : 0;
    if (at < 0 || n < 0)
        return error_set(err, ERR_IO, errno, "read %s", path);
    if (n == 0)
        return 0;
    const uint8_t *end = memmem(buf, (size_t)n, end_mark, sizeof end_mark - 1);
    size_t before = out->len;
    if (unpack(buf, end ? (size_t)(end - buf) : (size_t)n, out))
        return 1;
    out->len = before;
    if (out->alloc > 0)
        out->buf[before] = '\0';
    return 0;
}

char kconfig_option(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, "CONFIG_", 7) == 0 && strncmp(line + 7, name, len) == 0 &&
            line[7 + len] == '=')
            return line[8 + len] == 'm' ? 'm' : line[8 + len] == 'n' ? 'n' : 'y';
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return 'n';
}
