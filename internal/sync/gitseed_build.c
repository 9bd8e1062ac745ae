/* gitseed_build.c: the .git of the guest, made by git in a repository that has nothing of the
 * user's configuration or the repository's.
 *
 * That repository has the refs that gitseed_read took and an index of ours, and takes its objects
 * from the user's repository by an open directory. git runs there confined (gitbox.h). What it
 * lists is packed into one file. A shallow one has all commits up to HEAD with their tags, but of
 * the files only those of HEAD and of the index. In git's words that is a partial clone, and the
 * guest's configuration says so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/gitbox.h"
#include "sync/gitseed.h"
#include "sys/beneath.h"
#include "sys/file.h"

#define COMMITS_MAX 250000
enum {
    OID_SHA1 = 40,
    OID_MAX = 64,
    TAGS_MAX = 64 * 1024 * 1024,
    HEAD_SIZE = 4096,
    PIECE = 64 * 1024,
    ROOM_PIECE = 8 * 1024 * 1024 /* of the pack, between two looks whether there is room */
};

struct build {
    const struct gitseed *seed;
    const struct sync_store *store; /* the room */
    int work_fd, out_fd;            /* borrowed */
    const struct deadline *d;
    int objects_fd; /* owned */
    struct gitbox box;
    int list_fd; /* owned: the objects to pack, one a line */
};

static void cleanup_build(struct build *b)
{
    gitbox_close(&b->box);
    CLOSE_FD(b->objects_fd);
    CLOSE_FD(b->list_fd);
}

/* ---- the two directories ---- */

static int room(const struct build *b, size_t bytes, struct error *err)
{
    const struct sync_store *s = b->store;
    return s->room ? s->room(s->room_ctx, (int64_t)bytes, err) : 0;
}

static int put(int dirfd, const char *name, const void *text, size_t len, struct error *err)
{
    const char *slash = strrchr(name, '/');
    _cleanup_free_ char *dir = xasprintf("%.*s", slash ? (int)(slash - name) : 1,
                                         slash ? name : ".");
    _cleanup_close_ int at = beneath_mkdirs(dirfd, dir, 0755, NULL);
    _cleanup_close_ int fd = at < 0 ? -1
                                    : openat(at, slash ? slash + 1 : name,
                                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "write %s for the guest", name);
    return fd_write_all(fd, text, len, name, err);
}

static int put_text(int dirfd, const char *name, const char *text, struct error *err)
{
    return put(dirfd, name, text, strlen(text), err);
}

static int make_dirs(int dirfd, struct error *err)
{
    static const char *const names[] = {"objects/pack", "objects/info", "refs/heads", "refs/tags"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_close_ int fd = beneath_mkdirs(dirfd, names[i], 0755, NULL);
        if (fd < 0)
            return error_set(err, ERR_IO, errno, "make a directory for git");
    }
    return 0;
}

static const struct gitseed_file *find(const struct gitseed *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->files[i].name, name))
            return &s->files[i];
    return NULL;
}

/* The names of objects have 64 digits where the hash is SHA-256: those of all refs do. Without a
 * ref the index tells. */
static bool is_sha256(const struct gitseed *s)
{
    bool named = false;
    const struct gitseed_file *packed = find(s, "packed-refs");
    const char *line = packed ? packed->text.buf : "";
    while (*line == '#' && strchr(line, '\n'))
        line = strchr(line, '\n') + 1;
    if (strspn(line, "0123456789abcdef") == OID_MAX)
        return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct gitseed_file *f = &s->files[i];
        size_t digits = strspn(f->text.buf, "0123456789abcdef");
        if (!str_has_prefix(f->name, "refs/") && !str_eq(f->name, "HEAD"))
            continue;
        if (digits == OID_MAX)
            return true;
        named = named || digits == OID_SHA1;
    }
    return !named && !packed && s->hash == OID_MAX / 2;
}

static bool is_index(const char *name)
{
    return str_eq(name, "index") || str_has_prefix(name, "sharedindex.");
}

static void add_be32(struct strbuf *sb, uint32_t n)
{
    const unsigned char bytes[] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                   (unsigned char)(n >> 8), (unsigned char)n};
    strbuf_add(sb, bytes, sizeof bytes);
}

/* An index of ours with the objects of the repository's, under names of ours, in git's second
 * format. git trusts whoever made its index, so it never sees the repository's own. */
