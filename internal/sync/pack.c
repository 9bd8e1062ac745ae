/* pack.c: makes the archive that a sync sends, piece by piece.
 *
 * pack_read is called when the connection can take more. It fills the buffer: it opens the next
 * file of the list, writes its header, and then copies its content in pieces through libarchive,
 * which calls on_write. So there is never more than one file open and one piece in memory. A file
 * may change while it is sent. If it gets shorter, the rest is filled with zeros, because the
 * header already has the size. Files that changed are counted for a warning.
 */
#include "sync/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sync/archive_load.h"
#include "sys/beneath.h"

enum { PIECE = 64 * 1024 };

static void cleanup_entry(struct archive_entry **e)
{
    archive_entry_free(*e);
}

/* A writer that is freed in the middle of a file would first fill it up with zeros, whatever its
 * size: nobody takes those. */
static la_ssize_t on_write(struct archive *a, void *ctx, const void *data, size_t len)
{
    struct pack *p = ctx;
    (void)a;
    if (p->abandoned)
        return -1;
    strbuf_add(&p->out, data, len);
    return (la_ssize_t)len;
}

static int writer_failed(const struct pack *p, const char *path, struct error *err)
{
    const char *why = archive_error_string(p->writer);
    return error_set(err, ERR_SYNC, 0, "pack %s: %s", path, why ? why : "no reason given");
}

int pack_init(struct pack *p, const struct sync_list *l, struct error *err)
{
    *p = (struct pack){.list = l, .tree = TREE_INIT, .out = STRBUF_INIT, .fd = -1};
    if (archive_load(err) < 0)
        return -1;
    if (tree_init(&p->tree, l->root_fd, &l->never, l->whole) < 0)
        return error_set(err, ERR_SYNC, errno, "hold %s open", l->root);
    p->writer = archive_write_new();
    if (!p->writer)
        return error_set(err, ERR_INTERNAL, ENOMEM, "make an archive writer");
    if (archive_write_set_format_gnutar(p->writer) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(p->writer, 0) != ARCHIVE_OK ||
        archive_write_open(p->writer, p, NULL, on_write, NULL) != ARCHIVE_OK)
        return writer_failed(p, l->root, err);
    return 0;
}

void pack_free(struct pack *p)
{
    p->abandoned = true;
    if (p->writer)
        (void)archive_write_free(p->writer);
    p->writer = NULL;
    tree_close(&p->tree);
    CLOSE_FD(p->fd);
    strbuf_free(&p->out);
}

static void note_changed(struct pack *p, const char *path)
{
    if (!p->n_changed++)
        p->first_changed = path;
}

/* Owner and group are left to the receiver: the guest's users are not ours. */
static int put_header(struct pack *p, const char *path, const struct stat *st, const char *target,
                      struct error *err)
{
    _cleanup_(cleanup_entry) struct archive_entry *e = archive_entry_new();
    if (!e)
        return error_set(err, ERR_INTERNAL, ENOMEM, "pack %s", path);
    archive_entry_set_pathname(e, path);
    archive_entry_set_mode(e, st->st_mode & (S_IFMT | 0777));
    archive_entry_set_mtime(e, st->st_mtim.tv_sec, 0);
    archive_entry_set_size(e, S_ISREG(st->st_mode) ? st->st_size : 0);
    if (target)
        archive_entry_set_symlink(e, target);
    if (archive_write_header(p->writer, e) < ARCHIVE_WARN)
        return writer_failed(p, path, err);
    return 0;
}

/* Entries for the directories of `path` that the last entry was not in. Files come sorted, so each
 * directory is met once. */
static int put_directories(struct pack *p, const char *path, struct error *err)
{
    const char *last = p->last ? p->last : "";
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat st;
        size_t len = (size_t)(slash - path) + 1;
        const char *base;
        if (strncmp(last, path, len) == 0)
            continue;
        _cleanup_free_ char *dir = xasprintf("%.*s", (int)len - 1, path);
        int parent = tree_parent(&p->tree, dir, &base);
        if (parent < 0 || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(st.st_mode))
            return 0; /* it went away: the file itself will say so */
        st.st_mode |= 0700;
        if (put_header(p, dir, &st, NULL, err) < 0)
            return -1;
    }
    return 0;
}

