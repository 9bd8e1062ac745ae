/* Paths that a repository prepared, and those that are the user's own. The test stands in a
 * directory of its own: repo/ is a hostile repository, what must not be reached lies beside it, in
 * away/, which is another. So what lies beside both is in no tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/beneath.h"
#include "sys/file.h"
#include "testutil/scratch.h"

#define USER 4321

struct fixture {
    char top[64];
    int cwd; /* where the test program stood */
};

static void put(const char *path, const char *text)
{
    struct error err = ERROR_INIT;
    if (file_write_new(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)umask(022);
    f->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)str_copy(f->top, sizeof f->top, "/tmp/beneath-test-XXXXXX");
    assert_non_null(mkdtemp(f->top));
    assert_return_code(chmod(f->top, 0755), errno);
    assert_return_code(chdir(f->top), errno);
    assert_int_equal(dir_make_all("repo/.git", 0755, NULL), 0);
    assert_int_equal(dir_make_all("repo/sub/real", 0755, NULL), 0);
    assert_int_equal(dir_make_all("away/.git", 0755, NULL), 0);
    put("away/secret", "secret");
    put("repo/plain", "plain");
    put("repo/sub/real/file", "file");
    assert_return_code(symlink("../away/secret", "repo/link"), errno);
    assert_return_code(symlink("../away", "repo/dirlink"), errno);
    assert_return_code(symlink("../away/none", "repo/dangling"), errno);
    assert_return_code(symlink("/proc/self/environ", "repo/magic"), errno);
    assert_return_code(symlink("plain", "repo/inside"), errno);
    assert_return_code(mkfifo("repo/fifo", 0600), errno);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    set_dir(NULL);
    (void)unsetenv("SUDO_UID");
    (void)unsetenv("SUDO_GID");
    assert_return_code(fchdir(f->cwd), errno);
    CLOSE_FD(f->cwd);
    assert_int_equal(dir_remove_tree(AT_FDCWD, f->top, NULL), 0);
    free(f);
    return 0;
}

static void at(const struct fixture *f, const char *dir)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", f->top, dir);
    assert_return_code(chdir(path), errno);
}

/* What is read, or why not: to be freed. */
static char *reads(const char *typed)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int fd = beneath_input("--x", typed, NULL, &err);
    if (fd < 0)
        return xstrdup(err.msg);
    assert_int_equal(fd_read_all(fd, 1 << 20, typed, &text, &err), 0);
    return xstrdup(text.buf ? text.buf : "");
}

static void assert_reads(const char *typed, const char *want)
{
    _cleanup_free_ char *got = reads(typed);
    assert_string_equal(got, want);
}

static void assert_refuses(const char *typed, const char *why)
{
    _cleanup_free_ char *got = reads(typed);
    if (!strstr(got, why) || !strstr(got, "--x"))
        fail_msg("%s: %s", typed, got);
}

/* The same of an absolute path, by its part below the test's directory. */
static void assert_reads_whole(const struct fixture *f, const char *below, const char *want)
{
    _cleanup_free_ char *typed = xasprintf("%s/%s", f->top, below);
    assert_reads(typed, want);
}

static void assert_refuses_whole(const struct fixture *f, const char *below, const char *why)
{
    _cleanup_free_ char *typed = xasprintf("%s/%s", f->top, below);
    assert_refuses(typed, why);
}

/* No link of the tree is followed: last, on the way, dangling, to a magic one or harmless, from
 * whatever directory of it and however it is written. */
static void test_links_of_a_tree(void **state)
{
    const struct fixture *f = *state;
    static const char *const links[] = {"link", "dirlink/secret", "dangling", "magic", "inside"};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        _cleanup_free_ char *above = xasprintf("../%s", links[i]);
        _cleanup_free_ char *whole = xasprintf("%s/repo/%s", f->top, links[i]);
        _cleanup_free_ char *winding = xasprintf("./sub//../%s", links[i]);
        _cleanup_free_ char *outside = xasprintf("repo/%s", links[i]);
        at(f, "repo");
        assert_refuses(links[i], "is a symbolic link in the working tree");
        assert_refuses(whole, "is a symbolic link in the working tree");
        assert_refuses(winding, "is a symbolic link in the working tree");
        at(f, "repo/sub");
        assert_refuses(above, "is a symbolic link in the working tree");
        at(f, "away");
        assert_refuses(whole, "is a symbolic link in the working tree");
        at(f, ".");
        assert_refuses(outside, "is a symbolic link in the working tree");
    }
    at(f, "repo");
    assert_refuses("dirlink/secret", "dirlink is a symbolic link");
    assert_reads("plain", "plain");
    assert_reads("sub/../plain", "plain");
    assert_reads("sub/real/file", "file");
    assert_refuses("none", "No such file");
    assert_refuses("", "empty");
}

