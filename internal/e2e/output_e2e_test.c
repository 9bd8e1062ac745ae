/* What becomes of a result when standard output is closed or full, or when nobody reads it. */
#include "e2e/e2e.h"

/* Each verb that prints, as the shell reads it. Those below make or end something as well. */
static const char *const printing[] = {
    "",
    "help",
    "help config-flags",
    "list --help",
    "man",
    "version",
    "version --json",
    "completion bash",
    "complete -- st",
    "config",
    "config path --json",
    "trust list",
    "doctor",
    "list",
    "list --json",
    "status box",
    "status --json box",
    "heartbeat box",
    "heartbeat --json box",
    "logs box",
    "logs --console --raw box",
    "ssh --print box",
    "cleanup",
    "cleanup --json",
    "stop --missing-ok nobody",
    "stop --missing-ok --json nobody",
    "run --id box --sync-plan",
    "run --id box --no-sync -q -- echo word",
    "cp --json box:/etc/passwd got",
    "warmup --slug full",
};

static struct bed_result with(const char *verb, const char *rest)
{
    _cleanup_free_ char *line = xasprintf("exec 2>&1; \"$0\" %s %s", verb, rest);
    return BED_EXEC(&bed, "bash", "-c", line, bed.program);
}

static void test_full_and_closed(void **state)
{
    (void)state;
    e2e_write_file("file", "x", 1); /* for --sync-plan */
    for (size_t i = 0; i < ARRAY_LEN(printing); i++) {
        const char *verb = printing[i];
        _cleanup_bed_result_ struct bed_result full = with(verb, ">/dev/full");
        _cleanup_bed_result_ struct bed_result closed = with(verb, ">&-");
        if (full.st.code == 0 || closed.st.code == 0)
            fail_msg("success without an output: crabbox-fc %s", verb);
        if (*verb) { /* which has an exit code of its own */
            bed_assert_code(full, 1);
            bed_assert_code(closed, 1);
        }
        bed_assert_has(full.out.buf, "No space left on device");
        bed_assert_has(closed.out.buf, "standard output is closed" BED_NEXT);
    }
}

/* What is done is done, and what would have to be undone is not begun. */
static void test_leases_without_an_output(void **state)
{
    (void)state;
    assert_true(e2e_there("full"));
    _cleanup_bed_result_ struct bed_result again = with("warmup --slug full2", ">/dev/full");
    bed_assert_has(again.out.buf, "but the lease full2 is there" BED_NEXT "crabbox-fc stop full2");
    _cleanup_bed_result_ struct bed_result closed = with("warmup --slug none", ">&-");
    assert_false(e2e_there("none"));
    _cleanup_bed_result_ struct bed_result stop = with("stop full full2", ">/dev/full");
    bed_assert_code(stop, 1);
    assert_false(e2e_there("full"));
    assert_false(e2e_there("full2"));
    _cleanup_bed_result_ struct bed_result quiet = with("run --id box --no-sync -q -- true", ">&-");
    bed_assert_code(quiet, 0); /* which has nothing to say */
}

/* The reader has gone before anything is written. */
static struct bed_result unread(const char *verb)
{
    _cleanup_free_ char *line = xasprintf("mkfifo p; exec 4<>p 3>p 4<&-; rm p\n\"$0\" %s 2>&1 >&3",
                                          verb);
    return BED_EXEC(&bed, "bash", "-c", line, bed.program);
}

static void test_nobody_reads(void **state)
{
    (void)state;
    for (size_t i = 1; i < ARRAY_LEN(printing); i++) {
        _cleanup_bed_result_ struct bed_result r = unread(printing[i]);
        bed_assert_code(r, 1);
        if (strstr(r.out.buf, "roken pipe") || strstr(r.out.buf, "standard output"))
            fail_msg("crabbox-fc %s: %s", printing[i], r.out.buf);
    }
    e2e_stop("full");
    _cleanup_bed_result_ struct bed_result run = unread("run --id box --no-sync -- yes");
    bed_assert_code(run, 1);
    if (strstr(run.out.buf, "the failed run"))
        fail_msg("%s", run.out.buf);
}

/* In one write, so that `| head -n 1` never leaves before the last one. */
static void test_a_table_is_written_at_once(void **state)
{
    (void)state;
    static const char script[] = "import os, subprocess, sys\n"
                                 "r, w = os.pipe2(os.O_DIRECT)\n" /* a read gets one write */
                                 "subprocess.check_call([sys.argv[1], 'list'], stdout=w)\n"
                                 "assert os.read(r, 65536).count(b'\\n') >= 2\n";
    E2E_EXEC_OK("python3", "-c", script, bed.program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_closed),
        cmocka_unit_test(test_leases_without_an_output),
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_a_table_is_written_at_once),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
