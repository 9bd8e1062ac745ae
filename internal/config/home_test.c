/* home_test.c: HOME and XDG_CONFIG_HOME that lead into what came with the code. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/trust.h"
#include "testutil/config_dir.h"
#include "testutil/scratch.h"

/* HOME is the checkout, as in a container of a CI: what lies there came with it. */
static void test_home_in_the_repository(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "repo"));
    _cleanup_free_ char *xdg = xasprintf("XDG_CONFIG_HOME=%s", config_dir_path(d, "repo/conf"));
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    config_dir_load_ok(d, NULL, 0, &cfg); /* nothing is there */
    config_free(&cfg);
    config_dir_write(d, "repo/.config/crabbox-fc/trust.json", "{}");
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
    config_dir_setenv(d, xdg);
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
    config_dir_write(d, "repo/conf/crabbox-fc/config.yaml", "firecracker: {cpus: 32}\n");
    assert_int_equal(config_dir_refused(d, "XDG_CONFIG_HOME leads into the tree"), ERR_TRUST);
}

/* The tree around the working directory is not only the nearest repository. */
static void test_home_around_the_working_directory(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "outer"));
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    config_dir_write(d, "outer/.config/crabbox-fc/config.yaml", "firecracker: {cpus: 32}\n");
    config_dir_write(d, "outer/lib/.git/HEAD", "");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "outer/lib"));
    config_dir_load_ok(d, NULL, 0, &cfg); /* a directory above that is no tree */
    config_free(&cfg);
    config_dir_write(d, "outer/.git/HEAD", "");
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
    /* By a link of the tree to a place outside of it. */
    config_dir_write(d, "away/crabbox-fc/config.yaml", "firecracker: {cpus: 32}\n");
    _cleanup_free_ char *conf = xstrdup(config_dir_path(d, "outer/.config"));
    assert_return_code(rename(conf, config_dir_path(d, "old")), errno);
    assert_return_code(symlink("../away", conf), errno);
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
    /* An archive without a .git, unpacked where the user stands. */
    assert_return_code(rename(config_dir_path(d, "outer/.git"), config_dir_path(d, "git")), errno);
    assert_return_code(rename(config_dir_path(d, "outer/lib"), config_dir_path(d, "lib")), errno);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "outer"));
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
    /* Or further up, where HOME is the archive. */
    config_dir_write(d, "outer/sub/deep/file", "");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "outer/sub/deep"));
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
}

/* Whether it has a file of ours is not asked by the tree's links: they lead where it likes. */
static void test_no_link_of_such_a_home_is_followed(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "repo"));
    _cleanup_free_ char *below = xasprintf("HOME=%s", config_dir_path(d, "repo/away"));
    _cleanup_free_ char *link = xstrdup(config_dir_path(d, "repo/.config"));
    _cleanup_free_ char *away = xstrdup(config_dir_path(d, "repo/away"));
    make_link("/nonexistent/x", link);
    make_link("/nonexistent/x", away);
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    assert_int_equal(config_dir_refused(d, "repo/.config, which is a link of the tree"), ERR_TRUST);
    free(d->env[0]);
    d->env[0] = TAKE_PTR(below);
    assert_int_equal(config_dir_refused(d, "repo/away, which is a link of the tree"), ERR_TRUST);
    assert_false(link_was_read(link));
    assert_false(link_was_read(away));
}