/* What is said of a link speaks of a tree only where there is one: here the link came after the
 * look. */
static void test_link_outside_of_trees(void **state)
{
    const struct fixture *f = *state;
    struct error err = ERROR_INIT;
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    at(f, "away");
    assert_int_equal(dir_make_all("../plain", 0755, NULL), 0);
    assert_int_equal(beneath_find("--x", "../plain/new", &b, &err), 0);
    assert_false(b.in_tree);
    assert_return_code(symlink("../away", "../plain/new"), errno);
    assert_int_equal(beneath_failed(&b, ELOOP, &err), -1);
    assert_string_equal(err.msg, "--x ../plain/new: new is a symbolic link, and such a link may "
                                 "lead anywhere (this one to ../away); next: name the real path");
}

/* A directory is a tree without .git too: where one stands, or that of --dir. */
static void test_what_is_a_tree(void **state)
{
    const struct fixture *f = *state;
    at(f, "repo");
    assert_return_code(rmdir(".git"), errno);
    assert_refuses("link", "is a symbolic link in the working tree");
    at(f, ".");
    assert_refuses("repo/link", "is a symbolic link in the working tree"); /* below the cwd */
    at(f, "away");
    assert_reads_whole(f, "repo/link", "secret"); /* nothing says that it is one */
    set_dir("../repo");
    assert_refuses_whole(f, "repo/link", "is a symbolic link in the working tree");
    set_dir(NULL);
    put("../repo/.git", "gitdir: elsewhere\n");
    assert_refuses_whole(f, "repo/link", "is a symbolic link in the working tree");
}

/* An archive has no .git to show where it ends. Whoever stands in one of its directories reaches
 * the rest of it by ".." or by whole paths, and its links are not followed. */
static void test_archive(void **state)
{
    const struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    at(f, ".");
    assert_int_equal(dir_make_all("archive/sub/deep", 0755, NULL), 0);
    put("archive/file", "plain");
    assert_return_code(symlink("../away/secret", "archive/log"), errno);
    assert_return_code(symlink("../away/none", "archive/dangling"), errno);
    assert_return_code(symlink("../away", "archive/dir"), errno);
    at(f, "archive/sub");
    assert_refuses("../log", "log is a symbolic link in the working tree");
    assert_refuses("../dir/secret", "dir is a symbolic link in the working tree");
    assert_refuses("deep/../../log", "log is a symbolic link in the working tree");
    assert_refuses_whole(f, "archive/log", "is a symbolic link in the working tree");
    assert_refuses_whole(f, "archive/dir/secret", "is a symbolic link in the working tree");
    assert_reads("../file", "plain");
    assert_int_equal(beneath_output("--x", "../dangling", &err), -1);
    assert_non_null(strstr(err.msg, "dangling is a symbolic link in the working tree"));
    assert_int_equal(stat("../../away/none", &st), -1);
    bool others = false;
    _cleanup_close_ int fd = beneath_input("--x", "../file", &others, &err);
    assert_true(fd >= 0 && others);
    /* Where the tree is known, what lies beside it is not of it; a link is refused all the same. */
    at(f, "away");
    assert_refuses("../archive/log", "log is a symbolic link, and such a link may lead anywhere");
    /* Around the directory that --dir names as well. */
    _cleanup_free_ char *link = xasprintf("%s/archive/log", f->top);
    _cleanup_free_ char *sub = xasprintf("%s/archive/sub", f->top);
    assert_return_code(chdir("/"), errno);
    _cleanup_close_ int followed = beneath_input("--x", link, NULL, &err);
    assert_return_code(followed, errno);
    set_dir(sub);
    assert_refuses_whole(f, "archive/log", "is a symbolic link in the working tree");
}

