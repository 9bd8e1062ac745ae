/* Real git, real tar, real trees; the guest is a dropbear in a namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sync/pack.h"
#include "sync/sync.h"
#include "sys/file.h"
#include "testutil/synckit.h"

static void assert_paths(const struct sync_list *l, const char *const *want)
{
    size_t n = 0;
    for (; want[n]; n++) {
        if (n >= l->n_files)
            fail_msg("%s is missing at the end", want[n]);
        assert_string_equal(l->files[n].path, want[n]);
    }
    assert_int_equal(l->n_files, n);
}

#define GIT_INIT                                                                                   \
    "git init -q -b main; git config user.name t; git config user.email t@example.invalid; "

static void test_git_tree(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "git");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir,
               GIT_INIT
               "echo '*.o' > .gitignore; echo a > a.c; echo b > b.c; mkdir sub; echo x > sub/run;"
               "chmod 755 sub/run; ln -s ../a.c sub/link; ln -s /etc dir-link; git add -A;"
               "git commit -qm x; rm b.c; echo o > a.o; echo new > 'with space'; touch sub/empty;"
               "printf x > \"$(printf 'n\\nl')\"",
               NULL);
    _cleanup_free_ char *sub = xasprintf("%s/sub", dir);
    synckit_scan(sub, NULL, &l);
    assert_string_equal(l.root, dir);
    assert_string_equal(l.name, "git");
    assert_string_equal(l.subdir, "sub");
    assert_true(l.git);
    assert_paths(&l, (const char *const[]){".gitignore", "a.c", "dir-link", "n\nl", "sub/empty",
                                           "sub/link", "sub/run", "with space", NULL});
    assert_true(S_ISLNK(l.files[2].mode));
    assert_int_equal(l.files[6].mode & 0777, 0755);
    assert_int_equal(l.bytes, 4 + 2 + 1 + 2 + 4);
    assert_int_equal(l.n_skipped, 0);
}

/* A tracked directory replaced by a symlink to the outside: nothing behind it is sent. */
static void test_directory_became_a_symlink(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "swap");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir,
               GIT_INIT
               "mkdir d; echo in > d/passwd; git add -A; git commit -qm x; rm -r d; ln -s /etc d",
               NULL);
    synckit_scan(dir, NULL, &l);
    assert_paths(&l, (const char *const[]){"d", NULL});
    assert_true(S_ISLNK(l.files[0].mode));
}

static void test_submodules_and_nested_repositories(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "modules");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir,
               "mkdir lib top; cd lib; " GIT_INIT
               "echo l > l.c; git add -A; git commit -qm l; cd ../top; " GIT_INIT
               "git -c protocol.file.allow=always submodule add -q ../lib lib 2>/dev/null; "
               "git -c protocol.file.allow=always submodule add -q ../lib gone 2>/dev/null; "
               "git commit -qm t; git submodule deinit -q -f gone; echo u > lib/untracked; "
               "mkdir nested; cd nested; " GIT_INIT "echo n > n.c",
               NULL);
    _cleanup_free_ char *top = xasprintf("%s/top", dir);
    synckit_scan(top, NULL, &l);
    assert_paths(&l, (const char *const[]){".gitmodules", "lib/l.c", "lib/untracked", NULL});
    /* A repository that nobody added is not part of this one. */
    assert_int_equal(l.n_nested, 1);
    assert_string_equal(l.first_nested, "nested");
}

/* A hook's environment must not redirect us to another repository. */
static void test_git_environment_is_ignored(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "env");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir, GIT_INIT "echo a > a", NULL);
    (void)setenv("GIT_DIR", "/nonexistent", 1);
    (void)setenv("GIT_INDEX_FILE", "/nonexistent", 1);
    synckit_scan(dir, NULL, &l);
    (void)unsetenv("GIT_DIR");
    (void)unsetenv("GIT_INDEX_FILE");
    assert_paths(&l, (const char *const[]){"a", NULL});
}

