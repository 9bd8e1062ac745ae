/* Guests that fill their disks: what they were promised is there, so nobody else notices. */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "e2e/e2e.h"

/* A lease of the bed takes 64 MiB for its disk and 32 beside it; 64 are kept for the host. */
#define SMALL(mib) "mode=0700,size=" #mib "m"

static char *small_dir(void)
{
    return xasprintf("%s/small", bed.dir);
}

/* State on a filesystem of its own. */
static void small_state(const char *options)
{
    _cleanup_free_ char *dir = small_dir();
    (void)mkdir(dir, 0700);
    assert_int_equal(mount("small", dir, "tmpfs", 0, options), 0);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", dir);
}

static void end_small_state(void)
{
    _cleanup_free_ char *dir = small_dir();
    bed_clear_faults(&bed);
    assert_int_equal(umount(dir), 0);
    bed_assert_clean(&bed);
}

static void refused(const char *slug, const char *says)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "-q", "--slug", slug);
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "too little disk space for a lease: it needs 96 MiB");
    bed_assert_has(r.err.buf, says);
    bed_assert_has(r.err.buf, "next: stop a lease (crabbox-fc list shows them)");
}

/* To the brim: every block of the disks, and of the logs what they may take. */
static void fill_all_disks(void)
{
    e2e_shell("cd \"$CRABBOX_FC_STATE_DIR\"/leases\n"
              "for l in cbx_*; do\n"
              "  n=$(($(stat -c %s $l/vmm/disk.img) / 1048576)); test $n -ge 64\n"
              "  dd if=/dev/zero of=$l/vmm/disk.img bs=1M count=$n conv=notrunc status=none\n"
              "  for f in console.log vmm.log; do head -c 8M /dev/zero >>$l/vmm/$f; done\n"
              "done\n");
}

static void test_full_guests_leave_the_others_their_room(void **state)
{
    (void)state;
    small_state(SMALL(272));
    e2e_warmup("one");
    e2e_warmup("two");
    refused("three", "the guests of 2 leases there may still fill 1");
    fill_all_disks();
    refused("three", "and 64 MiB must stay free for the host");
    /* Records are written, leases used, seen, removed. */
    E2E_OK("heartbeat", "one");
    e2e_shell("test $(df --output=avail -m \"$CRABBOX_FC_STATE_DIR\" | tail -1) -ge 64\n"
              "test \"$(\"$0\" list --json | jq -r '.[].state' | sort -u)\" = ready\n"
              "\"$0\" status one >/dev/null; \"$0\" status two --json >/dev/null\n"
              "\"$0\" run --id two --no-sync -q -- true\n"
              "\"$0\" cleanup >/dev/null");
    e2e_stop("one");
    e2e_warmup("three"); /* the room of the first is there again */
    refused("four", "the guests of 2 leases");
    e2e_stop("three");
    e2e_stop("two");
    end_small_state();
}

/* What a command fetches into its lease's directory takes only what nobody was promised. */
static void test_reports_leave_the_others_their_room(void **state)
{
    (void)state;
    small_state(SMALL(180)); /* 64 + 96, and what is left of 20 */
    e2e_warmup("one");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, "run", "--id", "one", "--no-sync", "--junit", "*.xml", "--", "sh", "-c",
        "for i in 1 2 3 4; do { echo '<testsuite><!--'; head -c 6000000 /dev/zero | tr '\\0' x; "
        "echo '--></testsuite>'; } >$i.xml; done");
    bed_assert_has(r.err.buf, "more than ");
    bed_assert_code(r, 7);
    E2E_OK("run", "--id", "one", "--no-sync", "-q", "--junit", "5.xml", "--", "sh", "-c",
           "echo '<testsuite><testcase name=\"a\"/></testsuite>' >5.xml");
    e2e_stop("one");
    end_small_state();
}

/* Between what is looked at and what is made nobody slips in, and nobody counts twice. */
static void test_as_many_at_once_as_there_is_room_for(void **state)
{
    enum { N = 9, FIT = 5 };
    struct child c[N];
    int made = 0;
    (void)state;
    small_state(SMALL(580)); /* 64 + 5 * 96, and less than a sixth */
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "60s");
    for (int i = 0; i < N; i++)
        c[i] = BED_START(&bed, -1, "warmup", "-q");
    for (int i = 0; i < N; i++) {
        int code = e2e_code(&c[i], 60000);
        assert_true(code == 0 || code == 1);
        made += code == 0;
    }
    assert_int_equal(made, FIT);
    e2e_shell("\"$0\" list --json | jq -r '.[].leaseId' | xargs \"$0\" stop >/dev/null");
    end_small_state();
}

/* Chosen openly, and shown where the lease and the host are looked at. */
static void test_overcommit_is_seen(void **state)
{
    (void)state;
    small_state(SMALL(128));
    refused("one", "MiB must stay free for the host");
    bed_setenv(&bed, "CRABBOX_FC_DISK_OVERCOMMIT", "true");
    e2e_warmup("one");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "status", "one");
    bed_assert_code(s, 0);
    bed_assert_has(s.out.buf, "64 MiB disk (overcommitted)");
    e2e_shell("\"$0\" status one --json | jq -e .machine.diskOvercommit >/dev/null");
    _cleanup_bed_result_ struct bed_result d = BED_RUN(&bed, "doctor");
    bed_assert_has(d.out.buf, "disk.overcommit is set");
    e2e_stop("one");
    end_small_state();
}

/* A process that outlives its lease (one that nobody has reaped, a backup) keeps no blocks. */
static void test_stop_gives_the_blocks_back(void **state)
{
    (void)state;
    static const char *const names[] = {"disk.img", "console.log", "vmm.log"};
    int fds[ARRAY_LEN(names)];
    struct stat st;
    e2e_warmup("one");
    _cleanup_json_ cJSON *j = e2e_status("one");
    e2e_shell("cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm\n"
              "for f in console.log vmm.log; do head -c 1M /dev/zero >>$f; done");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = xasprintf("%s/leases/%s/vmm/%s", bed.state,
                                              json_opt_string(j, "leaseId", "?"), names[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(fstat(fds[i], &st), 0);
        assert_true(st.st_blocks > 0);
    }
    e2e_stop("one");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(fstat(fds[i], &st), 0);
        assert_int_equal(st.st_blocks, 0);
        (void)close(fds[i]);
    }
}

/* What a VMM that was taken over may do in its directory: a log that seems as large as the
 * disk, and a socket with the name of a log that is not there. */
static void test_logs_of_a_vmm_that_was_taken_over(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    e2e_warmup("one");
    _cleanup_json_ cJSON *j = e2e_status("one");
    _cleanup_free_ char *path = xasprintf("%s/leases/%s/vmm", bed.state,
                                          json_opt_string(j, "leaseId", "?"));
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)str_format(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/error.txt", dir);
    assert_int_equal(bind(sock, (const struct sockaddr *)&a, sizeof a), 0);
    e2e_shell("\"$0\" logs one >/dev/null\n"
              "truncate -s 2G \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/vmm/console.log\n"
              "test $(\"$0\" logs one --console --raw | wc -c) -lt 40000000");
    e2e_stop("one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_full_guests_leave_the_others_their_room),
        E2E_TEST(test_reports_leave_the_others_their_room),
        E2E_TEST(test_as_many_at_once_as_there_is_room_for),
        E2E_TEST(test_overcommit_is_seen),
        E2E_TEST(test_stop_gives_the_blocks_back),
        E2E_TEST(test_logs_of_a_vmm_that_was_taken_over),
    };
    return E2E_MAIN(tests);
}
