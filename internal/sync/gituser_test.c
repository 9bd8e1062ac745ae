/* The user's own patterns, wherever git lets him keep them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/list.h"
#include "testutil/scratch.h"
#include "testutil/synckit.h"

/* Called by sudo by a user whom the file passwd in `dir` knows, until be_root. */
static void be_root_by_sudo(const char *dir)
{
    _cleanup_free_ char *passwd = xasprintf("%s/passwd", dir);
    assert_return_code(mount(passwd, "/etc/passwd", NULL, MS_BIND, NULL), errno);
    (void)setenv("SUDO_UID", "4321", 1);
    (void)setenv("SUDO_GID", "4321", 1);
}

static void be_root(void)
{
    (void)unsetenv("SUDO_UID");
    (void)unsetenv("SUDO_GID");
    assert_return_code(umount2("/etc/passwd", MNT_DETACH), errno);
}

/* Named by a variable of git's, or those of who called sudo. */
static void test_patterns_by_variables_and_of_the_sudo_caller(void **state)
{
    (void)state;
    static const char all[] = ".env\nf\n";
    _cleanup_free_ char *dir = synckit_make(
        &kit, "variables",
        "mkdir t; cd t; " SYNCKIT_INIT "touch f .env; echo .env >../ign; "
        "printf '[core]\n\texcludesFile = %s\n' $PWD/../ign >../global");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    _cleanup_free_ char *ign = xasprintf("%s/ign", dir);
    _cleanup_free_ char *global = xasprintf("%s/global", dir);
    synckit_assert_listed(tree, all);
    (void)setenv("GIT_CONFIG_GLOBAL", global, 1);
    synckit_assert_listed(tree, "f\n");
    (void)unsetenv("GIT_CONFIG_GLOBAL");
    (void)setenv("GIT_CONFIG_COUNT", "1", 1);
    (void)setenv("GIT_CONFIG_KEY_0", "core.excludesFile", 1);
    (void)setenv("GIT_CONFIG_VALUE_0", ign, 1);
    synckit_assert_listed(tree, "f\n");
    (void)unsetenv("GIT_CONFIG_COUNT");
    (void)unsetenv("GIT_CONFIG_KEY_0");
    (void)unsetenv("GIT_CONFIG_VALUE_0");
    if (!kit.entered)
        skip();
    synckit_sh(dir,
               "chmod 755 .. .; mkdir -p home/.config/git; cp ign home/.config/git/ignore; "
               "echo \"caller:x:4321:4321::$PWD/home:/bin/sh\" >passwd",
               NULL);
    be_root_by_sudo(dir);
    synckit_assert_listed(tree, "f\n");
    be_root();
    synckit_assert_listed(tree, all);
}

/* The third way to a file that came with the code. */
static void test_a_global_file_in_the_tree_does_not_count(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "global",
        "mkdir t; cd t; " SYNCKIT_INIT "touch f .env; echo .env >../ign; "
        "printf '[core]\n\texcludesFile = %s\n' $PWD/../ign >g");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    _cleanup_free_ char *global = xasprintf("%s/t/g", dir);
    (void)setenv("GIT_CONFIG_GLOBAL", global, 1);
    synckit_assert_listed(tree, ".env\nf\ng\n");
    (void)unsetenv("GIT_CONFIG_GLOBAL");
}

/* The user who called sudo may link from the usual places, or name, what only root can read. Its
 * lines would be patterns, and the list would tell which names in the tree they match. */