/* A checkout is one also for those who stand elsewhere: in /, or beside it. */
static void test_home_is_a_checkout_elsewhere(void **state)
{
    struct config_dir *d = *state;
    const char *const files[] = {"other/.config/crabbox-fc/config.yaml",
                                 "other/crabbox-fc/config.yaml"};
    (void)str_copy(d->cwd, sizeof d->cwd, "/");
    config_dir_write(d, SYS_FILE, "qemu: {binary: ~/bin/qemu}\n");
    free(d->env[0]);
    d->env[0] = xasprintf("HOME=%s", config_dir_path(d, "other"));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        const char *git = config_dir_path(d, "other/.git");
        config_dir_write(d, files[i], "firecracker: {cpus: 32}\n");
        config_dir_expect_cpus(d, 32);
        assert_return_code(mkdir(git, 0755), errno);
        assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
        assert_return_code(unlink(config_dir_path(d, files[i])), errno);
        /* Nor does "~/" stand for it. */
        assert_int_equal(config_dir_refused(d, "but HOME is not set to an absolute path outside"),
                         ERR_CONFIG);
        assert_return_code(rmdir(git), errno);
        _cleanup_free_ char *xdg = xasprintf("XDG_CONFIG_%s", d->env[0]);
        config_dir_setenv(d, xdg);
    }
}

/* The system's file, or the user's in another place, starts nothing by HOME that came along. */
static void test_no_path_by_a_home_in_an_archive(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "archive"));
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    config_dir_write(d, "archive/bin/firecracker", "");
    config_dir_write(d, "archive/src/file", "");
    config_dir_write(d, SYS_FILE, "firecracker: {binary: ~/bin/firecracker}\n");
    config_dir_load_ok(d, NULL, 0, &cfg); /* from repo/, beside it */
    config_free(&cfg);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "archive/src"));
    assert_int_equal(config_dir_refused(d, "but HOME is not set to an absolute path outside"),
                     ERR_CONFIG);
}

/* An archive that only --dir names, with HOME in it, as a job of a CI may start from anywhere. */
static void test_home_in_the_tree_of_dir(void **state)
{
    struct config_dir *d = *state;
    struct trust_store s;
    struct config cfg;
    const char *fc = config_dir_path(d, "archive/bin/firecracker");
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "archive"));
    _cleanup_free_ char *named = xasprintf("firecracker: {binary: %s, cpus: 3}\n", fc);
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    (void)str_copy(d->cwd, sizeof d->cwd, "/");
    config_dir_write(d, "archive/bin/firecracker", "");
    config_dir_write(d, "archive/src/file", "");
    config_dir_write(d, "archive/.config/crabbox-fc/config.yaml", named);
    config_dir_expect_cpus(d, 3); /* nothing says that it is one */
    set_dir(config_dir_path(d, "archive/src"));
    assert_int_equal(config_dir_refused(d, "HOME leads into the tree"), ERR_TRUST);
    assert_int_equal(trust_list(config_dir_envp(d), &s, NULL), -1);
    /* Nor does the file in another place name what came along, by "~/" or by its path. */
    assert_return_code(unlink(config_dir_path(d, "archive/.config/crabbox-fc/config.yaml")), errno);
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
    config_dir_write(d, SYS_FILE, "firecracker: {binary: ~/bin/firecracker}\n");
    assert_int_equal(config_dir_refused(d, "but HOME is not set to an absolute path outside"),
                     ERR_CONFIG);
    config_dir_write(d, SYS_FILE, named);
    assert_int_equal(config_dir_refused(d, "whose content trust does not cover"), ERR_TRUST);
}

/* A name is looked for past it, and no link of it is followed on a path that was typed. */
static void test_programs_in_the_tree_of_dir(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct config cfg;
    _cleanup_free_ char *link = xstrdup(config_dir_path(d, "archive/kernel"));
    _cleanup_free_ char *path = xasprintf("PATH=%s", config_dir_path(d, "archive/bin"));
    const struct config_flag flag = {"firecracker.kernel", link, "--firecracker-kernel"};
    (void)str_copy(d->cwd, sizeof d->cwd, "/");
    config_dir_write(d, "archive/bin/firecracker", "");
    config_dir_write(d, "archive/src/file", "");
    assert_return_code(chmod(config_dir_path(d, "archive/bin/firecracker"), 0755), errno);
    assert_return_code(symlink("/dev/null", link), errno);
    config_dir_load_ok(d, &flag, 1, &cfg);
    config_free(&cfg);
    set_dir(config_dir_path(d, "archive/src"));
    assert_int_equal(config_dir_load(d, &flag, 1, &cfg, &err), -1);
    assert_non_null(strstr(err.msg, "is a symbolic link in the working tree"));
    free(d->env[1]);
    d->env[1] = TAKE_PTR(path);
    assert_int_equal(config_dir_refused(d, "which may have come with the code"), ERR_TRUST);
}

