#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"

#define MIB         (INT64_C(1) << 20)
#define COPY_STEP   (16 * MIB) /* in one copy_file_range; the deadline is checked between two */
#define COPY_BUFFER (256u * 1024)
#define HOLE_GRAIN  4096u

const char *clone_how_name(enum clone_how how)
{
    switch (how) {
    case CLONE_REFLINK:
        return "reflink";
    case CLONE_SPARSE:
        return "sparse copy";
    case CLONE_COPY:
        return "full copy";
    }
    return "unknown";
}

/* The errors by which FICLONE and copy_file_range report that they don't work for these two
 * files. */
static bool means_unsupported(int e)
{
    return e == EXDEV || e == EOPNOTSUPP || e == EINVAL || e == ENOSYS || e == ENOTTY ||
           e == ETXTBSY || e == EPERM;
}

struct copy {
    int src, dst;
    const char *src_name, *dst_name;
    const struct deadline *d;
    bool in_kernel; /* copy_file_range works here */
    char *buf;      /* for when it does not */
};

static int copy_error(const struct copy *c, int sys, struct error *err)
{
    (void)error_set(err, ERR_IO, sys, "copy %s to %s", c->src_name, c->dst_name);
    if (sys == ENOSPC || sys == EDQUOT)
        return error_append(
            err, "; free some, or set CRABBOX_FC_STATE_DIR to a directory on a larger disk");
    return -1;
}

static bool all_zero(const char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Writes only what is not zero, because the target is a hole already. */
static int write_nonzero(const struct copy *c, const char *p, size_t n, int64_t off,
                         struct error *err)
{
    for (size_t done = 0; done < n;) {
        size_t part = n - done < HOLE_GRAIN ? n - done : HOLE_GRAIN;
        if (all_zero(p + done, part)) {
            done += part;
            continue;
        }
        ssize_t w = pwrite(c->dst, p + done, part, (off_t)(off + (int64_t)done));
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return copy_error(c, w < 0 ? errno : EIO, err);
        done += (size_t)w;
    }
    return 0;
}

/* One step through user space; returns the bytes done, 0 at the end of the source. */
static ssize_t copy_by_hand(struct copy *c, int64_t off, size_t want, struct error *err)
{
    if (!c->buf)
        c->buf = xcalloc(1, COPY_BUFFER);
    ssize_t n = pread(c->src, c->buf, want < COPY_BUFFER ? want : COPY_BUFFER, (off_t)off);
    if (n < 0)
        return copy_error(c, errno, err);
    return write_nonzero(c, c->buf, (size_t)n, off, err) < 0 ? -1 : n;
}

static ssize_t copy_step(struct copy *c, int64_t off, size_t want, struct error *err)
{
    off_t in = (off_t)off, out = (off_t)off;
    if (!c->in_kernel)
        return copy_by_hand(c, off, want, err);
    ssize_t n = copy_file_range(c->src, &in, c->dst, &out, want, 0);
    if (n > 0)
        return n;
    if (n < 0 && !means_unsupported(errno))
        return copy_error(c, errno, err);
    c->in_kernel = false; /* also 0 bytes, which some filesystems give instead of an error */
    return copy_by_hand(c, off, want, err);
}

static int copy_range(struct copy *c, int64_t from, int64_t to, struct error *err)
{
    while (from < to) {
        int64_t left = to - from;
        if (deadline_check(c->d, "the copy of the root filesystem", err) < 0)
            return -1;
        ssize_t n = copy_step(c, from, (size_t)(left < COPY_STEP ? left : COPY_STEP), err);
        if (n < 0)
            return -1;
        if (n == 0)
            return error_set(err, ERR_IO, 0, "%s became shorter while it was copied", c->src_name);
        from += n;
    }
    return 0;
}

/* Copies only the data extents of [0, size), or everything if the filesystem does not report
 * them. */
static int copy_extents(struct copy *c, int64_t size, enum clone_how *how, struct error *err)
{
    *how = CLONE_SPARSE;
    for (int64_t at = 0; at < size;) {
        off_t data = lseek(c->src, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* only a hole is left */
            return 0;
        if (data < 0) {
            *how = CLONE_COPY;
            return copy_range(c, at, size, err);
        }
        off_t hole = lseek(c->src, data, SEEK_HOLE);
        if (hole < 0)
            return copy_error(c, errno, err);
        if (copy_range(c, data, hole < size ? hole : size, err) < 0)
            return -1;
        at = hole;
    }
    return 0;
}

/* Fills the new file by FICLONE or, if that does not work, by copying extents. Then grows it
 * without writing. FICLONE does not work on btrfs here, because the file is overwritten in
 * place. */
static int fill_clone(struct copy *c, int64_t size, int64_t want, enum clone_how *how,
                      struct error *err)
{
    struct stat st;
    if (ioctl(c->dst, FICLONE, c->src) == 0) {
        *how = CLONE_REFLINK;
        if (fstat(c->dst, &st) < 0 || st.st_size != size)
            return error_set(err, ERR_IO, 0, "%s changed its size while it was copied",
                             c->src_name);
    } else {
        if (!means_unsupported(errno))
            return copy_error(c, errno, err);
        if (ftruncate(c->dst, (off_t)size) < 0)
            return copy_error(c, errno, err);
        if (copy_extents(c, size, how, err) < 0)
            return -1;
    }
    if (want > size && ftruncate(c->dst, (off_t)want) < 0)
        return error_set(err, ERR_IO, errno, "grow %s to %" PRId64 " MiB", c->dst_name, want / MIB);
    return 0;
}

int image_clone(int in, const char *src, int dirfd, const char *name, int64_t size_mib,
                const struct deadline *d, enum clone_how *how, struct error *err)
{
    struct stat st;
    int64_t want = 0;
    if (size_mib < 0 || __builtin_mul_overflow(size_mib, MIB, &want))
        return error_set(err, ERR_CONFIG, 0, "disk size of %" PRId64 " MiB is out of range",
                         size_mib);
    if (fstat(in, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", src);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_IO, 0, "clone %s: not a regular file", src);
    _cleanup_close_ int out = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return error_set(err, ERR_IO, errno, "create %s", name);
    struct copy c = {
        .src = in, .dst = out, .src_name = src, .dst_name = name, .d = d, .in_kernel = true};
    int r = file_in_place(out, name, err);
    if (r == 0)
        r = fill_clone(&c, st.st_size, want, how, err);
    free(c.buf);
    if (r < 0)
        (void)unlinkat(dirfd, name, 0);
    return r;
}