static void test_files_that_the_sudo_caller_cannot_read(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    static const gid_t ours[] = {4322};
    static const struct {
        const char *script, *refused, *listed;
    } cases[] = {
        {"ln -s ../../../secret home/.config/git/ignore", NULL, "closed\nenv\nf\n"},
        {"ln -s ../../../groups home/.config/git/ignore", NULL, "closed\nenv\nf\n"},
        {"printf '[core]\nexcludesFile = %s\n' $PWD/secret >home/.gitconfig", "/secret, a part of",
         NULL},
        {"printf '[core]\nexcludesFile = closed\n' >home/.gitconfig", "/closed: Permission denied",
         NULL},
        /* What we have open leads past directories that are closed. */
        {"ln -s /proc/self/cwd/readable home/.config/git/ignore", "/ignore, a part of", NULL},
        /* What the user can read counts, by whatever link. */
        {"ln -s ../../../readable home/.config/git/ignore", NULL, "closed\nf\n"},
        {"mkfifo home/.config/git/ignore", NULL, "closed\nenv\nf\n"},
    };
    _cleanup_free_ char *dir = synckit_make(
        &kit, "oracle",
        "chmod 755 .. .; mkdir t; for f in secret groups readable t/closed; do echo env >$f; done; "
        "chmod 600 secret t/closed; chgrp 4322 groups; chmod 640 groups; "
        "echo \"caller:x:4321:4321::$PWD/home:/bin/sh\" >passwd; cd t; " SYNCKIT_INIT
        "touch f env");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    assert_return_code(chdir(dir), errno);
    assert_return_code(setgroups(ARRAY_LEN(ours), ours), errno);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sync_list l = {0};
        struct error err = ERROR_INIT;
        synckit_sh(dir, "rm -rf home; mkdir -p home/.config/git", NULL);
        synckit_sh(dir, cases[i].script, NULL);
        be_root_by_sudo(dir);
        if (cases[i].listed)
            synckit_assert_listed(tree, cases[i].listed);
        else if (synckit_try(tree, NULL, NULL, NULL, &l, &err) == 0 ||
                 !strstr(err.msg, cases[i].refused))
            fail_msg("%s: %s", cases[i].script, err.msg);
        be_root();
    }
    assert_return_code(setgroups(0, NULL), errno);
    assert_return_code(chdir("/"), errno);
}

/* What the user meant to stay here may not go because a file can't be read. */
static void test_patterns_that_cannot_be_read(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "closed",
        "chmod 755 .. .; mkdir t; cd t; " SYNCKIT_INIT
        "touch .env f; mkdir ../git; echo .env >../git/ignore; chmod 0 ../git/ignore; "
        "printf '[core]\nexcludesFile = %s\n' \"$PWD/../git/ignore\" >../git/config; "
        "chmod 644 ../git/config; chmod -R a+rX .git");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    _cleanup_free_ char *want = xasprintf("%s/git/ignore: Permission denied: ignore patterns", dir);
    _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    (void)setenv("XDG_CONFIG_HOME", dir, 1);
    assert_int_equal(seteuid(65534), 0);
    int r = synckit_try(tree, NULL, NULL, NULL, &l, &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "/git/ignore, a part of your git configuration"));
    assert_non_null(strstr(err.msg, "Permission denied"));
    synckit_sh(dir, "rm git/config", NULL);
    assert_int_equal(seteuid(65534), 0);
    synckit_warnings(tree, &told);
    assert_int_equal(seteuid(0), 0);
    (void)setenv("XDG_CONFIG_HOME", kit.dir, 1);
    if (!strstr(told.buf, want))
        fail_msg("%s", told.buf);
}

/* What is there under the name and is no file has no patterns, and is not opened. */
static void test_patterns_that_are_none(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "odd",
                                            "mkdir t git; cd t; " SYNCKIT_INIT "touch f");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir), *ignore = xasprintf("%s/git/ignore", dir);
    assert_return_code(mknod(ignore, S_IFSOCK | 0600, 0), errno);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    (void)setenv("XDG_CONFIG_HOME", dir, 1);
    synckit_list(tree, &out);
    (void)setenv("XDG_CONFIG_HOME", kit.dir, 1);
    assert_string_equal(out.buf, "f\n");
}

