#include "guest/skel.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SKEL      "/etc/skel"
#define DEPTH_MAX 8
#define FILE_MAX  (1024u * 1024)

static int copy_dir(int root, const char *from, const char *to, struct owner owner, unsigned depth,
                    struct error *err);

static int copy_entry(int root, const char *from, const char *to, struct owner owner,
                      unsigned depth, struct error *err)
{
    struct stat st;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int fd = root_open(root, from, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return 0;
    if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
        if (root_mkdir(root, to, st.st_mode & 0777, owner, err) < 0)
            return -1;
        return copy_dir(root, from, to, owner, depth + 1, err);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return 0;
    if (root_read(root, from, FILE_MAX, &text, err) < 0)
        return -1;
    return root_write(root, to, text.buf, text.len, st.st_mode & 0777, owner, err);
}

static void cleanup_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

/* NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX ends it */
static int copy_dir(int root, const char *from, const char *to, struct owner owner, unsigned depth,
                    struct error *err)
{
    int fd = root_open(root, from, O_RDONLY | O_DIRECTORY, 0);
    _cleanup_(cleanup_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    if (!dir) {
        CLOSE_FD(fd);
        return 0;
    }
    while ((e = readdir(dir))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        _cleanup_free_ char *source = xasprintf("%s/%s", from, e->d_name);
        _cleanup_free_ char *target = xasprintf("%s/%s", to, e->d_name);
        if (copy_entry(root, source, target, owner, depth, err) < 0)
            return -1;
    }
    return 0;
}

int skel_copy(int root, const char *home, struct owner owner, struct error *err)
{
    return copy_dir(root, SKEL, home, owner, 0, err);
}