/* As "$PWD/../x" is written, and as a relative path in a flag of the configuration is joined. */
static void test_up_from_a_tree(void **state)
{
    const struct fixture *f = *state;
    static const char *const ways[] = {"away/../side", "away/sub/../../side", "repo/sub/../../side",
                                       "side/../away/../side", "away/gone/../../side"};
    at(f, "away");
    assert_int_equal(dir_make_all("sub", 0755, NULL), 0);
    assert_int_equal(dir_make_all("../side/dir", 0755, NULL), 0);
    put("../side/file", "plain");
    assert_return_code(symlink("../away/secret", "../side/log"), errno);
    assert_return_code(symlink("../away", "../side/away"), errno);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        _cleanup_free_ char *log = xasprintf("%s/log", ways[i]);
        _cleanup_free_ char *deep = xasprintf("%s/away/secret", ways[i]);
        _cleanup_free_ char *file = xasprintf("%s/file", ways[i]);
        assert_refuses_whole(f, log, "log is a symbolic link, and such a link may lead anywhere");
        assert_refuses_whole(f, deep, "away is a symbolic link");
        assert_reads_whole(f, file, "plain");
    }
    assert_reads_whole(f, "side/log", "secret");
    assert_reads_whole(f, "side/dir/../log", "secret"); /* up, but not from a tree */
    bool others = true;
    _cleanup_free_ char *file = xasprintf("%s/away/../side/file", f->top);
    _cleanup_close_ int fd = beneath_input("--x", file, &others, NULL);
    assert_true(fd >= 0 && !others);
}

/* The user's own links are followed, into a tree too, but not on from there. */
static void test_links_of_the_user(void **state)
{
    const struct fixture *f = *state;
    at(f, "away");
    _cleanup_free_ char *deep = xasprintf("%s/repo/sub/../dirlink", f->top);
    assert_int_equal(dir_make_all("mine", 0755, NULL), 0);
    assert_return_code(symlink("away/secret", "../mine-file"), errno);
    assert_return_code(symlink("away/../repo", "../mine-repo"), errno);
    assert_return_code(symlink(deep, "../mine-deep"), errno);
    assert_return_code(symlink("loop", "../loop"), errno);
    assert_reads_whole(f, "mine-file", "secret");
    assert_reads_whole(f, "mine-repo/plain", "plain");
    assert_refuses_whole(f, "mine-repo/link", "link is a symbolic link in the working tree");
    assert_refuses_whole(f, "mine-deep/secret", "dirlink is a symbolic link in the working tree");
    assert_refuses_whole(f, "loop", "Too many levels");
    assert_refuses("../mine-file", "mine-file is a symbolic link"); /* not by a relative path */
    /* The directory itself reached through a link: the shell's word for it does not matter. */
    assert_return_code(chdir("../mine-repo"), errno);
    assert_reads("plain", "plain");
    assert_refuses("link", "is a symbolic link in the working tree");
}

/* ".." behind a link is above where the link leads, for the kernel and the shell: not opened as if
 * the link were a directory. */
static void test_up_from_a_link(void **state)
{
    const struct fixture *f = *state;
    static const char *const typed[] = {
        "lnk/../f",          "./deep/..//lnk/../f",       "lnk/up/../../f",
        "../links/lnk/../f", "deep/../../links/lnk/../f", "around/../f"};
    at(f, ".");
    assert_int_equal(dir_make_all("links/real/deep/up", 0755, NULL), 0);
    assert_int_equal(dir_make_all("links/deep", 0755, NULL), 0);
    put("links/f", "the wrong one");
    put("links/real/f", "the right one");
    assert_return_code(symlink("real/deep", "links/lnk"), errno);
    assert_return_code(symlink("lnk/../f", "links/around"), errno);
    at(f, "away");
    assert_refuses_whole(f, "links/around", "\"..\" follows the symbolic link lnk");
    at(f, "links");
    for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
        _cleanup_free_ char *whole = xasprintf("%s/links/%s", f->top, typed[i]);
        assert_refuses(typed[i], "\"..\" follows the symbolic link");
        assert_refuses(whole, "\"..\" follows the symbolic link");
    }
    assert_reads("deep/../f", "the wrong one");
    assert_reads("real/deep/up/../../f", "the right one");
}

static void be_root_by_sudo(void)
{
    assert_return_code(setenv("SUDO_UID", "4321", 1), errno);
    assert_return_code(setenv("SUDO_GID", "4321", 1), errno);
}

/* Another user's link where everybody may write leads nowhere, whatever the kernel is set to. */
static void test_link_of_another(void **state)
{
    const struct fixture *f = *state;
    if (geteuid() != 0)
        skip();
    at(f, ".");
    assert_return_code(mkdir("open", 0700), errno);
    assert_return_code(chmod("open", 01777), errno);
    assert_return_code(symlink("../away/secret", "open/theirs"), errno);
    assert_return_code(symlink("../away/secret", "open/ours"), errno);
    assert_return_code(lchown("open/theirs", USER, USER), errno);
    at(f, "away");
    assert_refuses_whole(f, "open/theirs",
                         "open/theirs is a symbolic link of another user (uid 4321)");
    assert_reads_whole(f, "open/ours", "secret");
    /* Without the sticky bit ours may be replaced as well, and so may what a group can write. */
    assert_return_code(chmod("../open", 0777), errno);
    assert_refuses_whole(f, "open/ours", "in a directory that others can write to");
    assert_return_code(chmod("../open", 0775), errno);
    assert_return_code(chown("../open", (uid_t)-1, USER), errno);
    assert_refuses_whole(f, "open/ours", "in a directory that others can write to");
    assert_return_code(chmod("../open", 0755), errno);
    assert_reads_whole(f, "open/ours", "secret");
}

