/* iso_write.c: lays out an ISO9660 volume.
 *
 * The first 16 sectors are empty. Then come the primary volume descriptor, its end, two path tables
 * (one in each byte order), the root directory, and the files. Each directory record has a short
 * ISO name and, after it, Rock Ridge entries with the real name and mode.
 */
#include "image/iso_write.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* The layout in sectors (ECMA-119; the first 16 are for boot loaders). */
#define SECTOR       2048u
#define PRIMARY_AT   16u
#define END_AT       17u
#define PATHS_LE_AT  18u
#define PATHS_BE_AT  19u
#define ROOT_AT      20u
#define FILES_AT     21u
#define PATHS_LEN    10u /* one entry: the root */
#define RECORD_FIXED 33u
#define SHORT_NAME   8u
#define NAME_MAX_LEN 64u

static void put_le32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put_be32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* ISO9660 stores most numbers twice, in both byte orders. */
static void put_both32(uint8_t *p, uint32_t v)
{
    put_le32(p, v);
    put_be32(p + 4, v);
}

static void put_both16(uint8_t *p, uint16_t v)
{
    p[0] = p[3] = (uint8_t)v;
    p[1] = p[2] = (uint8_t)(v >> 8);
}

/* Text fields are padded with spaces; longer text is cut. */
static void put_text(uint8_t *p, size_t size, const char *text)
{
    memset(p, ' ', size);
    memcpy(p, text, strnlen(text, size));
}

/* The last byte, the offset from GMT, stays 0. */
static void put_record_date(uint8_t p[7], const struct tm *tm)
{
    p[0] = (uint8_t)tm->tm_year;
    p[1] = (uint8_t)(tm->tm_mon + 1);
    p[2] = (uint8_t)tm->tm_mday;
    p[3] = (uint8_t)tm->tm_hour;
    p[4] = (uint8_t)tm->tm_min;
    p[5] = (uint8_t)tm->tm_sec;
}

static void put_volume_date(uint8_t *p, const struct tm *tm)
{
    char text[32] = "0000000000000000"; /* not specified */
    if (tm)
        (void)strftime(text, sizeof text, "%Y%m%d%H%M%S00", tm);
    memcpy(p, text, 16);
}

/* What a directory record points to. */
struct target {
    uint32_t sector, len;
    uint32_t mode; /* as in stat(2) */
};

/* System use entries of the sharing protocol start with two letters, a length and a version. */
static size_t put_entry(uint8_t *p, const char *sign, size_t len)
{
    memcpy(p, sign, 2);
    p[2] = (uint8_t)len;
    p[3] = 1;
    return len;
}

/* PX: mode, one link, root's. */
static size_t put_px(uint8_t *p, uint32_t mode)
{
    put_both32(p + 4, mode);
    put_both32(p + 12, 1);
    return put_entry(p, "PX", 36);
}

/* SP announces that system use entries follow, ER that they are those of Rock Ridge. Only in
 * ".". */
static size_t put_announcement(uint8_t *p)
{
    static const char id[] = "RRIP_1991A";
    p[4] = 0xbe;
    p[5] = 0xef;
    uint8_t *er = p + put_entry(p, "SP", 7);
    er[4] = sizeof id - 1;
    er[7] = 1;
    memcpy(er + 8, id, sizeof id - 1);
    return 7 + put_entry(er, "ER", 8 + sizeof id - 1);
}

/* NM: the name as the user knows it. */
static size_t put_nm(uint8_t *p, const char *name)
{
    size_t len = strlen(name);
    memcpy(p + 5, name, len);
    return put_entry(p, "NM", 5 + len);
}

/* The fixed part and the ISO name; returns where system use entries begin. */
static size_t put_record(uint8_t *p, const struct target *t, const struct tm *tm, const char *iso,
                         size_t iso_len)
{
    put_both32(p + 2, t->sector);
    put_both32(p + 10, t->len);
    put_record_date(p + 18, tm);
    p[25] = (t->mode & 0170000) == 0040000 ? 2 : 0;
    put_both16(p + 28, 1);
    p[32] = (uint8_t)iso_len;
    memcpy(p + RECORD_FIXED, iso, iso_len);
    size_t len = RECORD_FIXED + iso_len + (iso_len % 2 == 0);
    p[0] = (uint8_t)len;
    return len;
}

/* Sets the length of a whole record, which is even. */
static size_t end_record(uint8_t *p, size_t len)
{
    len += len % 2;
    p[0] = (uint8_t)len;
    return len;
}

/* The name for readers without Rock Ridge: "USER_DAT.;1" for "user-data". */
static size_t short_name(const char *name, char out[SHORT_NAME + 4])
{
    size_t n = 0;
    for (; n < SHORT_NAME && name[n]; n++)
        out[n] = isalnum((unsigned char)name[n]) ? (char)toupper((unsigned char)name[n]) : '_';
    memcpy(out + n, ".;1", 4);
    return n + 3;
}

