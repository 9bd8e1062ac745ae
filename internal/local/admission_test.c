#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/admission.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/file.h"
#include "testutil/badreaddir.h"

struct fixture {
    char path[64];
    struct store store;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->path, sizeof f->path, "/tmp/crabbox-admission-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(store_open(&f->store, f->path, local_kinds, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    assert_int_equal(dir_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f);
    return 0;
}

static const struct admission small = {.memory_mib = 512, .disk_mib = 64, .cpus = 2};
static const struct host_room plenty = {HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT,
                                        HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT};

static void each_shortage_is_told_with_figures(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct host_room room;
        const char *needs, *has;
    } cases[] = {
        {{559, 999, 9999, 999, 999, 999, 999, 99999}, "needs 560 MiB", "559 MiB"},
        {{999, 17, 9999, 999, 999, 999, 999, 99999}, "needs 18", "17"},
        {{999, 999, 255, 999, 999, 999, 999, 99999}, "needs 256", "255"},
        {{999, 999, 9999, 39, 999, 999, 999, 99999}, "needs 40", "39"},
        {{999, 999, 9999, 999, 159, 999, 999, 99999},
         "needs 96 MiB",
         "159 MiB free, and 64 MiB must stay"},
        {{999, 999, 9999, 999, 595, 999, 10000, 99999},
         "needs 96 MiB",
         "595 MiB free, and 500 MiB must stay"},
        {{999, 999, 9999, 999, 999, 31, 999, 99999}, "needs 32", "31"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = ERROR_INIT;
        assert_int_equal(admission_reserve(&f->store, &small, &cases[i].room, NULL, &e), -1);
        assert_int_equal(e.kind, ERR_ENV);
        if (!strstr(e.msg, cases[i].needs) || !strstr(e.msg, cases[i].has) ||
            !strstr(e.msg, "next: "))
            fail_msg("%s", e.msg);
    }
    struct host_room just = {560, 18, 256, 40, 160, 32, 999, 560};
    int fd = admission_reserve(&f->store, &small, &just, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* What is being made counts, and only while it is. */
static void leases_in_the_making_count(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    struct error e = ERROR_INIT;
    int held[3];
    room.memory_mib = 3 * 560;
    for (int i = 0; i < 3; i++)
        assert_true((held[i] = admission_reserve(&f->store, &small, &room, NULL, NULL)) >= 0);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    if (!strstr(e.msg, "the 3 being made now 1680 MiB"))
        fail_msg("%s", e.msg);
    (void)close(held[1]); /* a gap in the middle */
    held[1] = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(held[1] >= 0);
    error_clear(&e);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    for (int i = 0; i < 3; i++)
        (void)close(held[i]);
    held[0] = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(held[0] >= 0);
    (void)close(held[0]);
}

/* A lease's disk as a step leaves it: so large, so much of it taken. */
static int lease_dir(const struct fixture *f, const char *id, int64_t size_mib, int64_t taken_mib)
{
    char byte[4096] = {1};
    assert_int_equal(mkdirat(f->store.leases_fd, id, 0700), 0);
    int dir = openat(f->store.leases_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(dir, VMM_DIR, 0700), 0);
    _cleanup_close_ int fd = openat(dir, VMM_DIR "/" DISK_NEW, O_WRONLY | O_CREAT | O_CLOEXEC,
                                    0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size_mib << 20), 0);
    for (int64_t at = 0; at < taken_mib << 20; at += (int64_t)sizeof byte)
        assert_int_equal(pwrite(fd, byte, sizeof byte, (off_t)at), sizeof byte);
    return dir;
}

static int disk_made(const struct fixture *f, int reservation, int dir)
{
    _cleanup_close_ int vmm = vmm_dir_open(dir, NULL);
    return admission_disk_made(&f->store, reservation, dir, vmm, NULL, NULL);
}

/* A disk counts once, whether it is being made or there, and in what it may still grow by. */
/* What others were promised is not less where it can't be read. */
static void half_a_directory_of_leases_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error e = ERROR_INIT;
    struct disk_promises p;
    readdir_good = 2;
    int r = diskroom_promised(f->store.leases_fd, &p, &e);
    readdir_good = -1;
    assert_int_equal(r, -1);
    assert_int_equal(e.kind, ERR_IO);
    assert_non_null(strstr(e.msg, "read the directory of leases: Input/output error"));
}

