#include "guest/iso9660.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FIRST_DESCRIPTOR  16u
#define DESCRIPTORS_MAX   16u
#define ROOT_DIR_MAX      (64u * 1024)
#define RECORD_NAME       33u /* offset of the name in a directory record */
#define FLAG_DIRECTORY    0x02u
#define FLAG_MULTI_EXTENT 0x80u

/* A directory record, checked to lie inside its sector. */
struct record {
    const uint8_t *raw;
    size_t len;
    const uint8_t *name;
    size_t name_len;
};

/* Both-endian fields hold the little-endian copy first. */
static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Reads exactly `len` bytes at `off`; a short volume is an error. */
static int read_at(int fd, void *buf, size_t len, uint64_t off, struct error *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "read the seed drive at byte %zu",
                             (size_t)off + done);
        if (n == 0)
            return error_set(err, ERR_IO, 0, "seed drive ends at byte %zu, inside its own data",
                             (size_t)off + done);
        done += (size_t)n;
    }
    return 0;
}

/* The volume identifier is padded with spaces. */
static void copy_label(char dst[33], const uint8_t src[32])
{
    size_t n = 32;
    while (n > 0 && (src[n - 1] == ' ' || src[n - 1] == '\0'))
        n--;
    memcpy(dst, src, n);
    dst[n] = '\0';
}

static void take_root(struct iso *iso, const uint8_t *descriptor)
{
    iso->root_extent = le32(descriptor + 156 + 2);
    iso->root_size = le32(descriptor + 156 + 10);
}

/* The three escape sequences that mean UCS-2 levels 1 to 3. */
static bool is_joliet(const uint8_t *descriptor)
{
    const uint8_t *esc = descriptor + 88;
    return esc[0] == '%' && esc[1] == '/' && (esc[2] == '@' || esc[2] == 'C' || esc[2] == 'E');
}

int iso_open(int fd, struct iso *iso, struct error *err)
{
    uint8_t d[ISO_SECTOR];
    bool primary = false;
    *iso = (struct iso){.fd = fd};
    for (uint32_t i = 0; i < DESCRIPTORS_MAX; i++) {
        if (read_at(fd, d, sizeof d, (uint64_t)(FIRST_DESCRIPTOR + i) * ISO_SECTOR, err) < 0)
            return -1;
        if (memcmp(d + 1, "CD001", 5) != 0)
            break;
        if (d[0] == 255)
            break;
        if (d[0] == 1 && !primary) {
            primary = true;
            copy_label(iso->label, d + 40);
            if (!iso->joliet)
                take_root(iso, d);
        } else if (d[0] == 2 && is_joliet(d) && !iso->joliet) {
            iso->joliet = true;
            take_root(iso, d);
        }
    }
    if (!primary)
        return error_set(err, ERR_NOT_FOUND, 0, "no ISO9660 volume");
    if (iso->root_size == 0 || iso->root_size > ROOT_DIR_MAX)
        return error_set(err, ERR_IO, 0, "ISO9660 root directory of %u bytes (at most %u)",
                         iso->root_size, ROOT_DIR_MAX);
    return 0;
}

bool iso_label_is(const struct iso *iso, const char *label)
{
    return strcasecmp(iso->label, label) == 0;
}

/* Joliet: every second byte is the ASCII character; ";1" may follow. */
static bool joliet_name_is(const struct record *r, const char *name)
{
    size_t n = strlen(name);
    if (r->name_len < 2 * n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (r->name[2 * i] != 0 || r->name[2 * i + 1] != (uint8_t)name[i])
            return false;
    return r->name_len == 2 * n || (r->name[2 * n] == 0 && r->name[2 * n + 1] == ';');
}

/* The alternate name of a Rock Ridge NM entry in the system use area; 1 found, 0 none. */
static int rock_ridge_name(const struct record *r, char *out, size_t size)
{
    size_t at = RECORD_NAME + r->name_len + (r->name_len % 2 == 0);
    size_t len = 0;
    while (at + 4 <= r->len) {
        const uint8_t *e = r->raw + at;
        if (e[2] < 4 || at + e[2] > r->len)
            break;
        if (e[0] == 'N' && e[1] == 'M' && e[2] > 5) {
            size_t part = e[2] - 5u;
            if (len + part >= size)
                return 0;
            memcpy(out + len, e + 5, part);
            len += part;
        }
        at += e[2];
    }
    out[len] = '\0';
    return len > 0;
}

static bool plain_name_is(const struct record *r, const char *name)
{
    size_t n = r->name_len;
    const uint8_t *semicolon = memchr(r->name, ';', n);
    if (semicolon)
        n = (size_t)(semicolon - r->name);
    if (n > 0 && r->name[n - 1] == '.')
        n--;
    return n == strlen(name) && strncasecmp((const char *)r->name, name, n) == 0;
}

static bool record_name_is(const struct iso *iso, const struct record *r, const char *name)
{
    char rock[256];
    if (iso->joliet)
        return joliet_name_is(r, name);
    if (rock_ridge_name(r, rock, sizeof rock))
        return str_eq(rock, name);
    return plain_name_is(r, name);
}

/* Finds `name` among the records of one directory sector; false if it is not there. */
static bool find_in_sector(const struct iso *iso, const uint8_t *sector, const char *name,
                           uint8_t *flags, uint32_t *extent, uint32_t *size)
{
    size_t at = 0;
    while (at + RECORD_NAME < ISO_SECTOR) {
        struct record r = {.raw = sector + at, .len = sector[at]};
        if (r.len < RECORD_NAME + 1 || at + r.len > ISO_SECTOR)
            return false; /* the rest of the sector is padding, or nonsense */
        r.name = r.raw + RECORD_NAME;
        r.name_len = r.raw[RECORD_NAME - 1];
        if (RECORD_NAME + r.name_len <= r.len && record_name_is(iso, &r, name)) {
            *flags = r.raw[25];
            *extent = le32(r.raw + 2);
            *size = le32(r.raw + 10);
            return true;
        }
        at += r.len;
    }
    return false;
}

int iso_read_file(const struct iso *iso, const char *name, size_t cap, struct strbuf *out,
                  struct error *err)
{
    uint8_t sector[ISO_SECTOR];
    uint8_t flags = 0;
    uint32_t extent = 0, size = 0;
    bool found = false;
    for (uint32_t off = 0; off < iso->root_size && !found; off += ISO_SECTOR) {
        uint64_t at = (uint64_t)iso->root_extent * ISO_SECTOR + off;
        if (read_at(iso->fd, sector, sizeof sector, at, err) < 0)
            return -1;
        found = find_in_sector(iso, sector, name, &flags, &extent, &size);
    }
    if (!found)
        return error_set(err, ERR_NOT_FOUND, 0, "the seed drive has no file %s", name);
    if (flags & (FLAG_DIRECTORY | FLAG_MULTI_EXTENT))
        return error_set(err, ERR_IO, 0, "%s on the seed drive is not a plain file", name);
    if (size > cap)
        return error_set(err, ERR_IO, 0, "%s on the seed drive has %u bytes (at most %zu)", name,
                         size, cap);
    _cleanup_free_ uint8_t *data = xcalloc(1, size);
    if (read_at(iso->fd, data, size, (uint64_t)extent * ISO_SECTOR, err) < 0)
        return -1;
    strbuf_add(out, data, size);
    return 0;
}