/* ".", ".." and the files in the order of their short names, as the standard requires. */
static void put_directory(uint8_t *dir, const struct iso_file *files, const struct target *targets,
                          const size_t *order, size_t n, const struct tm *tm)
{
    const struct target root = {.sector = ROOT_AT, .len = SECTOR, .mode = 0040555};
    uint8_t *p = dir;
    for (unsigned i = 0; i < 2; i++) {
        size_t len = put_record(p, &root, tm, i ? "\1" : "\0", 1);
        if (i == 0)
            len += put_announcement(p + len);
        len += put_px(p + len, root.mode);
        p += end_record(p, len);
    }
    for (size_t i = 0; i < n; i++) {
        char iso[SHORT_NAME + 4];
        size_t iso_len = short_name(files[order[i]].name, iso);
        size_t len = put_record(p, &targets[order[i]], tm, iso, iso_len);
        len += put_px(p + len, targets[order[i]].mode);
        len += put_nm(p + len, files[order[i]].name);
        p += end_record(p, len);
    }
}

static void put_primary(uint8_t *p, const char *label, uint32_t sectors, const struct tm *tm)
{
    const struct target root = {.sector = ROOT_AT, .len = SECTOR, .mode = 0040555};
    p[0] = 1;
    memcpy(p + 1, "CD001\1", 6);
    put_text(p + 8, 32, "LINUX");
    put_text(p + 40, 32, label);
    put_both32(p + 80, sectors);
    put_both16(p + 120, 1); /* volumes in the set */
    put_both16(p + 124, 1); /* this is the first */
    put_both16(p + 128, SECTOR);
    put_both32(p + 132, PATHS_LEN);
    put_le32(p + 140, PATHS_LE_AT);
    put_be32(p + 148, PATHS_BE_AT);
    (void)put_record(p + 156, &root, tm, "\0", 1);
    put_text(p + 190, 128, ""); /* volume set, publisher, preparer, application */
    put_text(p + 318, 128, "");
    put_text(p + 446, 128, "");
    put_text(p + 574, 128, "CRABBOX-FC");
    put_text(p + 702, 111, ""); /* names of three files that are not there */
    put_volume_date(p + 813, tm);
    put_volume_date(p + 830, tm);
    put_volume_date(p + 847, NULL);
    put_volume_date(p + 864, NULL);
    p[881] = 1;
    uint8_t *end = p + (END_AT - PRIMARY_AT) * SECTOR;
    end[0] = 255;
    memcpy(end + 1, "CD001\1", 6);
}

/* Root only: one-byte name 0, its own parent. */
static void put_paths(uint8_t *volume)
{
    uint8_t *le = volume + PATHS_LE_AT * SECTOR, *be = volume + PATHS_BE_AT * SECTOR;
    le[0] = be[0] = 1;
    put_le32(le + 2, ROOT_AT);
    put_be32(be + 2, ROOT_AT);
    le[6] = be[7] = 1;
}

/* Insertion sort by short name; two files with the same short name are refused. */
static int sort_names(const struct iso_file *files, size_t n, size_t order[ISO_FILES_MAX])
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        char mine[SHORT_NAME + 4], other[SHORT_NAME + 4];
        (void)short_name(files[i].name, mine);
        for (; at > 0; at--) {
            (void)short_name(files[order[at - 1]].name, other);
            int c = strcmp(other, mine);
            if (c == 0)
                return -1;
            if (c < 0)
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return 0;
}

static uint32_t sectors_of(size_t len)
{
    return (uint32_t)((len + SECTOR - 1) / SECTOR);
}

int iso_build(const char *label, const struct iso_file *files, size_t n, time_t when,
              struct strbuf *out, struct error *err)
{
    struct target targets[ISO_FILES_MAX];
    size_t order[ISO_FILES_MAX];
    struct tm tm;
    uint32_t sectors = FILES_AT;
    bool fits = n <= ISO_FILES_MAX && strlen(label) <= 32 && gmtime_r(&when, &tm) != NULL;
    for (size_t i = 0; fits && i < n; i++) {
        fits = files[i].len <= ISO_FILE_MAX && *files[i].name &&
               strlen(files[i].name) <= NAME_MAX_LEN;
        targets[i] = (struct target){
            .sector = sectors, .len = (uint32_t)files[i].len, .mode = 0100400};
        sectors += sectors_of(files[i].len);
    }
    if (!fits || sort_names(files, n, order) < 0)
        return error_set(err, ERR_INTERNAL, 0, "files that don't fit on volume %s", label);
    size_t len = (size_t)sectors * SECTOR;
    _cleanup_free_ uint8_t *volume = xcalloc(1, len);
    put_primary(volume + PRIMARY_AT * SECTOR, label, sectors, &tm);
    put_paths(volume);
    put_directory(volume + ROOT_AT * SECTOR, files, targets, order, n, &tm);
    for (size_t i = 0; i < n; i++)
        memcpy(volume + (size_t)targets[i].sector * SECTOR, files[i].data, files[i].len);
    strbuf_add(out, volume, len);
    return 0;
}
