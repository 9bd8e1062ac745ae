/* The residue check finds each kind of thing that can be left: else every test that stands on it
 * would pass over anything. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e2e/e2e.h"

static int setup(void **state)
{
    (void)e2e_open(state);
    bed.settle_ms = 100; /* here, what is left does not go by itself */
    return 0;
}

static void test_each_kind_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *leave, *take, *line;
    } cases[] = {
        {"ip link add left0 type veth peer name left1", "ip link del left0",
         "link left0\nlink left1\n"},
        {"nft add table inet left", "nft delete table inet left", "nft-table inet left\n"},
        {"nft add table ip left", "nft delete table ip left", "nft-table ip left\n"},
        {"mkdir -p \"$CRABBOX_FC_STATE_DIR/leases/cbx_1\"", "rm -r \"$CRABBOX_FC_STATE_DIR\"",
         "/leases/cbx_1\n"},
        {"mkdir -p \"$CRABBOX_FC_STATE_DIR/slugs/some\"", "rm -r \"$CRABBOX_FC_STATE_DIR\"",
         "/slugs/some\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
        e2e_shell(cases[i].leave);
        assert_true(bed_residue(&bed, &lines) > 0);
        bed_assert_has(lines.buf, cases[i].line);
        e2e_shell(cases[i].take);
        bed_assert_clean(&bed);
    }
}

/* A daemon of a grandchild, in a session and a network namespace of its own. */
static pid_t leave_daemon(void)
{
    int out[2];
    pid_t pid = 0;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        if (fork() != 0)
            _exit(0);
        (void)setsid();
        (void)unshare(CLONE_NEWNET);
        (void)prctl(PR_SET_NAME, "left-daemon");
        pid = getpid();
        (void)!write(out[1], &pid, sizeof pid);
        for (;;)
            (void)pause();
    }
    (void)close(out[1]);
    assert_int_equal(read(out[0], &pid, sizeof pid), sizeof pid);
    (void)close(out[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return pid;
}

static void test_a_daemon_and_its_namespace_are_found(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    pid_t pid = leave_daemon();
    assert_int_equal(bed_residue(&bed, &lines), 2);
    bed_assert_has(lines.buf, "netns net:[");
    bed_assert_has(lines.buf, " left-daemon\n");
    assert_int_equal(kill(pid, SIGKILL), 0);
    bed_assert_clean(&bed); /* not reaped yet: a zombie holds nothing */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The program that scripts use says the same, by its output and exit code. In a PID namespace of
 * its own: it would count what watches over this test, which is in another network namespace. */
static void test_the_program(void **state)
{
    (void)state;
    _cleanup_free_ char *line = xasprintf(
        "r=%s/tools/residue; d=$CRABBOX_FC_STATE_DIR; mkdir -p $d\n"
        "$r --snapshot --state-dir $d > base\n"
        "$r --state-dir $d --baseline base > out; grep -x residue=0 out\n"
        "ip link add cbx7 type veth peer name other; mkdir -p $d/leases/cbx_2\n"
        "code=0; $r --state-dir $d --baseline base > out || code=$?; cat out >&2\n"
        "test $code = 1; grep -x residue=3 out; grep -x 'link cbx7' out\n"
        "code=0; $r --state-dir $d > out || code=$?; cat out >&2\n"
        "test $code = 1; grep -x residue=2 out\n"
        "ip link del cbx7; rm -r $d base out",
        bed.build);
    E2E_EXEC_OK("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh",
                "-ec", line);
    bed_assert_clean(&bed);
}

static void test_print_and_parse(void **state)
{
    (void)state;
    struct residue a = {0}, b = {0};
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, diff = STRBUF_INIT;
    residue_parse("link b\nlink a\nlink b\n\n", &a);
    assert_int_equal(a.n, 2);
    residue_print(&a, &text);
    assert_string_equal(text.buf, "link a\nlink b\n");
    residue_parse("link c\nlink a\n", &b);
    assert_int_equal(residue_diff(&a, &b, &diff), 1);
    assert_string_equal(diff.buf, "link c\n");
    residue_free(&a);
    residue_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_is_found),
        cmocka_unit_test(test_a_daemon_and_its_namespace_are_found),
        cmocka_unit_test(test_the_program),
        cmocka_unit_test(test_print_and_parse),
    };
    return E2E_GROUP(tests, setup, e2e_close);
}