/* A home in the tree is not looked at by the tree's own links. */
static void assert_no_link_is_followed(const char *tree)
{
    _cleanup_free_ char *away = xasprintf("%s/away", tree);
    _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
    make_link("/nonexistent/x", away);
    (void)setenv("HOME", away, 1);
    (void)unsetenv("XDG_CONFIG_HOME");
    synckit_warnings(tree, &told);
    assert_non_null(strstr(told.buf, "/t/away/.gitconfig lies in the tree"));
    assert_false(link_was_read(away));
    assert_return_code(unlink(away), errno);
}

/* Where the tree is the home, the repository would say which file of the host is read. */
static void test_home_that_is_the_tree(void **state)
{
    (void)state;
    static const char want[] = ".gitconfig\nf\nhome/.config/git/config\nhome/.config/git/ignore\n";
    _cleanup_free_ char *dir = synckit_make(
        &kit, "home",
        "mkdir t; echo f >ign; ln -s t/home link; cd t; " SYNCKIT_INIT
        "touch f; mkdir -p home/.config/git; echo f >home/.config/git/ignore; "
        "printf '[core]\nexcludesFile = %s\n' $PWD/../ign >.gitconfig; "
        "cp .gitconfig home/.config/git/config");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    _cleanup_free_ char *link = xasprintf("%s/link", dir);
    _cleanup_free_ char *xdg = xasprintf("%s/t/home/.config", dir);
    const char *const home = getenv("HOME");
    _cleanup_free_ char *kept = home ? xstrdup(home) : NULL;
    const struct {
        const char *home, *xdg, *told;
    } cases[] = {
        {tree, kit.dir, "/t/.gitconfig lies in the tree"},
        {link, NULL, "/link/.config/git/config lies in the tree"},
        {kit.dir, xdg, "/t/home/.config/git/config lies in the tree"},
        {link, kit.dir, NULL}, /* nothing is there */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_strbuf_ struct strbuf told = STRBUF_INIT;
        (void)setenv("HOME", cases[i].home, 1);
        (void)(cases[i].xdg ? setenv("XDG_CONFIG_HOME", cases[i].xdg, 1)
                            : unsetenv("XDG_CONFIG_HOME"));
        synckit_assert_listed(tree, want);
        synckit_warnings(tree, &told);
        if (cases[i].told ? !strstr(told.buf, cases[i].told) ||
                                strchr(told.buf, '\n') != told.buf + told.len - 1
                          : told.len != 0)
            fail_msg("case %zu: %s", i, told.buf);
    }
    assert_no_link_is_followed(tree);
    /* Nor is one where one stands, or that --dir names, while another is sent. */
    synckit_sh(dir,
               "mkdir -p u/home/.config/git; echo f >u/home/.config/git/ignore; "
               "cp -r t/.git u; touch u/f",
               NULL);
    _cleanup_free_ char *other = xasprintf("%s/u", dir);
    _cleanup_free_ char *other_xdg = xasprintf("%s/u/home/.config", dir);
    (void)setenv("XDG_CONFIG_HOME", other_xdg, 1);
    assert_return_code(chdir(other), errno);
    synckit_assert_listed(tree, want);
    assert_return_code(chdir("/"), errno);
    set_dir(other);
    synckit_assert_listed(tree, want);
    set_dir(NULL);
    (void)setenv("XDG_CONFIG_HOME", kit.dir, 1);
    (void)(kept ? setenv("HOME", kept, 1) : unsetenv("HOME"));
}

/* Root works with the home of a user who did not call sudo, as in many a container of a CI: what
 * root's variables say stays root's. */
