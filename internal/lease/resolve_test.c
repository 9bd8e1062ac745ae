/* A lease that can't be looked at just now, for want of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lease/store.h"
#include "sys/file.h"

#define ID "cbx_0123456789ab"

static bool no_memory_to_look;

/* Instead of libc's. */
int fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
    if (no_memory_to_look && lease_id_valid(name)) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_newfstatat, dirfd, name, st, flags);
}

/* Whoever removes leases takes one that is not found for removed. */
static void a_lease_that_cannot_be_looked_at_is_not_gone(void **state)
{
    static const struct lease_kind *const kinds[] = {NULL};
    char path[] = "/tmp/crabbox-resolve-XXXXXX", id[LEASE_ID_SIZE];
    struct error e = ERROR_INIT;
    struct store s;
    (void)state;
    assert_non_null(mkdtemp(path));
    assert_int_equal(store_open(&s, path, kinds, NULL), 0);
    assert_int_equal(mkdirat(s.leases_fd, ID, 0700), 0);
    no_memory_to_look = true;
    int r = store_resolve(&s, ID, id, &e);
    no_memory_to_look = false;
    assert_int_equal(r, -1);
    assert_int_equal(e.kind, ERR_IO);
    assert_int_equal(e.sys, ENOMEM);
    assert_int_equal(store_resolve(&s, ID, id, NULL), 0);
    store_close(&s);
    assert_int_equal(dir_remove_tree(AT_FDCWD, path, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_that_cannot_be_looked_at_is_not_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
