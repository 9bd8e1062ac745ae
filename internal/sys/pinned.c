#include "sys/pinned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/trusted.h"

#define ENTRIES_MAX 64 /* remembered hashes; if there are more, all are forgotten */
#define NAME_SIZE   64
#define LINE_SIZE   192

int64_t pinned_settled_ns = INT64_C(2000000000);

static struct file_id id_of(const struct stat *st)
{
    return (struct file_id){.dev = st->st_dev,
                            .ino = st->st_ino,
                            .size = st->st_size,
                            .mtime_ns = clock_ns(st->st_mtim),
                            .ctime_ns = clock_ns(st->st_ctim)};
}

static bool same(const struct file_id *a, const struct file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* ---- what is remembered ---- */

static void entry_name(const struct file_id *id, char out[static NAME_SIZE])
{
    (void)str_format(out, NAME_SIZE, "%" PRIx64 "-%" PRIx64, id->dev, id->ino);
}

/* The line of an entry: the properties of the file for which the hash is valid, then the hash. */
static void entry_line(const struct file_id *id, const char *sha256, char out[static LINE_SIZE])
{
    (void)str_format(out, LINE_SIZE, "%" PRId64 " %" PRId64 " %" PRId64 " %s\n", id->size,
                     id->mtime_ns, id->ctime_ns, sha256);
}

static bool recall(const struct file_id *id, int cache_fd, char out[static SHA256_HEX_SIZE])
{
    char name[NAME_SIZE], head[LINE_SIZE];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    entry_name(id, name);
    entry_line(id, "", head);
    size_t len = strlen(head) - 1; /* up to the hash */
    if (cache_fd < 0 || file_read_at(cache_fd, name, LINE_SIZE, &text, NULL) < 0 ||
        text.len != len + SHA256_HEX_SIZE || memcmp(text.buf, head, len) != 0)
        return false;
    memcpy(out, text.buf + len, SHA256_HEX_SIZE - 1);
    out[SHA256_HEX_SIZE - 1] = '\0';
    return true;
}

static void forget_if_many(int cache_fd)
{
    struct dirent **names = NULL;
    int n = scandirat(cache_fd, ".", &names, NULL, NULL);
    for (int i = 0; i < n; i++) {
        if (n > ENTRIES_MAX && names[i]->d_name[0] != '.')
            (void)unlinkat(cache_fd, names[i]->d_name, 0);
        free(names[i]);
    }
    free(names);
}

/* Best effort: a file that is not remembered is hashed again. */
static void remember(const struct file_id *id, const char *sha256, int cache_fd)
{
    char name[NAME_SIZE], line[LINE_SIZE];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (cache_fd < 0 || clock_ns(now) - id->ctime_ns < pinned_settled_ns)
        return;
    forget_if_many(cache_fd);
    entry_name(id, name);
    entry_line(id, sha256, line);
    (void)file_write_new(cache_fd, name, line, strlen(line), 0600, NULL);
}

/* ---- checking ---- */

static int wrong(const struct pinned *p, const char *path, const char *found, struct error *err)
{
    return error_set(err, ERR_CONFIG, 0,
                     "%s %s is not the pinned one: its sha256 is %s, the pin is %s; next: find out "
                     "who changed it, and build or install it again",
                     p->what, path, found, p->sha256);
}

static int hash(const struct pinned *p, const char *path, int fd, const struct deadline *d,
                char out[static SHA256_HEX_SIZE], struct error *err)
{
    struct stat st;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "read %s", path);
    if (sha256_fd(fd, path, d, out, err) < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", path);
    struct file_id after = id_of(&st);
    if (!same(&after, &p->id))
        return error_set(err, ERR_IO, 0, "%s %s changed while it was checked", p->what, path);
    return 0;
}

int pinned_check(struct pinned *p, int fd, const char *path, int cache_fd, const struct deadline *d,
                 struct error *err)
{
    char found[SHA256_HEX_SIZE];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s %s", p->what, path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_CONFIG, 0, "%s %s is not a file", p->what, path);
    if (trusted_fd(fd, path, p->what, err) < 0)
        return -1;
    p->id = id_of(&st);
    if (!p->sha256[0])
        return 0;
    if (!recall(&p->id, cache_fd, found)) {
        if (hash(p, path, fd, d, found, err) < 0)
            return -1;
        remember(&p->id, found, cache_fd);
    }
    return str_eq(found, p->sha256) ? 0 : wrong(p, path, found, err);
}

enum pinned_state pinned_look(const struct pinned *p, const char *path, int cache_fd,
                              struct error *err)
{
    char found[SHA256_HEX_SIZE];
    struct stat st;
    if (!p->sha256[0])
        return PINNED_NONE;
    if (stat(path, &st) < 0)
        return PINNED_UNKNOWN;
    struct file_id id = id_of(&st);
    if (!recall(&id, cache_fd, found))
        return PINNED_UNKNOWN;
    if (str_eq(found, p->sha256))
        return PINNED_GOOD;
    (void)wrong(p, path, found, err);
    return PINNED_WRONG;
}

int pinned_unchanged(const struct pinned *p, int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s %s again", p->what, path);
    struct file_id now = id_of(&st);
    if (same(&now, &p->id))
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "%s %s changed between its check and its use; next: see who writes to it",
                     p->what, path);
}
