/* store.c: opens the state directory, and makes, finds and lists leases in it.
 *
 * A lease's directory is made under a temporary name, filled with mark, lock and first record, and
 * then renamed. It is removed in the reverse way: renamed first, then emptied. So under its real
 * name a lease is always complete. While a directory is made, the store's own lock keeps a sweep
 * away.
 *
 * A slug is a symbolic link whose text is the lease's id, because the kernel makes a link only if
 * its name is free. Names are resolved by the id, then by the slug's link, and last by reading all
 * records.
 */
#include "lease/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "lease/place.h"
#include "lease/priv.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/trusted.h"

/* A directory of another user can't be taken over, because that user may have prepared leases in
 * it. */
#define USE_ANOTHER "; next: set CRABBOX_FC_STATE_DIR to another directory"

#define RECORD "lease.json"

int store_default_path(char out[static PATH_MAX], struct error *err)
{
    const char *own = getenv("CRABBOX_FC_STATE_DIR");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int r;
    if (own && *own)
        r = str_format(out, PATH_MAX, "%s", own);
    else if (xdg && *xdg == '/')
        r = str_format(out, PATH_MAX, "%s/crabbox-fc", xdg);
    else if (home && *home == '/') {
        if (dir_check_home(home, err) < 0)
            return error_add_next(
                err, "set HOME to your own, or CRABBOX_FC_STATE_DIR to a place for leases");
        r = str_format(out, PATH_MAX, "%s/" STORE_BELOW_HOME, home);
    } else
        return error_set(err, ERR_CONFIG, 0,
                         "no state directory; next: set CRABBOX_FC_STATE_DIR to an absolute path");
    if (r < 0 || out[0] != '/')
        return error_set(err, ERR_CONFIG, 0,
                         "state directory \"%s\" is not an absolute path; next: set "
                         "CRABBOX_FC_STATE_DIR to one",
                         own ? own : "");
    return 0;
}

static int open_below(struct store *s, const char *name, bool create, struct error *err)
{
    if (create && mkdirat(s->fd, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "create %s/%s", s->path, name);
    int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s/%s",
                         s->path, name);
    return fd;
}

/* Checks the path before anything is made there. */
static int check_path(const char *path, struct error *err)
{
    /* The path is written between quotes in each lease's ssh_config. These characters can't be
     * escaped there, and ssh replaces "${NAME}" by a variable of its environment. */
    for (const char *p = path; *p; p++)
        if (*p == '"' || *p == '\\' || text_is_control(*p) || (*p == '$' && p[1] == '{'))
            return error_set(err, ERR_CONFIG, 0,
                             "the " STORE_WHAT
                             " %s has a quote, a backslash, \"${\" or a control character "
                             "in its path, which can't be written in ssh_config; next: set "
                             "CRABBOX_FC_STATE_DIR to another directory",
                             SHOWN(path));
    if (place_check(path, err) < 0 || trusted_way(NULL, path, STORE_WHAT, err) < 0)
        return -1;
    return place_check_closed(path, err);
}