static int put_index(const struct build *b, struct error *err)
{
    const struct gitseed *s = b->seed;
    static const unsigned char zeros[OID_MAX / 2];
    _cleanup_strbuf_ struct strbuf x = STRBUF_INIT;
    if (!s->hash)
        return 0;
    if (s->hash != (is_sha256(s) ? OID_MAX : OID_SHA1) / 2)
        return error_set(err, ERR_SYNC, 0, "its index is of another format than its refs");
    size_t n = s->oids.len / s->hash;
    strbuf_adds(&x, "DIRC");
    add_be32(&x, 2);
    add_be32(&x, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        size_t start = x.len;
        for (int k = 0; k < 10; k++) /* no times and places, the mode of a file */
            add_be32(&x, k == 6 ? 0100644 : 0);
        strbuf_add(&x, s->oids.buf + i * s->hash, s->hash);
        strbuf_add(&x, "\0\x08", 2); /* the length of its name */
        strbuf_addf(&x, "%08zx", i);
        strbuf_add(&x, zeros, 8 - (x.len - start) % 8);
    }
    strbuf_add(&x, zeros, s->hash); /* no checksum */
    return room(b, x.len, err) < 0 ? -1 : put(b->work_fd, "index", x.buf, x.len, err);
}

/* Neither graph nor index over packs: both are the repository's word for what objects say, and the
 * second names files. */
static int make_work(const struct build *b, struct error *err)
{
    const struct gitseed *s = b->seed;
    _cleanup_free_ char *config = xasprintf(
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tcommitGraph = false\n"
        "\tmultiPackIndex = false\n[pack]\n\tuseBitmaps = false\n\treadReverseIndex = false\n"
        "\tthreads = 1\n\tcompression = 1\n[gc]\n\tauto = "
        "0\n%s",
        is_sha256(s) ? "[extensions]\n\tobjectFormat = sha256\n" : "");
    if (room(b, s->bytes, err) < 0 || make_dirs(b->work_fd, err) < 0 ||
        put_text(b->work_fd, "config", config, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n; i++) {
        const struct gitseed_file *f = &s->files[i];
        if (!is_index(f->name) && put(b->work_fd, f->name, f->text.buf, f->text.len, err) < 0)
            return -1;
    }
    return put_index(b, err);
}

/* ---- running git ---- */

#define GIT(b, out, err, ...)                                                                      \
    gitbox_run(&(b)->box, (const char *const[]){__VA_ARGS__, NULL}, (out), (err))

static int memory_file(struct error *err)
{
    int fd = memfd_create("git", MFD_CLOEXEC);
    return fd < 0 ? error_set(err, ERR_IO, errno, "make a file in memory") : fd;
}

static int read_back(int fd, size_t max, struct strbuf *out, struct error *err)
{
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "read what git printed");
    return fd_read_all(fd, max, "what git printed", out, err);
}

/* The commit of HEAD; "" before the first one. */
static int head_commit(const struct build *b, char out[static OID_MAX + 1], struct error *err)
{
    static const char *const args[] = {"rev-parse", "--verify", "-q", "HEAD", NULL};
    _cleanup_(gitbox_end) struct gitbox_work w = GITBOX_WORK_INIT;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    struct error e = ERROR_INIT;
    _cleanup_close_ int fd = memory_file(err);
    *out = '\0';
    if (fd < 0)
        return -1;
    if (gitbox_start(&b->box, args, -1, fd, &w, err) < 0)
        return -1;
    if (gitbox_finish(&b->box, &w, &e) < 0)
        return w.code == 1 ? 0 : error_set(err, e.kind, 0, "%s", e.msg);
    if (read_back(fd, HEAD_SIZE, &said, err) < 0)
        return -1;
    size_t len = strspn(said.buf, "0123456789abcdef");
    return str_format(out, OID_MAX + 1, "%.*s", (int)len, said.buf) < 0
               ? error_set(err, ERR_SYNC, 0, "git rev-parse printed no commit")
               : 0;
}

/* ---- what goes ---- */

/* Without the path of each: together they are as long as the square of how deep the directories
 * are, and git wants them only to search for deltas. */
#define OBJECTS "--objects", "--no-object-names", "--indexed-objects", "--missing=allow-any"

/* No others, packed or not: the stash and refs/original have what was never to leave. */
#define ALL_REFS     "--branches", "--remotes", "--tags"
#define ALL_REF_DIRS "refs/heads", "refs/remotes", "refs/tags"

