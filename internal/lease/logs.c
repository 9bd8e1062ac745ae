/* logs.c: the logs of leases that failed, kept below logs/ of the state directory. */
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

enum { KEPT_LOGS = 20 };

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Names begin with the time of the failure, so the oldest sort first. */
static void prune_logs(struct store *s)
{
    struct dirent **names = NULL;
    int n = scandirat(s->logs_fd, ".", &names, no_dots, by_name);
    for (int i = 0; i < n; i++) {
        if (i < n - KEPT_LOGS)
            (void)dir_remove_tree(s->logs_fd, names[i]->d_name, NULL);
        free(names[i]);
    }
    free(names);
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
    if (mkdirat(s->logs_fd, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "keep logs of %s", l->id);
    _cleanup_close_ int dir = openat(s->logs_fd, name,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return error_set(err, ERR_IO, errno, "keep logs of %s", l->id);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (renameat(from, files[i], dir, files[i]) < 0 && errno != ENOENT)
            return error_set(err, ERR_IO, errno, "keep %s of %s", files[i], l->id);
        /* The log may have grown after the keeper last looked, and it is kept for a long time. */
        (void)logcap_apply(dir, files[i], NULL);
    }
    (void)file_write_new(dir, "error.txt", reason, strlen(reason), 0600, NULL);
    prune_logs(s);
    return 0;
}

/* Whether `ref` is the slug or the id in a name of the form <time>-<slug>-<id>. */
static bool logs_match(const char *name, const char *ref)
{
    const char *rest = strchr(name, '-');
    const char *id = rest ? strstr(rest, "-cbx_") : NULL;
    if (!id)
        return false;
    size_t slug_len = (size_t)(id - rest - 1);
    return str_eq(id + 1, ref) || (strlen(ref) == slug_len && memcmp(rest + 1, ref, slug_len) == 0);
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
    if (fd < 0)
        return error_set(
            err, ERR_NOT_FOUND, 0,
            "no logs of a lease \"%s\" are in %s/leases or %s/logs; next: crabbox-fc list", ref,
            s->path, s->path);
    *failed = true;
    return fd;
}
