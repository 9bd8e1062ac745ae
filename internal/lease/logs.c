/* logs.c: what is kept of leases and runs that failed, below logs/ of the state directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/store.h"
#include "sys/file.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

/* Of leases as many as of runs. */
enum { KEPT_LOGS = 20 };

#define RUN_PART "-run_"

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int is_of_run(const struct dirent *e)
{
    return no_dots(e) && strstr(e->d_name, RUN_PART) != NULL;
}

static int is_of_lease(const struct dirent *e)
{
    return no_dots(e) && !is_of_run(e);
}

/* Names begin with the time of the failure, so the oldest sort first. */
static void prune_logs(struct store *s, int (*filter)(const struct dirent *))
{
    struct dirent **names = NULL;
    int n = scandirat(s->logs_fd, ".", &names, filter, by_name);
    for (int i = 0; i < n; i++) {
        if (i < n - KEPT_LOGS)
            (void)dir_remove_tree(s->logs_fd, names[i]->d_name, NULL);
        free(names[i]);
    }
    free(names);
}

/* The directory of one failure, made if it is not there. */
static int make_dir(struct store *s, const char *name, const char *id, struct error *err)
{
    if (mkdirat(s->logs_fd, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "keep logs of %s", id);
    int fd = openat(s->logs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_set(err, ERR_IO, errno, "keep logs of %s", id) : fd;
}

int store_keep_logs(struct store *s, const struct lease_handle *h, const struct lease *l,
                    const char *reason, struct error *err)
{
    static const char *const files[] = {VMM_CONSOLE_LOG, VMM_LOG};
    char name[96];
    _cleanup_close_ int from = vmm_dir_open(h->dirfd, err);
    if (from < 0)
        return error_prefix(err, "keep logs of %s", l->id);
    (void)str_format(name, sizeof name, "%lld-%s-%s", (long long)clock_unix_s(), l->slug, l->id);
    _cleanup_close_ int dir = make_dir(s, name, l->id, err);
    if (dir < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (renameat(from, files[i], dir, files[i]) < 0 && errno != ENOENT)
            return error_set(err, ERR_IO, errno, "keep %s of %s", files[i], l->id);
        /* The log may have grown after the keeper last looked, and it is kept for a long time. */
        (void)logcap_apply(dir, files[i], NULL);
    }
    (void)file_write_new(dir, "error.txt", reason, strlen(reason), 0600, NULL);
    prune_logs(s, is_of_lease);
    return 0;
}

int store_make_bundle(struct store *s, const struct lease *l, const char *run_id,
                      char name[static STORE_BUNDLE_NAME_SIZE], struct error *err)
{
    if (str_format(name, STORE_BUNDLE_NAME_SIZE, "%lld-%s-%s-%s", (long long)clock_unix_s(),
                   l->slug, l->id, run_id) < 0)
        return error_set(err, ERR_INTERNAL, 0, "the name of a directory for logs is too long");
    int fd = make_dir(s, name, l->id, err);
    if (fd >= 0)
        prune_logs(s, is_of_run);
    return fd;
}

void store_log_end(const struct lease_handle *h, const char *name, size_t max, struct strbuf *out,
                   bool *cut)
{
    struct stat st;
    _cleanup_close_ int dir = vmm_dir_open(h->dirfd, NULL);
    _cleanup_close_ int fd =
        dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    off_t begin = logcap_begin(fd);
    if (st.st_size - begin > (off_t)max)
        begin = st.st_size - (off_t)max;
    *cut = begin > 0;
    char buf[4096];
    for (ssize_t n; out->len < max && (n = pread(fd, buf, sizeof buf, begin)) > 0; begin += n)
        strbuf_add(out, buf, (size_t)n < max - out->len ? (size_t)n : max - out->len);
}

/* <time>-<slug>-<id>, and of a run -<run id>, name it by each of the parts behind the first. */
static bool logs_match(const char *name, const char *ref)
{
    const char *slug = strchr(name, '-');
    const char *id = slug ? strstr(slug, "-cbx_") : NULL;
    if (!id)
        return false;
    const char *run = strstr(id, RUN_PART);
    size_t len = strlen(ref), slug_len = (size_t)(id - slug - 1);
    size_t id_len = run ? (size_t)(run - id - 1) : strlen(id + 1);
    return (run && str_eq(run + 1, ref)) || (len == id_len && memcmp(id + 1, ref, len) == 0) ||
           (len == slug_len && memcmp(slug + 1, ref, len) == 0);
}

int store_open_logs(struct store *s, const char *ref, bool *failed, struct error *err)
{
    char id[LEASE_ID_SIZE];
    *failed = false;
    int fd = -1;
    _cleanup_close_ int lease = -1;
    if (store_resolve(s, ref, id, NULL) == 0)
        lease = openat(s->leases_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (lease >= 0)
        return (fd = vmm_dir_open(lease, err)) < 0 ? error_prefix(err, "lease %s", ref) : fd;
    struct dirent **names = NULL;
    int n = scandirat(s->logs_fd, ".", &names, no_dots, by_name);
    for (int i = n; i-- > 0;) { /* the latest first */
        if (fd < 0 && logs_match(names[i]->d_name, ref))
            fd = openat(s->logs_fd, names[i]->d_name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        free(names[i]);
    }
    free(names);
    if (fd < 0 && str_has_prefix(ref, "run_"))
        return error_set(err, ERR_NOT_FOUND, 0,
                         "no logs of a run \"%s\" are in %s/logs: only a run that failed leaves "
                         "some, and those of the newest %d are kept",
                         ref, s->path, KEPT_LOGS);
    if (fd < 0)
        return error_set(
            err, ERR_NOT_FOUND, 0,
            "no logs of a lease \"%s\" are in %s/leases or %s/logs; next: crabbox-fc list", ref,
            s->path, s->path);
    *failed = true;
    return fd;
}
