/* A tree whose owner moves it about while root lists and sends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/pack.h"
#include "sync/sync.h"
#include "sync/tree.h"
#include "sys/file.h"
#include "testutil/synckit.h"

#define GIT_INIT "git init -q -b main .; "

static int open_dir(const char *dir, const char *below)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, below);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s can't be opened", path);
    return fd;
}

static void assert_paths(const struct sync_list *l, const char *want)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    for (size_t i = 0; i < l->n_files; i++)
        strbuf_addf(&out, "%s\n", l->files[i].path);
    assert_string_equal(out.buf, want);
}

/* What the archive of a list holds, each file's text behind its name. */
static void assert_packed(const struct sync_list *l, const char *dir, const char *want)
{
    _cleanup_(pack_free) struct pack p;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_free_ char *tar = xasprintf("%s/t.tar", dir);
    struct error err = ERROR_INIT;
    char buf[8192];
    (void)unlink(tar);
    _cleanup_close_ int fd = open(tar, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (pack_init(&p, l, &err) < 0)
        fail_msg("%s", err.msg);
    for (ssize_t n; (n = pack_read(&p, buf, sizeof buf, &err)) != 0;) {
        if (n < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(fd_write_all(fd, buf, (size_t)n, tar, &err), 0);
    }
    synckit_sh(
        dir,
        "rm -rf got; mkdir got; tar -xf t.tar -C got; cd got; "
        "find . -type f | LC_ALL=C sort | while read -r f; do echo \"$f $(cat \"$f\")\"; done",
        &out);
    assert_string_equal(out.buf, want);
}

/* The directory that was opened is listed, wherever its name leads by then. */
static void test_exchanged_before_the_listing(void **state)
{
    (void)state;
    static const char *const trees[] = {":", GIT_INIT "cd sub"};
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        _cleanup_(cleanup_sync_list) struct sync_list all = {0};
        struct error err = ERROR_INIT;
        char name[] = "before0";
        name[6] = (char)('0' + i);
        _cleanup_free_ char *dir = synckit_make(
            &kit, name, "mkdir -p in/tree/sub secret/tree/sub; echo top >secret/tree/sub/key");
        _cleanup_free_ char *make = xasprintf("cd in/tree; echo fine >sub/key; %s", trees[i]);
        synckit_sh(dir, make, NULL);
        _cleanup_close_ int fd = open_dir(dir, i ? "in/tree/sub" : "in/tree");
        synckit_sh(dir, "mv in old; ln -s secret in", NULL);
        if (sync_scan(fd, NULL, NULL, NULL, &l, &err) < 0 ||
            sync_walk(fd, NULL, NULL, &all, &err) < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(l.name, "tree");
        assert_string_equal(l.subdir, i ? "sub" : "");
        assert_paths(&l, "sub/key\n");
        assert_packed(&l, dir, "./sub/key fine\n");
        assert_packed(&all, dir, i ? "./key fine\n" : "./sub/key fine\n");
    }
}

/* What is sent is what was listed. */
static void test_exchanged_after_the_listing(void **state)
{
    (void)state;
    static const char *const trees[] = {":", GIT_INIT "git add key"};
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        _cleanup_(cleanup_sync_list) struct sync_list all = {0};
        struct error err = ERROR_INIT;
        char name[] = "after0";
        name[5] = (char)('0' + i);
        _cleanup_free_ char *dir = synckit_make(
            &kit, name, "mkdir -p in/tree secret/tree; echo top >secret/tree/key");
        _cleanup_free_ char *make = xasprintf("cd in/tree; echo fine >key; %s", trees[i]);
        synckit_sh(dir, make, NULL);
        _cleanup_close_ int fd = open_dir(dir, "in/tree");
        if (sync_scan(fd, NULL, NULL, NULL, &l, &err) < 0)
            fail_msg("%s", err.msg);
        synckit_sh(dir, "rm -rf in/tree/.git", NULL);
        if (sync_walk(fd, NULL, NULL, &all, &err) < 0)
            fail_msg("%s", err.msg);
        synckit_sh(dir, "mv in old; ln -s secret in", NULL);
        assert_packed(&l, dir, "./key fine\n");
        assert_packed(&all, dir, "./key fine\n");
    }
}

/* Our own state is known by what it is, not by the name that it had. */
static void test_state_by_another_name(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "names",
        "mkdir -p own/leases tree/other tree/d/leases; touch own/key own/leases/key");
    _cleanup_free_ char *own = xasprintf("%s/own", dir);
    _cleanup_free_ char *other = xasprintf("%s/tree/other", dir);
    static const char *const trees[] = {":", GIT_INIT "git add -A", "git rm -q --cached -r ."};
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct error err = ERROR_INIT;
    limits.never = own;
    synckit_sh(dir, "echo fine >tree/d/key; echo fine >tree/d/leases/key", NULL);
    assert_return_code(mount(own, other, NULL, MS_BIND, NULL), errno);
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        _cleanup_free_ char *script = xasprintf("cd tree; %s", trees[i]);
        synckit_sh(dir, script, NULL);
        _cleanup_close_ int fd = open_dir(dir, "tree");
        int r = sync_scan(fd, NULL, &limits, NULL, &l, &err);
        if (r < 0)
            fail_msg("%s", err.msg);
        assert_paths(&l, "d/key\nd/leases/key\n");
    }
    _cleanup_close_ int below = open_dir(dir, "tree/other/leases");
    struct sync_list none = {0};
    assert_int_equal(sync_walk(below, &limits, NULL, &none, &err), -1);
    assert_non_null(strstr(err.msg, "never copied; next: name another directory"));
    CLOSE_FD(below);
    assert_return_code(umount2(other, MNT_DETACH), errno);
    /* It takes the place of a directory that was listed. */
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    _cleanup_close_ int fd = open_dir(dir, "tree");
    if (sync_walk(fd, &limits, NULL, &l, &err) < 0)
        fail_msg("%s", err.msg);
    synckit_sh(dir, "rm -rf tree/.git; mv tree/d ..; mv own tree/d; echo secret >tree/d/key", NULL);
    assert_packed(&l, dir, "");
    synckit_sh(dir, "rm -rf ../d", NULL);
}

