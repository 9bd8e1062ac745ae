#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/host.h"

struct fixture {
    char dir[64], proc[96], cgroup[96];
    struct host_paths paths;
    int fd;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", f->dir, name);
    _cleanup_free_ char *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(dir_make_all(dir, 0700, NULL), 0);
    assert_int_equal(file_write_new(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-host-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)str_format(f->proc, sizeof f->proc, "%s/proc", f->dir);
    (void)str_format(f->cgroup, sizeof f->cgroup, "%s/cgroup", f->dir);
    f->paths = (struct host_paths){f->proc, f->cgroup};
    f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(f, "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable:    2097152 kB\nBuffers: 1 kB\n");
    put(f, "proc/loadavg", "0.1 0.2 0.3 3/500 1234\n");
    put(f, "proc/sys/kernel/pid_max", "4000\n");
    put(f, "proc/sys/kernel/threads-max", "90000\n");
    put(f, "proc/sys/fs/file-nr", "1000\t0\t9000\n");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)close(f->fd);
    assert_int_equal(dir_remove_tree(AT_FDCWD, f->dir, NULL), 0);
    free(f);
    return 0;
}

static struct host_room room(const struct fixture *f)
{
    struct host_room r;
    host_room(&f->paths, f->fd, &r);
    return r;
}

static void the_host_itself(void **state)
{
    struct host_room r = room(*state);
    assert_int_equal(r.memory_mib, 2048);
    assert_int_equal(r.memory_total_mib, 8192);
    assert_int_equal(r.tasks, 3500);
    assert_int_equal(r.files, 8000);
    assert_true(r.disk_mib > 0 && r.inodes > 0);
}

static void the_tightest_group_counts(void **state)
{
    struct fixture *f = *state;
    put(f, "proc/self/cgroup", "1:cpu:/x\n0::/a/b\n");
    put(f, "cgroup/a/b/memory.max", "max\n");
    put(f, "cgroup/a/b/memory.current", "5\n");
    put(f, "cgroup/a/b/pids.max", "100\n");
    put(f, "cgroup/a/b/pids.current", "40\n");
    put(f, "cgroup/a/memory.max", "1073741824\n");
    put(f, "cgroup/a/memory.current", "838860800\n");
    put(f, "cgroup/a/memory.stat", "anon 1\nactive_file 7\ninactive_file 104857600\n");
    struct host_room r = room(f);
    assert_int_equal(r.memory_mib, 1024 - 800 + 100);
    assert_int_equal(r.tasks, 60);
}

static void more_than_the_limit_is_none_left(void **state)
{
    struct fixture *f = *state;
    put(f, "proc/self/cgroup", "0::/\n");
    put(f, "cgroup/memory.max", "1048576\n");
    put(f, "cgroup/memory.current", "4194304\n");
    put(f, "cgroup/pids.max", "3\n");
    put(f, "cgroup/pids.current", "9\n");
    struct host_room r = room(f);
    assert_int_equal(r.memory_mib, 0);
    assert_int_equal(r.tasks, 0);
}

/* What is not there or not readable never makes a host look full. */
static void the_unknown_is_no_limit(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"", "max", "nonsense", "-5 -5 -5", "99999999999999999999"};
    static const char *const names[] = {"proc/meminfo",        "proc/loadavg",
                                        "proc/sys/fs/file-nr", "proc/sys/kernel/pid_max",
                                        "proc/self/cgroup",    "proc/sys/kernel/threads-max"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            put(f, names[k], texts[i]);
        struct host_room r = room(f);
        assert_int_equal(r.memory_mib, HOST_NO_LIMIT);
        assert_int_equal(r.files, HOST_NO_LIMIT);
    }
    struct host_paths none = {"/nonexistent", "/nonexistent"};
    struct host_room r;
    host_room(&none, -1, &r);
    assert_int_equal(r.disk_mib, HOST_NO_LIMIT);
    assert_int_equal(r.inodes, HOST_NO_LIMIT);
}

static void descriptors_of_this_process(void **state)
{
    struct host_room r;
    struct rlimit old, tight;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    host_room(&host_paths_default, -1, &r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_in_range(r.own_fds, 20, 61);
    assert_true(r.memory_mib > 0 && r.memory_mib < HOST_NO_LIMIT);
    assert_true(r.tasks > 0 && r.tasks < HOST_NO_LIMIT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_host_itself),
        T(the_tightest_group_counts),
        T(more_than_the_limit_is_none_left),
        T(the_unknown_is_no_limit),
        T(descriptors_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