static void test_plain_directory(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "plain");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(
        dir,
        "mkdir -p a/b .git2; echo 1 > a/b/c; echo 2 > z; ln -s nowhere l; mkfifo fifo; echo 3 > "
        ".DS_Store; mkdir build; echo o > build/x.o; echo k > build/keep; printf 'build/\\n"
        "!build/keep\\n' > .crabboxignore",
        NULL);
    synckit_scan(dir, "z", &l);
    assert_false(l.git);
    assert_string_equal(l.subdir, "");
    assert_paths(
        &l, (const char *const[]){".crabboxignore", ".git2", "a/b/c", "build/keep", "l", NULL});
    assert_int_equal(l.n_skipped, 1);
    assert_string_equal(l.first_skipped, "fifo");
}

/* What can't be sent is left out and named; the rest goes. As a user who can't read everything. */
static void test_what_is_left_out(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "odd");
    struct sync_list l = {0};
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    static const char make[] =
        "echo a > a; mkfifo b-fifo; mkdir c-closed; echo x > c-closed/x; chmod 0 c-closed; "
        "echo d > d-unreadable; chmod 0 d-unreadable; echo z > z; chmod 755 .; "
        "mknod e-device c 1 3; python3 -c 'import socket\n"
        "socket.socket(socket.AF_UNIX).bind(\"f-socket\")'; "
        "n=$(printf 'n%.0s' $(seq 255)); echo n > $n";
    if (!kit.entered)
        skip();
    synckit_sh(dir, make, NULL);
    assert_int_equal(chmod(kit.dir, 0755), 0);
    assert_int_equal(seteuid(65534), 0);
    int r = synckit_try(dir, NULL, NULL, &d, &l, &err);
    assert_int_equal(seteuid(0), 0);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(l.n_files, 3);
    assert_string_equal(l.files[0].path, "a");
    assert_int_equal(strlen(l.files[1].path), 255);
    assert_string_equal(l.files[2].path, "z");
    assert_int_equal(l.n_skipped, 5);
    assert_non_null(l.first_skipped);
    sync_list_free(&l);
    /* The same where git lists: what is tracked and not to be had any more. */
    synckit_sh(dir,
               "chmod 700 c-closed; rm -r c-closed; " GIT_INIT
               "git add a d-unreadable z; rm a; mkfifo a",
               NULL);
    synckit_sh(dir, "git config --global --add safe.directory '*'; chmod -R a+rX .git", NULL);
    assert_int_equal(seteuid(65534), 0);
    r = synckit_try(dir, NULL, NULL, &d, &l, &err);
    assert_int_equal(seteuid(0), 0);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(l.n_skipped, 2);
    assert_string_equal(l.first_skipped, "a");
    assert_int_equal(l.n_files, 2);
    sync_list_free(&l);
}

/* Our own state may lie in the tree, and nothing brings it into a guest. */
static void test_what_is_never_sent(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "never");
    _cleanup_free_ char *own = xasprintf("%s/state", dir);
    _cleanup_free_ char *below = xasprintf("%s/state/leases", dir);
    static const char *const make[] = {"", GIT_INIT "git add -A\n"};
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    limits.never = own;
    synckit_sh(dir, "mkdir -p state/leases; touch state/key state/leases/key state-ment a", NULL);
    for (size_t i = 0; i < ARRAY_LEN(make); i++) {
        _cleanup_(cleanup_sync_list) struct sync_list l = {0};
        synckit_sh(dir, make[i], NULL);
        assert_int_equal(synckit_try(dir, "!state\n!*key", &limits, &d, &l, &err), 0);
        assert_paths(&l, (const char *const[]){"a", "state-ment", NULL});
    }
    struct sync_list l = {0};
    synckit_sh(dir, "rm -rf .git", NULL);
    assert_int_equal(synckit_try(below, NULL, &limits, &d, &l, &err), -1);
    assert_non_null(strstr(err.msg, "never copied; next: "));
}

