/* The user's own patterns, wherever git lets him keep them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "testutil/synckit.h"

#define INIT "git init -q -b main .; "

/* Named by a variable of git's, or those of who called sudo. */
static void test_patterns_by_variables_and_of_the_sudo_caller(void **state)
{
    (void)state;
    static const char all[] = ".env\nf\n";
    _cleanup_free_ char *dir = synckit_make(
        &kit, "variables",
        "mkdir t; cd t; " INIT "touch f .env; echo .env >../ign; "
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
               "mkdir -p home/.config/git; cp ign home/.config/git/ignore; "
               "echo \"caller:x:4321:4321::$PWD/home:/bin/sh\" >passwd",
               NULL);
    _cleanup_free_ char *passwd = xasprintf("%s/passwd", dir);
    assert_return_code(mount(passwd, "/etc/passwd", NULL, MS_BIND, NULL), errno);
    (void)setenv("SUDO_UID", "4321", 1);
    (void)setenv("SUDO_GID", "4321", 1);
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    synckit_list(tree, &out);
    (void)unsetenv("SUDO_UID");
    (void)unsetenv("SUDO_GID");
    assert_return_code(umount2("/etc/passwd", MNT_DETACH), errno);
    assert_string_equal(out.buf, "f\n");
    synckit_assert_listed(tree, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_by_variables_and_of_the_sudo_caller),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
