#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

/* The guest writes its console, so it is cleaned unless --raw is given. Between headings each line
 * is marked as well, or the guest could add headings and whole logs. */
static int show(const struct options *o, int dirfd, const char *name, const char *mark,
                struct error *err)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == EAGAIN)
        return error_set(err, ERR_IO, 0,
                         "open %s: another process, the VMM for one, holds a file lease on it; "
                         "next: try again in a minute, or end the lease by crabbox-fc stop",
                         name);
    if (fd < 0)
        /* ENXIO: a socket, which is all that a VMM can put there. */
        return errno == ENOENT || errno == ENXIO ? 0
                                                 : error_set(err, ERR_IO, errno, "open %s", name);
    if (!o->console && out_line(err, "==> %s <==", name) < 0)
        return -1;
    off_t begin = logcap_begin(fd);
    if (begin > 0 && lseek(fd, begin, SEEK_SET) == begin &&
        out_line(err, "[at least %lld bytes were dropped: a log keeps only its end]",
                 (long long)begin) < 0)
        return -1;
    return out_file(fd, o->raw ? NULL : o->console ? "" : mark, err);
}

/* In the order in which they are shown: what was said before the many lines of run.json. */
static const struct {
    const char *name, *mark;
    bool of_failure; /* only kept of one: error.txt of a lease or a run, the others of a run */
} files[] = {
    {"error.txt", "", true},          {"results.txt", "", true},
    {"stdout.log", "stdout: ", true}, {"stderr.log", "stderr: ", true},
    {VMM_LOG, "vmm: ", false},        {VMM_CONSOLE_LOG, "console: ", false},
    {"environment.txt", "", true},    {"run.json", "", true},
};

int cmd_logs(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    bool failed;
    if (!ref)
        return error_set(
            err, ERR_USAGE, 0,
            "logs needs a lease or the id of a run that failed; next: crabbox-fc list");
    _cleanup_close_ int dirfd = store_open_logs(&in->ops.store, ref, &failed, err);
    if (dirfd < 0)
        return -1;
    const struct options *o = &in->opt;
    if (o->console)
        return show(o, dirfd, VMM_CONSOLE_LOG, "", err);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if ((failed || !files[i].of_failure) &&
            (show(o, dirfd, files[i].name, files[i].mark, err) < 0 ||
             (i == 0 && out_line(err, "%s", "") < 0)))
            return -1;
    return 0;
}