static void test_limits(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "limits");
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    struct sync_limits few = {.max_files = 3};
    struct sync_limits small = {.max_bytes = 10};
    struct sync_list l = {0};
    synckit_sh(dir, "for i in 1 2 3 4; do echo 123 > $i; done", NULL);
    assert_int_equal(synckit_try(dir, NULL, &few, &d, &l, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "more than 3 files"));
    assert_int_equal(synckit_try(dir, NULL, &small, &d, &l, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_null(l.files);
}

/* Everything but the directories' own times and modes, as one text. */
#define DESCRIBE                                                                                   \
    "find . -name .git -prune -o ! -type d -printf '%P|%y|%m|%s|%Ts|%l\\n' | LC_ALL=C sort; "      \
    "find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum"

/* A tree with every awkward thing that git can hold. */
#define AWKWARD                                                                                    \
    GIT_INIT                                                                                       \
    "mkdir -p deep/er/still; n=$(printf 'x%.0s' $(seq 1 200)); mkdir -p $n/$n; echo l > $n/$n/f; " \
    "printf 'bytes\\0\\377' > deep/er/still/bin; printf x > \"$(printf 'bad\\377utf8')\"; "        \
    "printf y > \"$(printf 'new\\nline')\"; printf z > ' lead'; printf d > ./-dash; "              \
    "printf b > 'back\\slash'; touch empty; head -c 3000000 /dev/urandom > big; chmod 755 big; "   \
    "chmod 400 empty; ln -s big link; ln -s /nonexistent dangling; ln -s $n/$n/$n long-link; "     \
    "touch -d '2001-02-03 04:05:06' ./-dash; git add -A"

static void push(struct ssh_conn *c, const struct sync_list *l, const char *to)
{
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    if (sync_push(c, l, to, &d, NULL, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static void test_awkward_tree_arrives_whole(void **state)
{
    (void)state;
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "awkward");
    _cleanup_free_ char *to = xasprintf("%s/it's a 'dir'/$x", kit.dir);
    _cleanup_strbuf_ struct strbuf here = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf there = STRBUF_INIT;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir, AWKWARD, NULL);
    synckit_scan(dir, NULL, &l);
    assert_int_equal(l.n_files, 12);
    push(c, &l, to);
    push(c, &l, to); /* over itself */
    synckit_sh(dir, DESCRIBE, &here);
    synckit_sh(to, DESCRIBE, &there);
    assert_string_equal(here.buf, there.buf);
    assert_true(here.len > 1000);
}

/* In the guest a symlink stands where the tree has a directory: it is replaced, not followed. */
static void test_symlink_in_the_guest_is_not_followed(void **state)
{
    (void)state;
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "trap");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    synckit_sh(dir, "mkdir -p src/d to outside; echo x > src/d/f; ln -s ../outside to/d", NULL);
    _cleanup_free_ char *src = xasprintf("%s/src", dir);
    _cleanup_free_ char *to = xasprintf("%s/to", dir);
    synckit_scan(src, NULL, &l);
    push(c, &l, to);
    synckit_sh(dir, "test ! -L to/d; test -f to/d/f; test ! -e outside/f", NULL);
}

static void test_failing_tar_is_a_sync_error(void **state)
{
    (void)state;
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "fail");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    synckit_sh(dir, "head -c 8000000 /dev/zero > big", NULL);
    synckit_scan(dir, NULL, &l);
    assert_int_equal(sync_push(c, &l, "/proc/no/such", &d, NULL, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "/proc/no"));
    error_clear(&err);
    assert_int_equal(sync_push(c, &l, "/dev/null/x", &d, NULL, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    /* the connection is still good */
    _cleanup_free_ char *to = xasprintf("%s/to", dir);
    push(c, &l, to);
}

/* A guest whose tar says that all is well: at once, after a part, or not before it has everything.
 */
static void test_lying_tar(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        bool well;
    } cases[] = {
        {"#!/bin/sh\nexit 0\n", false},
        {"#!/bin/sh\nhead -c 100000 >/dev/null\n", false},
        {"#!/bin/sh\ncat >/dev/null\n", true}, /* who could tell */
    };
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "lying");
    _cleanup_free_ char *tar = xasprintf("%s/tar", kit.dir);
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct deadline d = deadline_in_ms(60000);
    synckit_sh(dir, "for i in 1 2 3; do head -c 8000000 /dev/zero >big$i; done", NULL);
    synckit_scan(dir, NULL, &l);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = ERROR_INIT;
        (void)unlink(tar);
        assert_int_equal(
            file_write_new(AT_FDCWD, tar, cases[i].script, strlen(cases[i].script), 0755, &err), 0);
        assert_return_code(mount(tar, "/usr/bin/tar", NULL, MS_BIND, NULL), errno);
        int r = sync_push(c, &l, "/run/lying-copy", &d, NULL, NULL, &err);
        assert_return_code(umount2("/usr/bin/tar", MNT_DETACH), errno);
        assert_int_equal(r, cases[i].well ? 0 : -1);
        if (!cases[i].well) {
            assert_int_equal(err.kind, ERR_SYNC);
            assert_non_null(strstr(err.msg, "reported success"));
        }
    }
}

