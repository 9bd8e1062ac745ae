#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/lib.h"

static void test_a_library_is_loaded_once_and_gives_its_functions(void **state)
{
    struct lib l = {"libm.so.6", "libc6", NULL};
    struct error err = ERROR_INIT;
    double (*root)(double);
    (void)state;
    void *found = lib_symbol(&l, "sqrt");
    void *handle = l.handle;
    memcpy(&root, &found, sizeof root);
    assert_true(root(81) > 8.99 && root(81) < 9.01);
    assert_int_equal(lib_load(&l, &err), 0);
    assert_ptr_equal(l.handle, handle);
}

static void test_a_missing_library_names_its_package(void **state)
{
    struct lib l = {"libcrabbox-has-no-such.so.7", "libnosuch7", NULL};
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(lib_load(&l, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "libcrabbox-has-no-such.so.7"));
    assert_non_null(strstr(err.msg, "install the package libnosuch7"));
    assert_null(l.handle);
}

/* How a process ends that asks for what is not there. */
static int end_of_asking(const char *soname, const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct lib l = {soname, "libc6", NULL};
        const struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        (void)lib_symbol(&l, name);
        _exit(0);
    }
    int status = 0;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_a_function_that_is_not_there_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(end_of_asking("libm.so.6", "sqrt"), 0);
    assert_int_equal(end_of_asking("libm.so.6", "crabbox_has_no_such"), SIGABRT);
    assert_int_equal(end_of_asking("libcrabbox-has-no-such.so.7", "sqrt"), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_library_is_loaded_once_and_gives_its_functions),
        cmocka_unit_test(test_a_missing_library_names_its_package),
        cmocka_unit_test(test_a_function_that_is_not_there_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