static void a_disk_counts_until_it_is_full(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    struct error e = ERROR_INIT;
    struct disk_promises p;
    room.disk_mib = 64 + 2 * 96;
    room.disk_total_mib = 999;
    int making = admission_reserve(&f->store, &small, &room, NULL, NULL);
    int second = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(making >= 0 && second >= 0);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    bool told = strstr(e.msg,
                       "256 MiB free, what is being made now needs 192 MiB, and 64 MiB must");
    if (!told)
        fail_msg("%s", e.msg);
    (void)close(second);
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 64, 8);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.leases, 0);
    assert_int_equal(disk_made(f, making, dir), 0);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.leases, 1);
    assert_in_range(p.mib, 64 - 8 + DISKROOM_EXTRA_MIB - 1, 64 - 8 + DISKROOM_EXTRA_MIB);
    room.disk_mib -= 8; /* what it has taken is no longer free */
    second = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(second >= 0);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    assert_non_null(strstr(e.msg, "of which the guests of 1 lease there may still fill 88 MiB, "
                                  "what is being made now needs 96 MiB"));
    (void)close(second);
    assert_int_equal(unlinkat(dir, VMM_DIR "/" DISK_FILE, 0), 0);
    room.disk_mib += 8;
    second = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(second >= 0); /* memory is still reserved, the disk is not */
    (void)close(second);
    (void)close(making);
}

/* What a command writes beside its lease takes nothing that was promised, and nobody is promised
 * what it holds. */
static void files_beside_a_lease_get_what_is_left(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    struct error e = ERROR_INIT;
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 64, 0);
    assert_int_equal(disk_made(f, -1, dir), 0);
    room.disk_mib = 64 + 96 + 100;
    room.disk_total_mib = 999;
    int64_t mib = 30;
    int first = admission_hold_disk(&f->store, false, &mib, &room, NULL, NULL);
    assert_true(first >= 0 && mib == 30);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    assert_non_null(strstr(e.msg, "what is being made now needs 30 MiB"));
    mib = 256;
    int second = admission_hold_disk(&f->store, false, &mib, &room, NULL, NULL);
    assert_true(second >= 0 && mib == 70);
    assert_int_equal(admission_hold_disk(&f->store, false, &mib, &room, NULL, &e), -1);
    assert_int_equal(e.kind, ERR_ENV);
    /* Of a lease that takes whatever is free. */
    _cleanup_close_ int third = admission_hold_disk(&f->store, true, &mib, &room, NULL, NULL);
    assert_true(third >= 0 && mib == 70);
    (void)close(first);
    (void)close(second);
    CLOSE_FD(third);
    int reserved = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(reserved >= 0);
    (void)close(reserved);
}

/* The size that it was made with is what counts, whatever its VMM makes of the file. */
static void a_disk_that_was_emptied_counts_in_full(void **state)
{
    struct fixture *f = *state;
    struct disk_promises p;
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 64, 8);
    assert_int_equal(disk_made(f, -1, dir), 0);
    _cleanup_close_ int disk = openat(dir, VMM_DIR "/" DISK_FILE, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(disk >= 0);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.mib, 64 + DISKROOM_EXTRA_MIB);
}

/* Of a lease that an older version made. */
static void a_disk_beside_the_record_counts(void **state)
{
    struct fixture *f = *state;
    struct disk_promises p;
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 64, 8);
    assert_int_equal(disk_made(f, -1, dir), 0);
    assert_int_equal(renameat(dir, VMM_DIR "/" DISK_FILE, dir, DISK_FILE), 0);
    assert_int_equal(unlinkat(dir, VMM_DIR, AT_REMOVEDIR), 0);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.leases, 1);
    assert_in_range(p.mib, 64 - 8 + DISKROOM_EXTRA_MIB - 1, 64 - 8 + DISKROOM_EXTRA_MIB);
}

/* What shares its blocks with the image may have to write all of them anew. */
static void a_clone_that_shares_its_blocks_counts_in_full(void **state)
{
    struct fixture *f = *state;
    struct disk_promises p;
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 64, 8);
    assert_int_equal(file_write_new(dir, DISK_SHARED, "", 0, 0600, NULL), 0);
    assert_int_equal(disk_made(f, -1, dir), 0);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.mib, 64 + DISKROOM_EXTRA_MIB);
}

/* A disk may take more than its size: the lists of its extents, or what was reserved behind its
 * end. That is no longer free, and takes nothing off what the others are promised. */
static void what_a_disk_has_too_much_is_not_set_off(void **state)
{
    struct fixture *f = *state;
    struct disk_promises p;
    struct stat st;
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 8, 0);
    _cleanup_close_ int other = lease_dir(f, "cbx_000000000002", 64, 0);
    assert_int_equal(disk_made(f, -1, dir), 0);
    assert_int_equal(disk_made(f, -1, other), 0);
    _cleanup_close_ int disk = openat(dir, VMM_DIR "/" DISK_FILE, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fallocate(disk, FALLOC_FL_KEEP_SIZE, 0, 80 << 20), 0);
    assert_int_equal(fstat(disk, &st), 0);
    assert_true(st.st_size == 8 << 20 && st.st_blocks >= 80 << 11);
    assert_int_equal(diskroom_promised(f->store.leases_fd, &p, NULL), 0);
    assert_int_equal(p.leases, 2);
    assert_int_equal(p.mib, 64 + 2 * DISKROOM_EXTRA_MIB);
}