static int put_symlink(struct pack *p, int parent, const char *base, const char *path,
                       const struct stat *st, struct error *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(parent, base, target, sizeof target - 1);
    if (n < 0) {
        note_changed(p, path);
        return 0;
    }
    target[n] = '\0';
    p->n_files++;
    return put_header(p, path, st, target, err);
}

/* Opens the file and announces the size it has now. */
static int begin_file(struct pack *p, int parent, const char *base, const char *path,
                      struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = beneath_open_plain(parent, base, O_RDONLY | O_NONBLOCK, &st);
    if (fd < 0 || !S_ISREG(st.st_mode)) {
        note_changed(p, path);
        return 0;
    }
    if (put_header(p, path, &st, NULL, err) < 0)
        return -1;
    p->left = st.st_size;
    p->current = path;
    p->cut = false;
    p->fd = TAKE_FD(fd);
    return 0;
}

static int begin_next(struct pack *p, struct error *err)
{
    struct stat st;
    const char *base;
    const struct sync_file *file = &p->list->files[p->next++];
    const char *path = file->path;
    if (put_directories(p, path, err) < 0)
        return -1;
    int parent = tree_parent(&p->tree, path, &base);
    if (parent < 0 || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        note_changed(p, path);
        return 0;
    }
    p->last = path;
    if (S_ISDIR(st.st_mode) && S_ISDIR(file->mode)) {
        st.st_mode |= 0700;
        return put_header(p, path, &st, NULL, err);
    }
    if (S_ISLNK(st.st_mode))
        return put_symlink(p, parent, base, path, &st, err);
    return begin_file(p, parent, base, path, err);
}

static void end_file(struct pack *p)
{
    char more;
    if (!p->cut && read(p->fd, &more, 1) > 0)
        note_changed(p, p->current); /* it grew */
    CLOSE_FD(p->fd);
    p->n_files++;
}

/* The next piece of the open file. A file that shrank is filled up with zeros: the size in its
 * header can't be taken back. */
static int put_piece(struct pack *p, struct error *err)
{
    char piece[PIECE];
    size_t want = p->left < PIECE ? (size_t)p->left : PIECE;
    ssize_t n = want && !p->cut ? read(p->fd, piece, want) : 0;
    if (want == 0) {
        end_file(p);
        return 0;
    }
    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0) {
        if (!p->cut)
            note_changed(p, p->current);
        p->cut = true;
        memset(piece, 0, want);
        n = (ssize_t)want;
    }
    if (archive_write_data(p->writer, piece, (size_t)n) != n)
        return writer_failed(p, p->current, err);
    p->left -= n;
    p->bytes += n;
    return 0;
}

static int produce(struct pack *p, struct error *err)
{
    if (p->fd >= 0)
        return put_piece(p, err);
    if (p->next < p->list->n_files)
        return begin_next(p, err);
    p->ended = true;
    return archive_write_close(p->writer) == ARCHIVE_OK ? 0 : writer_failed(p, p->list->root, err);
}

/* Fills all of `buf`: what is handed over at a time goes as a packet of its own, and a header of
 * 512 bytes in one costs nearly as much as a full one. */
ssize_t pack_read(void *pack, void *buf, size_t size, struct error *err)
{
    struct pack *p = pack;
    size_t done = 0;
    while (done < size) {
        size_t left = p->out.len - p->out_off;
        size_t n = left < size - done ? left : size - done;
        if (n)
            memcpy((char *)buf + done, p->out.buf + p->out_off, n);
        p->out_off += n;
        done += n;
        if (n)
            continue;
        if (p->ended)
            break;
        strbuf_reset(&p->out);
        p->out_off = 0;
        if (produce(p, err) < 0)
            return -1;
    }
    return (ssize_t)done;
}
