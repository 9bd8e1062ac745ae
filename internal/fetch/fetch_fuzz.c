/* Archives as a guest may send them: whatever comes, nothing appears outside the directory, and no
 * symlink, device, setuid file or name that tools of the host obey in it. The first byte chooses
 * what was asked for. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "fetch/fetch.h"
#include "fetch/name.h"
#include "fetch/untar.h"
#include "sys/file.h"
#include "sys/spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir || depth > 200)
        abort();
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        if (name_obeyed(e->d_name, strlen(e->d_name)))
            abort();
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            abort();
        if (S_ISDIR(st.st_mode))
            check_tree(openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                       depth + 1);
        else if (!S_ISREG(st.st_mode) || (st.st_mode & 07000))
            abort();
    }
    (void)closedir(dir);
}

static int archive_fd(const uint8_t *data, size_t size)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return fd;
}

/* The directory lies in another, where nothing else may appear. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char top[PATH_MAX];
    static int top_fd = -1;
    static const char *const globs[] = {"**/*.xml", "out/*", NULL};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    if (size < 1)
        return 0;
    if (top_fd < 0) {
        const char *tmp = getenv("TMPDIR"); /* removed by whoever runs the fuzzers */
        if (str_format(top, sizeof top, "%s/fetch-XXXXXX", tmp ? tmp : "/tmp") < 0 || !mkdtemp(top))
            abort();
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (mkdirat(top_fd, "in", 0700) < 0)
        abort();
    int dirfd = openat(top_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = archive_fd(data + 1, size - 1);
    struct fetch_rules rules = {.dirfd = dirfd, .limits = {64, 1 << 20, 0}};
    if (data[0] & 1)
        rules.name = "wanted";
    else
        rules.globs = globs;
    struct child none = CHILD_INIT;
    int entries = memfd_create("entries", MFD_CLOEXEC);
    untar(fd, entries);
    (void)lseek(entries, 0, SEEK_SET);
    int r = unpack_entries(entries, &none, &rules, &res, &err);
    (void)close(entries);
    if ((r < 0) != error_is_set(&err) || res.n_files > 64)
        abort();
    (void)close(fd);
    check_tree(dirfd, 0);
    if (dir_remove_tree(top_fd, "in", &err) < 0)
        abort();
    int others = 0;
    DIR *dir = fdopendir(openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir)
        abort();
    while (readdir(dir))
        others++;
    (void)closedir(dir);
    if (others != 2)
        abort();
    return 0;
}