static void test_variables_reach_no_other_user(void **state)
{
    (void)state;
    static const char script[] =
        "mkdir t home bin; cd t; " SYNCKIT_INIT "touch f .env; cd ..; chmod 755 .. . t home bin\n"
        "echo .env >ign; printf '[core]\nexcludesFile = %s\n' $PWD/ign >home/.gitconfig\n"
        "cp home/.gitconfig global; >log; chmod 666 log\n"
        "printf '#!/bin/sh\n{ echo $(/usr/bin/id -u) ${GIT_CONFIG_GLOBAL-none} "
        "$GIT_CONFIG_VALUE_1; } >>%s/log\nexec /usr/bin/git \"$@\"\n' $PWD >bin/git\n"
        "chmod 755 bin/git; chown -R 4321:4321 home";
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(&kit, "token", script);
    _cleanup_free_ char *tree = xasprintf("%s/t", dir), *home = xasprintf("%s/home", dir);
    _cleanup_free_ char *bin = xasprintf("%s/bin:/usr/bin:/bin", dir);
    _cleanup_free_ char *global = xasprintf("%s/global", dir), *ign = xasprintf("%s/ign", dir);
    _cleanup_free_ char *path = xstrdup(getenv("PATH")), *kept = xstrdup(getenv("HOME"));
    _cleanup_free_ char *want = xasprintf("4321 none\n4321 %s\n0 /dev/null SECRET\n", global);
    _cleanup_strbuf_ struct strbuf log = STRBUF_INIT;
    const char *const vars[][2] = {{"HOME", home},
                                   {"PATH", bin},
                                   {"GIT_CONFIG_GLOBAL", global},
                                   {"GIT_CONFIG_COUNT", "2"},
                                   {"GIT_CONFIG_KEY_0", "core.excludesFile"},
                                   {"GIT_CONFIG_VALUE_0", ign},
                                   {"GIT_CONFIG_KEY_1", "http.extraHeader"},
                                   {"GIT_CONFIG_VALUE_1", "SECRET"}};
    (void)unsetenv("XDG_CONFIG_HOME");
    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        (void)setenv(vars[i][0], vars[i][1], 1);
    synckit_assert_listed(tree, "f\n");
    (void)setenv("GIT_CONFIG_VALUE_0", "~/ign", 1); /* whose, nobody can tell */
    synckit_assert_refused(tree, "git can't read your own git configuration");
    for (size_t i = 2; i < ARRAY_LEN(vars); i++)
        (void)unsetenv(vars[i][0]);
    (void)setenv("HOME", kept, 1);
    (void)setenv("PATH", path, 1);
    (void)setenv("XDG_CONFIG_HOME", kit.dir, 1);
    synckit_sh(dir, "head -n 3 log", &log);
    assert_string_equal(log.buf, want);
}

/* git reads what the user's configuration includes, for ever where that is a FIFO. */
static void test_git_that_does_not_answer(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "fifo",
        "mkdir t; cd t; " SYNCKIT_INIT "mkfifo ../fifo; mkdir ../git; "
        "printf '[include]\npath = %s\n' \"$PWD/../fifo\" >../git/config");
    _cleanup_free_ char *tree = xasprintf("%s/t", dir);
    _cleanup_close_ int root = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sync_list l = {.root = tree, .root_fd = root};
    struct deadline d = deadline_in_ms(60000);
    struct scan s = {.list = &l, .tree = TREE_INIT, .effort = EFFORT_INIT(&d)};
    struct gitignore g = {0};
    struct error err = ERROR_INIT;
    (void)setenv("XDG_CONFIG_HOME", dir, 1);
    assert_int_equal(git_user_ignore(&s, 100, &g, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "git took too long to print your core.excludesFile"));
    /* A scan has no more time for it than for all of it. */
    d = deadline_in_ms(100);
    error_clear(&err);
    assert_int_equal(git_user_ignore(&s, 600000, &g, &err), -1);
    (void)setenv("XDG_CONFIG_HOME", kit.dir, 1);
    assert_non_null(strstr(err.msg, "git took too long to print your core.excludesFile"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_by_variables_and_of_the_sudo_caller),
        cmocka_unit_test(test_a_global_file_in_the_tree_does_not_count),
        cmocka_unit_test(test_files_that_the_sudo_caller_cannot_read),
        cmocka_unit_test(test_patterns_that_cannot_be_read),
        cmocka_unit_test(test_patterns_that_are_none),
        cmocka_unit_test(test_home_that_is_the_tree),
        cmocka_unit_test(test_variables_reach_no_other_user),
        cmocka_unit_test(test_git_that_does_not_answer),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
