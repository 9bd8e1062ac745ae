#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

/* The guest writes its console: control bytes other than tab and newline could drive the reader's
 * terminal and are shown as dots. */
static int copy_printable(int fd, struct error *err)
{
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        size_t kept = 0;
        for (ssize_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)chunk[i];
            if (c == '\r')
                continue;
            chunk[kept++] = (c < 32 && c != '\n' && c != '\t') || c == 127 ? '.' : (char)c;
        }
        if (fwrite(chunk, 1, kept, stdout) != kept)
            return error_set(err, ERR_IO, errno, "write to standard output");
    }
    return n < 0 ? error_set(err, ERR_IO, errno, "read log") : 0;
}

static int show(int dirfd, const char *name, bool heading, struct error *err)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "open %s", name);
    if (heading)
        printf("==> %s <==\n", name);
    off_t begin = logcap_begin(fd);
    if (begin > 0 && lseek(fd, begin, SEEK_SET) == begin)
        printf("[at least %lld bytes were dropped: a log keeps its end only]\n", (long long)begin);
    return copy_printable(fd, err);
}

int cmd_logs(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    bool failed;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "logs needs a lease; next: crabbox-fc list");
    _cleanup_close_ int dirfd = store_open_logs(&in->ops.store, ref, &failed, err);
    if (dirfd < 0)
        return -1;
    if (in->opt.console)
        return show(dirfd, VMM_CONSOLE_LOG, false, err);
    if (show(dirfd, "error.txt", true, err) < 0)
        return -1;
    if (failed)
        printf("\n");
    return show(dirfd, VMM_LOG, true, err) < 0 || show(dirfd, VMM_CONSOLE_LOG, true, err) < 0 ? -1
                                                                                              : 0;
}
