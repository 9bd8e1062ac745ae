#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/str.h"

#define LIST_MAX 8192

/* Loads one module; one that is loaded already is fine. */
static int load_one(int dir, const char *file, struct error *err)
{
    _cleanup_close_ int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open kernel module %s of the initrd", file);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "load kernel module %s", file);
    return 0;
}

/* Reads the whole list; it is ours and small. */
static int read_list(int dir, char *buf, size_t size, struct error *err)
{
    _cleanup_close_ int fd = openat(dir, "modules.list", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (n < 0)
        return error_set(err, ERR_IO, errno, "read modules.list of the initrd");
    buf[n] = '\0';
    return 0;
}

int modules_load(int dir, const char *stage, struct error *err)
{
    char list[LIST_MAX];
    size_t len = strlen(stage);
    if (read_list(dir, list, sizeof list, err) < 0)
        return -1;
    for (char *line = list, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (strncmp(line, stage, len) == 0 && line[len] == ' ' &&
            load_one(dir, line + len + 1, err) < 0)
            return -1;
    }
    return 0;
}