/* Checks that files can be made in the directory or, if it does not exist, that it can be made. */
static int check_writable(const char *path, struct error *err)
{
    struct stat st;
    char at[PATH_MAX];
    (void)str_copy(at, sizeof at, path);
    while (stat(at, &st) < 0 && errno == ENOENT) {
        char *slash = strrchr(at, '/');
        if (!slash)
            return 0;
        slash[slash == at] = '\0';
    }
    if (faccessat(AT_FDCWD, at, W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    if (errno == EROFS)
        return error_set(err, ERR_ENV, 0,
                         "the " STORE_WHAT " %s is on a read-only filesystem; next: set "
                         "CRABBOX_FC_STATE_DIR to a directory on a writable disk",
                         SHOWN(path));
    return error_set(err, ERR_ENV, 0,
                     "the " STORE_WHAT " %s can't be used: %s is not writable; next: set "
                     "CRABBOX_FC_STATE_DIR to a directory that you may create",
                     SHOWN(path), SHOWN(at));
}

/* Checks the directory before a lease is made. */
static int check_place(const char *path, struct error *err)
{
    struct stat st;
    if (check_path(path, err) < 0)
        return -1;
    if (stat(path, &st) == 0 && dir_check_private(&st, path, err) < 0)
        return error_append(err, USE_ANOTHER);
    return check_writable(path, err);
}

int store_check(const char *path, struct error *err)
{
    if (check_place(path, err) < 0)
        return -1;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "open %s", path);
    return trusted_path(NULL, path, STORE_WHAT, err) < 0 || place_claim(fd, path, false, err) < 0
               ? -1
               : 0;
}

/* What the store is opened for. Only a new lease (TO_MAKE) needs a disk that can be written. */
enum purpose { TO_LOOK, TO_WORK, TO_MAKE };

static int open_all(struct store *s, const char *path, const struct lease_kind *const *kinds,
                    enum purpose purpose, struct error *err)
{
    const bool create = purpose != TO_LOOK;
    s->kinds = kinds;
    if (str_copy(s->path, sizeof s->path, path) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "state directory");
    /* This is checked before anything is made there, and again afterwards. */
    if ((purpose == TO_MAKE ? check_place : check_path)(path, err) < 0)
        return -1;
    if (create) {
        if ((s->fd = dir_open_private(path, err)) < 0)
            return error_append(err, USE_ANOTHER);
    } else if ((s->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    if (trusted_path(NULL, path, STORE_WHAT, err) < 0)
        return -1;
    int claimed = place_claim(s->fd, path, create, err);
    if (claimed < 0)
        return -1;
    s->unmarked = claimed > 0;
    if ((s->leases_fd = open_below(s, "leases", create, err)) < 0 ||
        (s->slugs_fd = open_below(s, "slugs", create, err)) < 0 ||
        (s->logs_fd = open_below(s, "logs", create, err)) < 0)
        return -1;
    s->verified_fd = open_below(s, "verified", create, create ? err : NULL);
    return s->verified_fd < 0 && create ? -1 : 0;
}

static int open_or_close(struct store *s, const char *path, const struct lease_kind *const *kinds,
                         enum purpose purpose, struct error *err)
{
    *s = (struct store)STORE_INIT;
    if (open_all(s, path, kinds, purpose, err) == 0)
        return 0;
    store_close(s);
    return -1;
}

int store_open(struct store *s, const char *path, const struct lease_kind *const *kinds,
               struct error *err)
{
    return open_or_close(s, path, kinds, TO_MAKE, err);
}

int store_open_if_there(struct store *s, const char *path, const struct lease_kind *const *kinds,
                        struct error *err)
{
    struct stat st;
    *s = (struct store)STORE_INIT;
    if (place_may_have_leases(path))
        return open_or_close(s, path, kinds, TO_WORK, err);
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return error_set(err, ERR_CONFIG, 0, "the " STORE_WHAT " %s is not a directory" USE_ANOTHER,
                         SHOWN(path));
    s->kinds = kinds;
    return str_copy(s->path, sizeof s->path, path);
}

int store_open_existing(struct store *s, const char *path, const struct lease_kind *const *kinds,
                        struct error *err)
{
    return open_or_close(s, path, kinds, TO_LOOK, err);
}

void store_close(struct store *s)
{
    CLOSE_FD(s->fd);
    CLOSE_FD(s->leases_fd);
    CLOSE_FD(s->slugs_fd);
    CLOSE_FD(s->logs_fd);
    CLOSE_FD(s->verified_fd);
}

void lease_handle_close(struct lease_handle *h)
{
    CLOSE_FD(h->dirfd);
    CLOSE_FD(h->lock_fd);
}

static int open_dir(struct store *s, const char *name, struct lease_handle *h, struct error *err)
{
    h->dirfd = openat(s->leases_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (h->dirfd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", h->path);
    if (place_check_dir(h->dirfd, h->path, err) == 0)
        return 0;
    CLOSE_FD(h->dirfd);
    return -1;
}

/* Only in checked builds: otherwise a lease is undone whatever has become of its record. */
static void check_move(struct lease_handle *h, const struct lease *l)
{
#ifdef CRABBOX_FC_CHECKED
    struct error err = ERROR_INIT;
    if (!lease_may_become(h->state, l->state))
        (void)error_set(&err, ERR_INTERNAL, 0, "the record of lease %s: %d becomes %s", l->id,
                        h->state, lease_state_name(l->state));
    if (error_is_set(&err) || lease_check(l, &err) < 0) {
        log_warn("%s", err.msg);
        abort();
    }
#endif
    h->state = (int)l->state;
}

int (*store_test_hook)(const struct lease *l, bool durable, struct error *err);

int store_save(struct lease_handle *h, const struct lease *l, bool durable, struct error *err)
{
    if (store_test_hook && store_test_hook(l, durable, err) < 0)
        return -1;
    check_move(h, l);
    _cleanup_json_ cJSON *j = lease_to_json(l);
    _cleanup_free_ char *text = json_print(j, true);
    int r = durable ? file_write_atomic(h->dirfd, RECORD, text, strlen(text), 0600, err)
                    : file_write_new(h->dirfd, RECORD, text, strlen(text), 0600, err);
    return r < 0 ? error_prefix(err, "lease %s", l->id) : 0;
}

int store_load(struct store *s, struct lease_handle *h, struct lease *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (file_read_at(h->dirfd, RECORD, LEASE_RECORD_MAX, &sb, err) < 0)
        return error_prefix(err, "%s", h->path);
    _cleanup_json_ cJSON *j = json_parse(sb.buf, sb.len, RECORD, err);
    if (!j || lease_from_json(j, s->kinds, out, err) < 0)
        return error_prefix(err, "%s/" RECORD, h->path);
    /* A copied directory must not act for the lease that it was copied from. */
    const char *name = strrchr(h->path, '/');
    if (!name || !str_eq(name + 1, out->id))
        return error_set(err, ERR_STATE, 0, "%s: the record in it is that of lease %s", h->path,
                         out->id);
    h->state = (int)out->state;
    return s->unmarked ? 0 : place_check_lease(h->dirfd, h->path, err);
}

/* Fills the new directory under its temporary name: lock taken, first record on disk. */
static int fill_new(struct store *s, const char *tmp, const struct lease *l, struct lease_handle *h,
                    struct error *err)
{
    if (mkdirat(s->leases_fd, tmp, 0700) < 0)
        return error_set(err, ERR_IO, errno, "create %s/leases/%s", s->path, tmp);
    if (open_dir(s, tmp, h, err) < 0 || place_mark_lease(h->dirfd, err) < 0)
        return -1;
    if ((h->lock_fd = lock_try(h->dirfd, LOCK, true, err)) < 0)
        return -1;
    return store_save(h, l, true, err);
}

int store_create(struct store *s, const struct lease *l, struct lease_handle *out,
                 struct error *err)
{
    char tmp[64];
    (void)str_format(tmp, sizeof tmp, NEW_DIR "%s", l->id);
    *out = (struct lease_handle)LEASE_HANDLE_INIT;
    struct deadline d = deadline_in_ms(60000);
    /* Keeps a sweep from removing the directory before its own lock is held. */
    _cleanup_close_ int guard = lock_wait(s->fd, LOCK, true, &d, err);
    if (guard < 0)
        return -1;
    (void)str_format(out->path, sizeof out->path, "%.3900s/leases/%s", s->path, l->id);
    int r = fill_new(s, tmp, l, out, err);
    if (r == 0 && renameat2(s->leases_fd, tmp, s->leases_fd, l->id, RENAME_NOREPLACE) < 0)
        r = error_set(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno, "create lease %s", l->id);
    bool named = r == 0;
    if (r == 0)
        r = dir_sync(s->leases_fd, l->id, err);
    if (r < 0) {
        lease_handle_close(out);
        (void)(named ? store_remove(s, l->id, NULL) : dir_remove_tree(s->leases_fd, tmp, NULL));
    }
    return r;
}

/* Whether the lease certainly has no directory any more. */
static bool is_gone(struct store *s, const char *id)
{
    return faccessat(s->leases_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int store_open_lease(struct store *s, const char *id, const struct deadline *d,
                     struct lease_handle *out, struct error *err)
{
    *out = (struct lease_handle)LEASE_HANDLE_INIT;
    if (!lease_id_valid(id))
        return error_set(err, ERR_NOT_FOUND, 0, "\"%s\" is not a lease id", id);
    (void)str_format(out->path, sizeof out->path, "%.3900s/leases/%s", s->path, id);
    if (open_dir(s, id, out, err) < 0)
        return -1;
    if (d && (out->lock_fd = lock_wait(out->dirfd, LOCK, true, d, err)) < 0) {
        lease_handle_close(out);
        return error_prefix(err, "lease %s", id);
    }
    /* The holder we waited for may have been removing the lease. */
    if (d && is_gone(s, id)) {
        lease_handle_close(out);
        return error_set(err, ERR_NOT_FOUND, 0, "lease %s is gone", id);
    }
    return 0;
}

int store_remove(struct store *s, const char *id, struct error *err)
{
    char del[64];
    (void)str_format(del, sizeof del, DEL_DIR "%s", id);
    if (renameat(s->leases_fd, id, s->leases_fd, del) < 0 && errno != ENOENT)
        return error_set(err, ERR_IO, errno, "remove lease %s", id);
    return dir_remove_tree(s->leases_fd, del, err);
}

int store_remove_rest(struct store *s, const char *id, const struct deadline *d, struct error *err)
{
    static const char *const prefixes[] = {NEW_DIR, DEL_DIR};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        char name[64];
        (void)str_format(name, sizeof name, "%s%s", prefixes[i], id);
        _cleanup_close_ int dir = openat(s->leases_fd, name,
                                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
            continue;
        struct error e = ERROR_INIT;
        _cleanup_close_ int lock = lock_wait(dir, LOCK, false, d, &e);
        if (lock < 0 && e.sys != ENOENT) {
            *err = e;
            return -1;
        }
        if (dir_remove_tree(s->leases_fd, name, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- slugs ---- */
int store_claim_slug(struct store *s, const char *slug, const char *id, struct error *err)
{
    char holder[64] = "";
    if (symlinkat(id, s->slugs_fd, slug) == 0)
        return 0;
    if (errno != EEXIST)
        return error_set(err, ERR_IO, errno, "claim slug %s", slug);
    ssize_t n = readlinkat(s->slugs_fd, slug, holder, sizeof holder - 1);
    holder[n > 0 ? n : 0] = '\0';
    if (str_eq(holder, id))
        return 0;
    return error_set(err, ERR_EXISTS, 0,
                     "slug \"%s\" is taken by lease %s; next: choose another --slug, or "
                     "crabbox-fc stop %s",
                     slug, holder, slug);
}

int store_drop_slug(struct store *s, const char *slug, const char *id, struct error *err)
{
    char holder[64] = "";
    if (!*slug)
        return 0;
    ssize_t n = readlinkat(s->slugs_fd, slug, holder, sizeof holder - 1);
    if (n < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "read slug %s", slug);
    holder[n] = '\0';
    return str_eq(holder, id) ? file_unlink(s->slugs_fd, slug, err) : 0;
}

/* ---- list and look-up ---- */
/* Whether the error may go away: other processes use up memory or descriptors at the moment, or the
 * disk does not answer. */
static bool may_pass(int sys)
{
    return sys == ENOMEM || sys == EMFILE || sys == ENFILE || sys == EAGAIN || sys == EINTR ||
           sys == EIO;
}

static void load_entry(struct store *s, const char *name, struct lease_entry *e)
{
    struct error err = ERROR_INIT;
    struct lease_handle h = LEASE_HANDLE_INIT;
    (void)str_copy(e->id, sizeof e->id, name);
    (void)str_format(h.path, sizeof h.path, "%.3900s/leases/%.100s", s->path, name);
    if (!lease_id_valid(name))
        (void)error_set(&err, ERR_STATE, 0, "%s: not a lease directory", h.path);
    else if (open_dir(s, name, &h, &err) == 0)
        (void)store_load(s, &h, &e->lease, &err);
    e->broken = error_is_set(&err);
    e->passing = e->broken && may_pass(err.sys);
    (void)str_format(e->reason, sizeof e->reason, "%.500s", err.msg);
    e->locked = h.dirfd >= 0 && lock_may_be_held(h.dirfd, LOCK);
    e->in_use = h.dirfd >= 0 && lock_may_be_held(h.dirfd, LEASE_USE);
    lease_handle_close(&h);
}

int store_entry(struct store *s, const char *id, struct lease_entry *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    load_entry(s, id, out);
    if (out->broken && is_gone(s, id))
        return error_set(err, ERR_NOT_FOUND, 0, "lease %s is gone", id);
    return 0;
}

static int by_creation(const void *a, const void *b)
{
    const struct lease_entry *x = a, *y = b;
    if (x->lease.created_at != y->lease.created_at)
        return x->lease.created_at < y->lease.created_at ? -1 : 1;
    return strcmp(x->id, y->id);
}

int store_list(struct store *s, struct lease_entry **out, size_t *n, struct error *err)
{
    _cleanup_closedir_ DIR *d = dir_reopen(s->leases_fd);
    _cleanup_free_ struct lease_entry *all = NULL;
    size_t count = 0, room = 0;
    *out = NULL;
    *n = 0;
    if (s->leases_fd < 0)
        return 0;
    if (!d)
        return error_set(err, ERR_IO, errno, "read %s/leases", s->path);
    for (struct dirent *de; (de = dir_next(d));) {
        if (de->d_name[0] == '.')
            continue;
        if (count == room) {
            room = room ? room * 2 : 16;
            all = xrealloc(all, room * sizeof *all);
        }
        memset(&all[count], 0, sizeof *all);
        load_entry(s, de->d_name, &all[count]);
        /* Leave out a lease that was removed meanwhile: it is not a broken one. */
        if (all[count].broken && is_gone(s, de->d_name))
            continue;
        count++;
    }
    if (errno)
        return error_set(err, ERR_IO, errno, "read %s/leases", s->path);
    if (count)
        qsort(all, count, sizeof *all, by_creation);
    *out = TAKE_PTR(all);
    *n = count;
    return 0;
}

static bool nearest_slug(const struct lease_entry *all, size_t n, const char *ref,
                         char slug[static LEASE_SLUG_SIZE])
{
    _cleanup_free_ const char **names = xcalloc(n + 1, sizeof *names);
    size_t n_names = 0;
    for (size_t i = 0; i < n; i++)
        if (!all[i].broken)
            names[n_names++] = all[i].lease.slug;
    const char *near = *ref ? str_nearest(ref, names, n_names) : NULL;
    return near && str_copy(slug, LEASE_SLUG_SIZE, near) == 0;
}

bool store_nearest(struct store *s, const char *ref, char slug[static LEASE_SLUG_SIZE])
{
    _cleanup_free_ struct lease_entry *all = NULL;
    size_t n;
    return store_list(s, &all, &n, NULL) == 0 && nearest_slug(all, n, ref, slug);
}

/* Searches the records, for full names and for a lease that has lost its slug already because
 * undoing the rest of it failed. */
static int resolve_by_record(struct store *s, const char *ref, const char *slug,
                             char id[static LEASE_ID_SIZE], struct error *err)
{
    _cleanup_free_ struct lease_entry *all = NULL;
    char near[LEASE_SLUG_SIZE];
    size_t n;
    if (store_list(s, &all, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (!all[i].broken && (str_eq(all[i].lease.slug, slug) || str_eq(all[i].lease.name, ref)))
            return str_copy(id, LEASE_ID_SIZE, all[i].id);
    if (nearest_slug(all, n, ref, near))
        return error_set(err, ERR_NOT_FOUND, 0,
                         "no lease with id or slug \"%s\"; did you mean %s? next: crabbox-fc list",
                         ref, near);
    return error_set(err, ERR_NOT_FOUND, 0,
                     "no lease with id or slug \"%s\"; next: crabbox-fc list", ref);
}

int store_resolve(struct store *s, const char *ref, char id[static LEASE_ID_SIZE],
                  struct error *err)
{
    struct stat st;
    char slug[LEASE_SLUG_SIZE] = "";
    char target[64];
    if (lease_id_valid(ref) && s->leases_fd >= 0) {
        if (fstatat(s->leases_fd, ref, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return str_copy(id, LEASE_ID_SIZE, ref);
        /* It may exist although it can't be looked at. "Not found" would count as removed. */
        if (errno != ENOENT)
            return error_set(err, ERR_IO, errno, "look at %s/leases/%s", s->path, ref);
    }
    if (lease_slug_normalise(ref, slug, NULL) == 0) {
        ssize_t n = readlinkat(s->slugs_fd, slug, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (n > 0 && lease_id_valid(target))
            return str_copy(id, LEASE_ID_SIZE, target);
    }
    return resolve_by_record(s, ref, slug, id, err);
}