/* All commits up to HEAD, and the objects of HEAD and the index. */
static int list_shallow(const struct build *b, struct error *err)
{
    char most[32];
    struct stat st;
    (void)str_format(most, sizeof most, "--max-count=%d", COMMITS_MAX + 1);
    if (GIT(b, b->list_fd, err, "rev-list", most, "HEAD") < 0)
        return -1;
    if (fstat(b->list_fd, &st) == 0 && st.st_size > (off_t)COMMITS_MAX * (OID_MAX + 1))
        return error_set(err, ERR_SYNC, 0, "the history has more than %d commits", COMMITS_MAX);
    return GIT(b, b->list_fd, err, "rev-list", OBJECTS, "--no-walk", "HEAD");
}

/* Before the first commit the index is all that a shallow one has. */
static int list_objects(const struct build *b, bool born, struct error *err)
{
    if (!born)
        return b->seed->how == SYNC_GIT_FULL
                   ? GIT(b, b->list_fd, err, "rev-list", OBJECTS, ALL_REFS)
                   : 0;
    return b->seed->how == SYNC_GIT_FULL
               ? GIT(b, b->list_fd, err, "rev-list", OBJECTS, ALL_REFS, "HEAD")
               : list_shallow(b, err);
}

/* The refs that the guest gets, which are also objects to pack: a tag may have one of its own. */
static int list_refs(const struct build *b, const char *head, struct error *err)
{
    static const char format[] = "--format=%(objectname) %(refname)";
    const struct gitseed *s = b->seed;
    _cleanup_strbuf_ struct strbuf refs = STRBUF_INIT;
    _cleanup_close_ int fd = memory_file(err);
    if (fd < 0)
        return -1;
    int r = s->how == SYNC_GIT_FULL
                ? GIT(b, fd, err, "for-each-ref", format, ALL_REF_DIRS)
                : GIT(b, fd, err, "for-each-ref", format, "--merged=HEAD", "refs/tags");
    if (r < 0 || read_back(fd, TAGS_MAX, &refs, err) < 0 ||
        fd_write_all(b->list_fd, refs.buf, refs.len, "the list for git", err) < 0 ||
        room(b, refs.len, err) < 0)
        return -1;
    if (*s->branch && s->how != SYNC_GIT_FULL)
        strbuf_addf(&refs, "%s %s\n", head, s->branch);
    return put(b->out_fd, "packed-refs", refs.buf, refs.len, err);
}

/* Piece by piece, because nobody knows before how long it gets: a few bytes of a repository can
 * stand for a file of any size. */
static int copy_pack(const struct build *b, int from, int to, struct error *err)
{
    const struct sync_limits limits = SYNC_LIMITS_DEFAULT; /* of what is sent */
    _cleanup_free_ char *piece = xcalloc(1, PIECE);
    int64_t all = 0, left = 0;
    struct pollfd p = {.fd = from, .events = POLLIN};
    for (;;) {
        if (deadline_poll(&p, 1, b->d, "git", err) < 0)
            return gitbox_failed("pack-objects", err);
        ssize_t n = read(from, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? 0 : error_set(err, ERR_IO, errno, "read from git");
        if ((all += n) > limits.max_bytes)
            return error_set(err, ERR_SYNC, 0, "its pack has more than %lld MiB",
                             (long long)(limits.max_bytes >> 20));
        if (left < n && room(b, ROOM_PIECE, err) < 0)
            return -1;
        left = (left < n ? ROOM_PIECE : left) - n;
        if (fd_write_all(to, piece, (size_t)n, "a pack for the guest", err) < 0)
            return -1;
    }
}

static int write_pack(const struct build *b, int out_fd, struct error *err)
{
    static const char *const args[] = {
        "pack-objects",        "-q", "--stdout", "--delta-base-offset", "--window=0",
        "--missing=allow-any", NULL};
    _cleanup_(gitbox_end) struct gitbox_work w = GITBOX_WORK_INIT;
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "make a pipe");
    _cleanup_close_ int read_end = p[0];
    int r = gitbox_start(&b->box, args, b->list_fd, p[1], &w, err);
    (void)close(p[1]);
    return r < 0 || copy_pack(b, read_end, out_fd, err) < 0 ? -1 : gitbox_finish(&b->box, &w, err);
}