/* A tree whose owner has just taken its .git away is still not ours. */
static void test_link_in_the_directory_of_another(void **state)
{
    const struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct beneath b;
    if (geteuid() != 0)
        skip();
    at(f, "repo");
    assert_return_code(rmdir(".git"), errno);
    assert_return_code(chown(".", USER, USER), errno);
    _cleanup_free_ char *whole = xasprintf("%s/repo/dirlink", f->top);
    at(f, "repo/sub");
    assert_refuses("../link", "link is a symbolic link in the working tree");
    at(f, "away");
    assert_refuses_whole(f, "repo/link",
                         "repo/link is a symbolic link in a directory of another user (uid 4321)");
    assert_int_equal(beneath_find("--x", whole, &b, &err), -1);
    assert_non_null(strstr(err.msg, "in a directory of another user"));
    assert_reads("../repo/plain", "plain");
    assert_return_code(lchown("../repo/link", USER, USER), errno);
    assert_refuses_whole(f, "repo/link", "repo/link is a symbolic link of another user");
}

/* Root by sudo follows no link of the caller's, wherever it leads: with a file like
 * /proc/PID/uid_map, in a directory that is the caller's, root can do more than the caller. */
static void test_link_of_the_sudo_caller(void **state)
{
    const struct fixture *f = *state;
    if (geteuid() != 0)
        skip();
    at(f, ".");
    assert_int_equal(dir_make_all("home", 0755, NULL), 0);
    assert_int_equal(dir_make_all("data", 0755, NULL), 0);
    put("data/file", "theirs");
    assert_return_code(symlink("../data", "home/data"), errno);
    assert_return_code(symlink("../away/secret", "home/root"), errno);
    assert_return_code(chown("home", USER, USER), errno);
    assert_return_code(chown("data", USER, USER), errno);
    assert_return_code(lchown("home/data", USER, USER), errno);
    at(f, "away");
    assert_refuses_whole(f, "home/data/file", "of another user");
    be_root_by_sudo();
    assert_refuses_whole(f, "home/data/file", "which root does not follow (uid 4321)");
    assert_refuses_whole(f, "home/root", "which root does not follow (uid 4321)");
    assert_refuses_whole(f, "home/data/../root", "\"..\" follows the symbolic link");
    assert_return_code(lchown("../home/data", 0, 0), errno);
    assert_refuses_whole(f, "home/data/file", "which root does not follow (uid 4321)");
    assert_return_code(chown("../home", 0, 0), errno);
    assert_reads_whole(f, "home/data/file", "theirs");
    /* Theirs where everybody may write is no other. */
    at(f, ".");
    assert_return_code(mkdir("open", 0700), errno);
    assert_return_code(chmod("open", 01777), errno);
    assert_return_code(symlink("../away/secret", "open/theirs"), errno);
    assert_return_code(lchown("open/theirs", USER, USER), errno);
    at(f, "away");
    assert_refuses_whole(f, "open/theirs", "which root does not follow (uid 4321)");
}

/* Where a relative path begins does not hang on what the names of the directories above stand for:
 * here they lead into another file system that was put over them. */
static void test_relative_path_begins_where_we_stand(void **state)
{
    const struct fixture *f = *state;
    at(f, "repo/sub");
    if (mount("none", f->top, "tmpfs", 0, "size=64k") < 0)
        skip();
    _cleanup_free_ char *above = reads("../plain");
    _cleanup_free_ char *here = reads("real/file");
    _cleanup_free_ char *link = reads("../link");
    assert_return_code(umount(f->top), errno);
    assert_string_equal(above, "plain");
    assert_string_equal(here, "file");
    assert_non_null(strstr(link, "is a symbolic link in the working tree"));
}

static void assert_others(const char *typed, bool want)
{
    bool others = !want;
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = beneath_input("--x", typed, &others, &err);
    assert_true(fd >= 0);
    assert_int_equal(others, want);
}