/* Reads the whole archive into a file, with a chance to disturb the tree on the way. */
static void pack_to(const struct sync_list *l, const char *file, const char *dir,
                    const char *disturb, size_t *changed)
{
    struct pack p;
    struct error err = ERROR_INIT;
    char buf[8192];
    _cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pack_init(&p, l, &err), 0);
    for (ssize_t n, at = 0; (n = pack_read(&p, buf, sizeof buf, &err)) != 0; at += n) {
        if (n < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(fd_write_all(fd, buf, (size_t)n, file, &err), 0);
        if (at == 0)
            synckit_sh(dir, disturb, NULL);
    }
    *changed = p.n_changed;
    pack_free(&p);
}

/* What is read at a time travels as one packet: small files share it. */
static void test_each_read_is_full(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "full",
                                            "for i in 1 2 3 4 5 6 7 8 9; do echo $i "
                                            ">$i; done; head -c 70000 /dev/zero >z");
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct pack p;
    struct error err = ERROR_INIT;
    char buf[4000];
    ssize_t n;
    size_t n_short = 0;
    synckit_scan(dir, NULL, &l);
    assert_int_equal(pack_init(&p, &l, &err), 0);
    while ((n = pack_read(&p, buf, sizeof buf, &err)) > 0)
        n_short += (size_t)n < sizeof buf;
    assert_int_equal(n, 0);
    assert_int_equal(p.n_files, 10);
    assert_true(n_short <= 1); /* the last */
    pack_free(&p);
}

static void test_files_that_change_meanwhile(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "change");
    _cleanup_free_ char *src = synckit_new_dir(&kit, "change/src");
    _cleanup_free_ char *tar = xasprintf("%s/t.tar", dir);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    size_t changed = 0;
    synckit_sh(
        src,
        "head -c 1000000 /dev/zero | tr '\\0' a > a; echo b > b; echo c > c; mkdir d; echo d > "
        "d/f; echo e > e",
        NULL);
    synckit_scan(src, NULL, &l);
    /* `a` is open by now: it shrinks. b goes, c becomes a link out, d too, e turns into a FIFO. */
    pack_to(&l, tar, src,
            "truncate -s 500000 a; rm b c e; ln -s /etc/passwd c; rm -r d; ln -s /etc d; mkfifo e",
            &changed);
    assert_int_equal(changed, 4); /* a, b, d/f and e; the link c is sent as a link */
    synckit_sh(dir, "mkdir out; tar -xf t.tar -C out; cd out; stat -c %s a; ls; readlink c", &out);
    assert_string_equal(out.buf, "1000000\na\nc\n/etc/passwd\n");
}

static void test_file_that_grows_meanwhile(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "grow");
    _cleanup_free_ char *src = synckit_new_dir(&kit, "grow/src");
    _cleanup_free_ char *tar = xasprintf("%s/t.tar", dir);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    size_t changed = 0;
    synckit_sh(src, "head -c 300000 /dev/zero > a; echo z > z", NULL);
    synckit_scan(src, NULL, &l);
    pack_to(&l, tar, src, "head -c 300000 /dev/zero >> a", &changed);
    assert_int_equal(changed, 1);
    synckit_sh(dir, "mkdir out; tar -xf t.tar -C out; stat -c %s out/a; cat out/z", &out);
    assert_string_equal(out.buf, "300000\nz\n");
}