static int pack(const struct build *b, struct error *err)
{
    _cleanup_free_ char *name = xasprintf("objects/pack/pack-%.40s.pack", b->seed->id);
    _cleanup_close_ int fd = openat(b->out_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    struct stat st;
    if (fd < 0 || fstat(b->list_fd, &st) < 0 || lseek(b->list_fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "make a pack for the guest");
    return st.st_size ? write_pack(b, fd, err) : unlinkat(b->out_fd, name, 0);
}

static int make_out(const struct build *b, struct error *err)
{
    const struct gitseed *s = b->seed;
    if (room(b, s->bytes, err) < 0)
        return -1;
    static const char *const same[] = {"HEAD", "shallow"};
    _cleanup_free_ char *config = xasprintf(
        "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = false\n"
        "\tlogallrefupdates = true\n%s%s%s",
        is_sha256(s) || s->how == SYNC_GIT_SHALLOW ? "[extensions]\n" : "",
        is_sha256(s) ? "\tobjectFormat = sha256\n" : "",
        s->how == SYNC_GIT_SHALLOW ? "\tpartialClone = origin\n" : "");
    for (size_t i = 0; i < s->n; i++) {
        const struct gitseed_file *f = &s->files[i];
        bool goes = is_index(f->name);
        for (size_t k = 0; k < ARRAY_LEN(same); k++)
            goes = goes || str_eq(f->name, same[k]);
        if (goes && put(b->out_fd, f->name, f->text.buf, f->text.len, err) < 0)
            return -1;
    }
    return put_text(b->out_fd, "config", config, err) < 0 ||
                   put_text(b->out_fd, "crabbox-fc", s->id, err) < 0
               ? -1
               : 0;
}

/* ---- from what ---- */

/* No link leads from the objects elsewhere, and to open one is not to wait for somebody who writes
 * to a FIFO, or to start a device. */
static int check_plain(int fd, const char *name, struct error *err)
{
    struct stat st;
    int dir_fd = beneath_open(fd, name, O_RDONLY | O_DIRECTORY, 0);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_SYNC, errno, "open the objects' %s", name);
    _cleanup_closedir_ DIR *d = fdopendir(dir_fd);
    if (!d) {
        error_fill(err, ERR_SYNC, errno, "list the objects' %s", name);
        CLOSE_FD(dir_fd);
        return -1;
    }
    for (struct dirent *e; (e = dir_next(d));)
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) &&
            !S_ISDIR(st.st_mode))
            return error_set(err, ERR_SYNC, 0, "its objects have the %s %s",
                             S_ISLNK(st.st_mode) ? "symbolic link" : "special file", e->d_name);
    return errno ? error_set(err, ERR_SYNC, errno, "list the objects' %s", name) : 0;
}

static int open_objects(struct build *b, struct error *err)
{
    const struct repo *r = b->seed->repo;
    b->objects_fd = beneath_open(r->common_fd, "objects", O_PATH | O_DIRECTORY, 0);
    if (b->objects_fd < 0)
        return error_set(err, ERR_SYNC, errno, "open %s/objects", r->git_dir);
    if (check_plain(b->objects_fd, ".", err) < 0 || check_plain(b->objects_fd, "pack", err) < 0)
        return -1;
    for (unsigned i = 0; i <= 0xff;
         i++) { /* an object of its own may be one of another repository */
        char name[3];
        (void)str_format(name, sizeof name, "%02x", i);
        if (check_plain(b->objects_fd, name, err) < 0)
            return -1;
    }
    return 0;
}

int gitseed_build(const struct gitseed *s, const struct sync_store *store, int work_fd, int out_fd,
                  const struct deadline *d, struct error *err)
{
    char head[OID_MAX + 1];
    _cleanup_(cleanup_build) struct build b = {.seed = s,
                                               .store = store,
                                               .work_fd = work_fd,
                                               .out_fd = out_fd,
                                               .d = d,
                                               .objects_fd = -1,
                                               .box = {.confine_fd = -1},
                                               .list_fd = -1};
    b.list_fd = memory_file(err);
    /* A tree at "/" holds every program. */
    const char *tree = str_eq(s->repo->top, "/") ? NULL : s->repo->top;
    if (b.list_fd < 0 || open_objects(&b, err) < 0 ||
        gitbox_open(&b.box, work_fd, b.objects_fd, tree, d, err) < 0 || make_work(&b, err) < 0 ||
        make_dirs(out_fd, err) < 0 || head_commit(&b, head, err) < 0 ||
        list_objects(&b, *head, err) < 0)
        return -1;
    if (*head && list_refs(&b, head, err) < 0)
        return -1;
    return pack(&b, err) < 0 ? -1 : make_out(&b, err);
}