/* The directories are walked to one by one, and those on the way held. */
static void test_parents(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "parents",
        "mkdir -p a/b/c a/bb ab; touch f a/f a/b/f a/b/c/f a/bb/f ab/f; ln -s a link");
    static const char *const paths[] = {"a/b/c/f", "a/f", "a/b/f", "a/bb/f", "ab/f",
                                        "f",       "a/f", "a/f",   "a/b/c/f"};
    static const struct {
        const char *path;
        int sys;
    } wrong[] = {{"link/f", ELOOP}, {"a/../f", EXDEV}, {"../f", EXDEV},
                 {"f/f", ENOTDIR},  {"a/x/f", ENOENT}, {"a//f", ENOENT}};
    const struct tree_id never = {0};
    struct tree t = TREE_INIT;
    struct stat here, want;
    const char *base;
    _cleanup_close_ int fd = open_dir(dir, ".");
    assert_int_equal(tree_init(&t, fd, &never, false), 0);
    for (size_t i = 0; i < ARRAY_LEN(paths) * ARRAY_LEN(wrong); i++) {
        const char *path = paths[i % ARRAY_LEN(paths)];
        int parent = tree_parent(&t, path, &base);
        assert_true(parent >= 0);
        assert_string_equal(base, "f");
        assert_int_equal(fstatat(parent, base, &here, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(fstatat(fd, path, &want, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(here.st_ino, want.st_ino);
        assert_int_equal(tree_parent(&t, wrong[i % ARRAY_LEN(wrong)].path, &base), -1);
        assert_int_equal(errno, wrong[i % ARRAY_LEN(wrong)].sys);
    }
    _cleanup_strbuf_ struct strbuf deep = STRBUF_INIT;
    for (int i = 0; i <= TREE_DEPTH_MAX; i++) {
        strbuf_adds(&deep, i ? "/d" : "d");
        (void)mkdirat(fd, deep.buf, 0755);
    }
    assert_true(tree_parent(&t, deep.buf, &base) >= 0);
    strbuf_adds(&deep, "/f");
    assert_int_equal(tree_parent(&t, deep.buf, &base), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    tree_close(&t);
}

/* What the configuration leaves out stays out, whatever the tree's own patterns bring back. */
static void test_no_pattern_of_the_tree_undoes_the_configuration(void **state)
{
    (void)state;
    static const char *const trees[] = {":", GIT_INIT "git add -A", "git rm -q --cached -r ."};
    _cleanup_free_ char *dir = synckit_make(
        &kit, "undo",
        "mkdir d; touch .env d/.env d/keep d/x a.pem f .DS_Store; "
        "printf '!.env\\n!d/\\n!*.pem\\n!.DS_Store\\nf\\n' >.crabboxignore");
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        synckit_sh(dir, trees[i], NULL);
        synckit_scan(dir, ".env\n*.pem\nd/*\n!d/keep\n", &l);
        assert_paths(&l, ".DS_Store\n.crabboxignore\nd/keep\n");
    }
}

/* Paths that can't be sent are not held either, and the others only up to a size. */
static void test_long_paths(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "long",
        "n=$(printf 'd%.0s' $(seq 250)); p=$PWD; for i in $(seq 18); do mkdir $n; cd -P $n; "
        "touch f; done; touch g");
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    synckit_scan(dir, NULL, &l);
    assert_int_equal(l.n_files, 16);
    assert_int_equal(l.n_skipped, 3);
    sync_list_free(&l);
    limits.max_files = 20;
    assert_int_equal(synckit_try(dir, NULL, &limits, NULL, &l, &err), -1);
    assert_non_null(strstr(err.msg, "add up to more than 10240 bytes: leave files out with"));
}

static void assert_is_home(const char *dir)
{
    struct sync_list l = {0};
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    assert_int_equal(synckit_try(dir, NULL, NULL, &d, &l, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    if (!strstr(err.msg, "which is or contains your home directory, and all of it"))
        fail_msg("%s", err.msg);
}

/* A .git that came with an archive makes no tree of the user's home. */
static void test_tree_above_that_is_the_home(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "homes", "mkdir -p home/proj home/.ssh; cd home; touch proj/f .ssh/key; " GIT_INIT);
    _cleanup_free_ char *home = xasprintf("%s/home", dir);
    _cleanup_free_ char *proj = xasprintf("%s/home/proj", dir);
    _cleanup_free_ char *old = xstrdup(getenv("HOME"));
    synckit_assert_listed(proj, ".ssh/key\nproj/f\n");
    (void)setenv("HOME", home, 1);
    assert_is_home(proj);
    synckit_assert_listed(home, ".ssh/key\nproj/f\n");
    (void)setenv("HOME", proj, 1);
    assert_is_home(proj);
    synckit_sh(proj, "mkdir sub", NULL);
    _cleanup_free_ char *sub = xasprintf("%s/sub", proj);
    assert_is_home(sub);
    synckit_sh(proj, GIT_INIT "mkdir sub/git; cd sub/git; git init -q .; touch g", NULL);
    _cleanup_free_ char *own = xasprintf("%s/git", sub);
    synckit_assert_listed(own, "g\n");
    (void)setenv("HOME", old, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanged_before_the_listing),
        cmocka_unit_test(test_exchanged_after_the_listing),
        cmocka_unit_test(test_state_by_another_name),
        cmocka_unit_test(test_parents),
        cmocka_unit_test(test_no_pattern_of_the_tree_undoes_the_configuration),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_tree_above_that_is_the_home),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