/* Whose words an input is. */
static void test_input_of_others(void **state)
{
    const struct fixture *f = *state;
    at(f, "repo");
    assert_others("plain", true);
    assert_others("../away/secret", true); /* a tree too */
    put("../secret", "of nobody's tree");
    assert_others("../secret", false);
    assert_others("/dev/null", false);
    assert_others("/dev/stdin", false);
    at(f, "repo/sub");
    assert_others("../plain", true);
    if (geteuid() != 0)
        return;
    assert_return_code(chown("../../secret", USER, USER), errno);
    assert_others("../../secret", true);
    be_root_by_sudo();
    assert_others("../../secret", false);
}

static void test_kinds_of_input(void **state)
{
    const struct fixture *f = *state;
    int pipefd[2];
    at(f, "repo");
    assert_refuses("fifo", "it is a FIFO, not a regular file");
    assert_refuses("sub", "it is a directory");
    assert_return_code(mknod("socket", S_IFSOCK | 0600, 0), errno);
    assert_refuses("socket", "it is a socket"); /* which can't be opened, like many a device */
    assert_refuses("/dev/zero", "it is a device");
    assert_reads("/dev/null", "");
    assert_return_code(pipe2(pipefd, O_CLOEXEC), errno);
    assert_int_equal(write(pipefd[1], "piped", 5), 5);
    CLOSE_FD(pipefd[1]);
    _cleanup_free_ char *dev = xasprintf("/dev/fd/%d", pipefd[0]);
    assert_reads(dev, "piped");
    CLOSE_FD(pipefd[0]);
    /* The same word out of the tree's mouth. */
    assert_return_code(symlink(dev, "fd"), errno);
    assert_refuses("fd", "is a symbolic link in the working tree");
}

/* ---- output ---- */

static int writes(const char *typed, struct error *err)
{
    *err = (struct error)ERROR_INIT;
    _cleanup_close_ int fd = beneath_output("--x", typed, err);
    return fd < 0 ? -1 : fd_write_all(fd, "new", 3, typed, err);
}

static void test_output(void **state)
{
    const struct fixture *f = *state;
    static const char *const links[] = {"link", "dirlink/new", "dangling", "magic", "inside"};
    struct error err;
    struct stat st;
    at(f, "repo");
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        assert_int_equal(writes(links[i], &err), -1);
        assert_non_null(strstr(err.msg, "is a symbolic link in the working tree"));
    }
    assert_reads("plain", "plain");
    assert_int_equal(stat("../away/none", &st), -1);
    assert_int_equal(stat("../away/new", &st), -1);
    assert_int_equal(writes("sub/made", &err), 0);
    assert_reads("sub/made", "new");
    put("long", "longer than that");
    assert_int_equal(writes("long", &err), 0);
    assert_reads("long", "new");
    assert_return_code(link("../away/secret", "hard"), errno);
    assert_int_equal(writes("hard", &err), 0);
    assert_reads("hard", "new");
    assert_reads("../away/secret", "secret");
    static const mode_t modes[] = {0600, 0640, 0755};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        assert_return_code(unlink("hard"), errno);
        assert_return_code(link("../away/secret", "hard"), errno);
        assert_return_code(chmod("hard", modes[i]), errno);
        assert_int_equal(writes("hard", &err), 0);
        assert_return_code(stat("hard", &st), errno);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        assert_int_equal(st.st_nlink, 1);
        assert_reads("../away/secret", "secret");
    }
    assert_int_equal(writes("none/x", &err), -1);
    assert_non_null(strstr(err.msg, "No such file"));
    assert_int_equal(writes("sub", &err), -1);
    assert_int_equal(writes("fifo", &err), -1);
    assert_non_null(strstr(err.msg, "without a reader"));
    assert_return_code(mknod("socket", S_IFSOCK | 0600, 0), errno);
    assert_int_equal(writes("socket", &err), -1);
    assert_non_null(strstr(err.msg, "it is a socket, not a regular file"));
    assert_int_equal(writes("/dev/null", &err), 0);
    _cleanup_close_ int reader = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(writes("fifo", &err), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_links_of_a_tree),
        TEST(test_what_is_a_tree),
        TEST(test_archive),
        TEST(test_up_from_a_tree),
        TEST(test_link_outside_of_trees),
        TEST(test_links_of_the_user),
        TEST(test_up_from_a_link),
        TEST(test_link_of_another),
        TEST(test_link_in_the_directory_of_another),
        TEST(test_link_of_the_sudo_caller),
        TEST(test_relative_path_begins_where_we_stand),
        TEST(test_input_of_others),
        TEST(test_kinds_of_input),
        TEST(test_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