/* A root that is larger than the disk that was asked for is cloned whole. */
static void a_stock_root_is_never_made_smaller(void **state)
{
    const struct fixture *f = *state;
    char path[PATH_MAX];
    _cleanup_close_ int dir = lease_dir(f, "cbx_000000000001", 100, 0);
    assert_true(dir >= 0);
    (void)str_format(path, sizeof path, "%s/leases/cbx_000000000001/" VMM_DIR "/" DISK_NEW,
                     f->path);
    assert_int_equal(diskroom_disk_mib(64, path), 100);
    assert_int_equal(diskroom_disk_mib(128, path), 128);
    assert_int_equal(diskroom_disk_mib(64, NULL), 64);
}

/* Chosen openly: only what a lease takes beside its disk has to fit, by those who chose it. */
static void who_overcommits_looks_at_what_is_free_now(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    struct admission over = small;
    over.overcommit = true;
    over.disk_mib = 1 << 24;
    room.disk_mib = 64 + 2 * DISKROOM_EXTRA_MIB;
    room.disk_total_mib = 999;
    int first = admission_reserve(&f->store, &over, &room, NULL, NULL);
    int second = admission_reserve(&f->store, &over, &room, NULL, NULL);
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(admission_reserve(&f->store, &over, &room, NULL, NULL), -1);
    room.disk_mib = 1 << 23;
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, NULL), -1);
    (void)close(first);
    (void)close(second);
}

static void a_part_of_the_disk_is_kept(void **state)
{
    (void)state;
    assert_int_equal(diskroom_kept_mib(100), 64);
    assert_int_equal(diskroom_kept_mib(100000), 5000);
    assert_int_equal(diskroom_kept_mib(100000000), 16384);
    assert_int_equal(diskroom_kept_mib(HOST_NO_LIMIT), 0);
}

static void a_dead_process_reserves_nothing(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    int ready[2];
    char byte;
    room.memory_mib = 560;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (admission_reserve(&f->store, &small, &room, NULL, NULL) >= 0)
            (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, NULL), -1);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    int fd = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* Of many at once exactly as many are let in as there is room for. */
static void many_at_once_fill_the_host_and_no_more(void **state)
{
    enum { N = 24, ROOM = 10 };
    struct fixture *f = *state;
    struct host_room room = plenty;
    int done[2], hold[2], in = 0;
    pid_t pids[N];
    room.disk_mib = 64 + ROOM * 96;
    room.disk_total_mib = 999;
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(hold), 0);
    for (int i = 0; i < N; i++)
        if ((pids[i] = fork()) == 0) {
            char c = admission_reserve(&f->store, &small, &room, NULL, NULL) >= 0 ? 'y' : 'n';
            (void)!write(done[1], &c, 1);
            (void)close(hold[1]);
            (void)!read(hold[0], &c, 1); /* until the parent closes its end */
            _exit(0);
        }
    for (int i = 0; i < N; i++) {
        char c = 0;
        assert_int_equal(read(done[0], &c, 1), 1);
        in += c == 'y';
    }
    (void)close(hold[1]);
    for (int i = 0; i < N; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    assert_int_equal(in, ROOM);
    (void)close(hold[0]);
    (void)close(done[0]);
    (void)close(done[1]);
}

/* An emulated guest of 1 GiB fits a host with 2 GiB free. */
static void an_emulated_guest_fits(void **state)
{
    struct fixture *f = *state;
    struct admission a = {.memory_mib = 1024, .cpus = 2, .emulated = true};
    struct host_room room = plenty;
    room.memory_mib = 2048;
    int fd = admission_reserve(&f->store, &a, &room, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_shortage_is_told_with_figures),
        T(leases_in_the_making_count),
        T(a_dead_process_reserves_nothing),
        T(many_at_once_fill_the_host_and_no_more),
        T(an_emulated_guest_fits),
        T(half_a_directory_of_leases_is_an_error),
        T(a_disk_counts_until_it_is_full),
        T(files_beside_a_lease_get_what_is_left),
        T(a_disk_that_was_emptied_counts_in_full),
        T(a_disk_beside_the_record_counts),
        T(a_clone_that_shares_its_blocks_counts_in_full),
        T(what_a_disk_has_too_much_is_not_set_off),
        T(a_stock_root_is_never_made_smaller),
        T(who_overcommits_looks_at_what_is_free_now),
        cmocka_unit_test(a_part_of_the_disk_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
