/* sudo_test.c: root by sudo with the caller's HOME: what the caller can replace chooses no file
 * that only root may read or write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/trust.h"
#include "testutil/config_dir.h"

#define STRANGER 65534

static int teardown_sudo(void **state)
{
    return unsetenv("SUDO_UID") + unsetenv("SUDO_GID") + config_dir_teardown(state);
}

#define SUDO_TEST(f) cmocka_unit_test_setup_teardown(f, config_dir_setup, teardown_sudo)

static void be_root_by_sudo(struct config_dir *d)
{
    if (geteuid() != 0 && getenv("CI"))
        fail_msg("this test needs root");
    if (geteuid() != 0)
        skip();
    assert_int_equal(setenv("SUDO_UID", "65534", 1), 0);
    assert_int_equal(setenv("SUDO_GID", "65534", 1), 0);
    config_dir_setenv(d, "SUDO_UID=65534");
    assert_int_equal(chmod(d->root, 0755), 0);
}

/* Root by sudo with HOME kept: what a link of the caller's leads to is read with the caller's
 * rights, or the message about its first line would show any file of root's. */
static void test_links_of_the_sudo_caller(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *link = xstrdup(config_dir_path(d, USER_FILE));
    _cleanup_free_ char *target = xstrdup(config_dir_path(d, "out/secret"));
    be_root_by_sudo(d);
    config_dir_write(d, "out/secret", "root:hash:19000::\n");
    assert_int_equal(chmod(target, 0600), 0);
    assert_int_equal(symlink(target, link), 0);
    /* Root's own link in root's own directory. */
    assert_int_equal(config_dir_refused(d, "root:hash"), ERR_CONFIG);
    assert_int_equal(lchown(link, STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "must be able to read: Permission denied; next: "),
                     ERR_TRUST);
    assert_int_equal(lchown(link, 0, 0), 0);
    assert_int_equal(chown(config_dir_path(d, "home"), STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "must be able to read: Permission denied; next: "),
                     ERR_TRUST);
    config_dir_write(d, "out/secret", "firecracker: {cpus: 2}\n"); /* 0644 */
    config_dir_expect_cpus(d, 2);
    assert_int_equal(chmod(target, 0600), 0);
    assert_int_equal(chown(target, STRANGER, STRANGER), 0);
    config_dir_expect_cpus(d, 2);
    config_dir_write(d, "repo/new", ""); /* with root's rights again */
}

/* Nor does such a link choose where root makes or changes a trust store. */
static void test_store_of_the_sudo_caller(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    struct stat st;
    const char *conf = config_dir_path(d, "home/.config/crabbox-fc");
    be_root_by_sudo(d);
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2, binary: /opt/a/firecracker}\n");
    assert_int_equal(rmdir(conf), 0);
    assert_int_equal(symlink(config_dir_path(d, "out"), conf), 0);
    assert_int_equal(lchown(conf, STRANGER, STRANGER), 0);
    int added = trust_add(config_dir_envp(d), config_dir_path(d, REPO_FILE), NULL, &r, &err);
    strbuf_free(&r.keys);
    assert_int_equal(added, -1);
    assert_int_equal(access(config_dir_path(d, "out/trust.lock"), F_OK), -1);
    assert_int_equal(access(config_dir_path(d, "out/trust.json"), F_OK), -1);
    /* In a directory of the caller's it is made, for the caller. */
    assert_int_equal(chown(config_dir_path(d, "out"), STRANGER, STRANGER), 0);
    config_dir_trust_repo(d);
    assert_int_equal(stat(config_dir_path(d, "out/trust.json"), &st), 0);
    assert_int_equal(st.st_uid, STRANGER);
    config_dir_expect_cpus(d, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUDO_TEST(test_links_of_the_sudo_caller),
        SUDO_TEST(test_store_of_the_sudo_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