struct seen {
    size_t calls, files;
    int64_t bytes;
};

/* An interrupted sync gives up in the middle of a file, however much of it is left. */
static void test_abandoned_in_the_middle_of_a_file(void **state)
{
    (void)state;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "large");
    struct rusage before, after;
    struct pack p;
    struct error err = ERROR_INIT;
    char piece[4096];
    synckit_sh(dir, "truncate -s 1G large", NULL);
    synckit_scan(dir, NULL, &l);
    assert_int_equal(pack_init(&p, &l, &err), 0);
    assert_true(pack_read(&p, piece, sizeof piece, &err) > 0);
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    pack_free(&p);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 100 * 1024);
}

static void on_progress(void *ctx, size_t files, int64_t bytes)
{
    struct seen *s = ctx;
    s->calls++;
    assert_true(files >= s->files && bytes >= s->bytes);
    s->files = files;
    s->bytes = bytes;
}

static void test_many_files_and_progress(void **state)
{
    (void)state;
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "many");
    _cleanup_free_ char *to = xasprintf("%s/many-copy", kit.dir);
    _cleanup_strbuf_ struct strbuf n = STRBUF_INIT;
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct seen seen = {0};
    struct deadline d = deadline_in_ms(60000);
    synckit_sh(dir,
               GIT_INIT
               "for i in 1 2 3 4 5; do mkdir d$i; (cd d$i; seq 1 1000 | split -l 1 -a 3); done",
               NULL);
    synckit_scan(dir, NULL, &l);
    assert_int_equal(l.n_files, 5000);
    assert_int_equal(sync_push(c, &l, to, &d, on_progress, &seen, NULL), 0);
    assert_int_equal(seen.files, 5000);
    assert_true(seen.calls >= 1 && seen.bytes == l.bytes);
    synckit_sh(to, "find . -type f | wc -l", &n);
    assert_string_equal(n.buf, "5000\n");
}

/* What is no file any more when its turn comes is not opened: a device would act on that. */
static void test_file_became_something_else(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_new_dir(&kit, "became");
    _cleanup_free_ char *path = xasprintf("%s/b", dir);
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct inotify_event seen;
    struct error err = ERROR_INIT;
    struct pack p;
    char buf[4096];
    synckit_sh(dir, "echo a >a; echo b >b", NULL);
    synckit_scan(dir, NULL, &l);
    synckit_sh(dir, "rm b; mkfifo b", NULL);
    _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert_return_code(inotify_add_watch(watch, path, IN_OPEN), errno);
    assert_int_equal(pack_init(&p, &l, &err), 0);
    while (pack_read(&p, buf, sizeof buf, &err) > 0)
        continue;
    assert_int_equal(p.n_files, 1);
    assert_string_equal(p.first_changed, "b");
    pack_free(&p);
    assert_int_equal(read(watch, &seen, sizeof seen), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_git_tree),
        cmocka_unit_test(test_directory_became_a_symlink),
        cmocka_unit_test(test_file_became_something_else),
        cmocka_unit_test(test_submodules_and_nested_repositories),
        cmocka_unit_test(test_git_environment_is_ignored),
        cmocka_unit_test(test_plain_directory),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_what_is_never_sent),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_awkward_tree_arrives_whole),
        cmocka_unit_test(test_symlink_in_the_guest_is_not_followed),
        cmocka_unit_test(test_failing_tar_is_a_sync_error),
        cmocka_unit_test(test_lying_tar),
        cmocka_unit_test(test_each_read_is_full),
        cmocka_unit_test(test_files_that_change_meanwhile),
        cmocka_unit_test(test_file_that_grows_meanwhile),
        cmocka_unit_test(test_abandoned_in_the_middle_of_a_file),
        cmocka_unit_test(test_many_files_and_progress),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