/* What its owner removed may have been a part of it: then nothing is known. */
static void test_a_removed_directory_of_dir_is_refused(void **state)
{
    struct config_dir *d = *state;
    char gone[] = "/tmp/crabbox-dir-XXXXXX";
    assert_non_null(mkdtemp(gone));
    set_dir(gone);
    assert_return_code(rmdir(gone), errno);
    assert_int_equal(config_dir_refused(d, "or around that of --dir"), ERR_TRUST);
}

/* What config_load would refuse afterwards is not made, and nothing that lies there is believed. */
static void test_no_store_in_the_repository(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    struct trust_store s;
    bool removed;
    const char *path = config_dir_path(d, REPO_FILE);
    _cleanup_free_ char *home = xasprintf("HOME=%s", config_dir_path(d, "repo"));
    _cleanup_free_ char *before = getcwd(NULL, 0);
    free(d->env[0]);
    d->env[0] = TAKE_PTR(home);
    config_dir_write(d, REPO_FILE, "firecracker: {binary: /opt/a/firecracker}\n");
    assert_int_equal(symlink("../out", config_dir_path(d, "repo/.config")), 0);
    assert_return_code(chdir(d->cwd), errno);
    int added = trust_add(config_dir_envp(d), path, NULL, &r, &err);
    strbuf_free(&r.keys);
    int revoked = trust_revoke(config_dir_envp(d), path, &removed, NULL);
    config_dir_write(d, "out/crabbox-fc/trust.json", "{\"version\":1,\"entries\":[]}");
    int believed = trust_list(config_dir_envp(d), &s, NULL);
    assert_return_code(chdir(before), errno);
    assert_int_equal(added, -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_non_null(strstr(err.msg, "so a trust.json there would not count as yours; next: "));
    assert_int_equal(revoked, -1);
    assert_int_equal(believed, -1);
    assert_int_equal(access(config_dir_path(d, "out/crabbox-fc/trust.lock"), F_OK), -1);
}

/* What its owner removed may have been a part of the tree that HOME lies in. */
static void test_a_removed_working_directory_is_refused(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *before = getcwd(NULL, 0);
    assert_return_code(mkdir(config_dir_path(d, "repo/gone"), 0755), errno);
    config_dir_write(d, USER_FILE, "firecracker: {cpus: 3}\n");
    (void)str_copy(d->cwd, sizeof d->cwd, ".");
    assert_return_code(chdir(config_dir_path(d, "repo/gone")), errno);
    config_dir_expect_cpus(d, 3);
    assert_return_code(rmdir("../gone"), errno);
    enum err_kind kind = config_dir_refused(d, "was removed; next: cd to one that exists");
    assert_return_code(chdir(before), errno);
    assert_int_equal(kind, ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_DIR_TEST(test_home_in_the_repository),
        CONFIG_DIR_TEST(test_home_around_the_working_directory),
        CONFIG_DIR_TEST(test_home_is_a_checkout_elsewhere),
        CONFIG_DIR_TEST(test_no_link_of_such_a_home_is_followed),
        CONFIG_DIR_TEST(test_no_path_by_a_home_in_an_archive),
        CONFIG_DIR_TEST(test_home_in_the_tree_of_dir),
        CONFIG_DIR_TEST(test_programs_in_the_tree_of_dir),
        CONFIG_DIR_TEST(test_a_removed_directory_of_dir_is_refused),
        CONFIG_DIR_TEST(test_no_store_in_the_repository),
        CONFIG_DIR_TEST(test_a_removed_working_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
