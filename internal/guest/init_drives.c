#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "guest/iso9660.h"
#include "guest/seed.h"

#define EXT_SUPERBLOCK 1024
#define EXT_MAGIC_AT   (EXT_SUPERBLOCK + 56)
#define EXT_LABEL_AT   (EXT_SUPERBLOCK + 120)
#define HEAD_LEN       2048

/* Filesystems that a root may have, by their magic bytes. */
static const struct {
    const char *type;
    size_t at, len;
    const char *magic;
} filesystems[] = {
    {"ext4", EXT_MAGIC_AT, 2, "\x53\xef"},
    {"squashfs", 0, 4, "hsqs"},
    {"erofs", 1024, 4, "\xe2\xe1\xf5\xe0"},
};

static const char *fstype_of(const uint8_t head[HEAD_LEN])
{
    for (size_t i = 0; i < ARRAY_LEN(filesystems); i++)
        if (memcmp(head + filesystems[i].at, filesystems[i].magic, filesystems[i].len) == 0)
            return filesystems[i].type;
    return NULL;
}

static bool is_upper(const uint8_t head[HEAD_LEN])
{
    return strncmp((const char *)head + EXT_LABEL_AT, UPPER_LABEL, 16) == 0;
}

static bool is_seed(int fd)
{
    struct iso iso;
    return iso_open(fd, &iso, NULL) == 0 && iso_label_is(&iso, SEED_LABEL);
}

/* Sorts one drive into the struct; the first of a kind wins. */
static void classify(const char *path, int fd, struct drives *out)
{
    uint8_t head[HEAD_LEN] = {0};
    const char *type = NULL;
    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head)
        type = fstype_of(head);
    if (type && str_eq(type, "ext4") && is_upper(head)) {
        if (!*out->upper)
            (void)str_copy(out->upper, sizeof out->upper, path);
    } else if (type) {
        if (!*out->root) {
            (void)str_copy(out->root, sizeof out->root, path);
            (void)str_copy(out->fstype, sizeof out->fstype, type);
        }
    } else if (out->seed_fd < 0 && is_seed(fd)) {
        out->seed_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    }
}

int drives_find(struct drives *out, struct error *err)
{
    unsigned seen = 0;
    *out = (struct drives){.seed_fd = -1};
    for (int letter = 'a'; letter <= 'z'; letter++) {
        char path[32];
        (void)str_format(path, sizeof path, "/dev/vd%c", letter);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            break; /* the kernel gives the letters in order */
        seen++;
        classify(path, fd, out);
    }
    if (!*out->root)
        return error_set(err, ERR_IO, 0, "no root filesystem on any of %u virtio drives", seen);
    if (out->seed_fd < 0)
        return error_set(err, ERR_IO, 0, "no seed drive (ISO9660 labelled %s) among %u drives",
                         SEED_LABEL, seen);
    return 0;
}

void drives_close(struct drives *d)
{
    CLOSE_FD(d->seed_fd);
}
