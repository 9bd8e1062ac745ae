#include "testutil/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "sys/worktree.h"

char scratch_dir[PATH_MAX];
int scratch_fd = -1;

int scratch_open(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    assert_int_equal(
        str_format(scratch_dir, sizeof scratch_dir, "%s/scratch.XXXXXX", tmp ? tmp : "/tmp"), 0);
    assert_non_null(mkdtemp(scratch_dir));
    scratch_fd = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch_fd >= 0);
    return 0;
}

char *scratch_in(const char *text)
{
    struct strbuf sb = STRBUF_INIT;
    for (; *text; text++)
        if (*text == '%')
            strbuf_adds(&sb, scratch_dir);
        else
            strbuf_addc(&sb, *text);
    return strbuf_detach(&sb);
}

int scratch_close(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    CLOSE_FD(scratch_fd);
    assert_int_equal(dir_remove_tree(AT_FDCWD, scratch_dir, &err), 0);
    return 0;
}

void set_dir(const char *path)
{
    _cleanup_close_ int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    assert_int_equal(!path, fd < 0);
    assert_int_equal(worktree_set_dir(fd), 0);
}

void make_link(const char *target, const char *path)
{
    const struct timespec times[] = {{.tv_sec = 1}, {.tv_nsec = UTIME_OMIT}};
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

bool link_was_read(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_atim.tv_sec != 1;
}

void must(int r, const struct error *err)
{
    if (r < 0)
        fail_msg("%s", err->msg);
}

int run_program(const char *const *argv, struct strbuf *out)
{
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = argv;
    if (spawn_run(&spec, &d, 64 * 1024, out, NULL, &st, &err) < 0) {
        print_message("%s\n", err.msg);
        return -1;
    }
    return st.exited ? st.code : 128 + st.signal;
}
