/* What a command gets and gives: words, streams, variables, time, turns. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "e2e/provider_suite.h"

static void test_exit_codes_and_streams_pass_through(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int code;
    } cases[] = {
        {"exit 0", 0},
        {"exit 1", 1},
        {"exit 3", 3},
        {"exit 255", 255},
        {"kill -TERM $$", 128 + SIGTERM},
        {"kill -KILL $$", 128 + SIGKILL},
    };
    e2e_warmup("codes");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(
            &bed, "run", "--id", "codes", "--no-sync", "--", "sh", "-c", cases[i].script);
        bed_assert_code(r, cases[i].code);
    }
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("codes", "--", "sh", "-c",
                                                          "echo to-out; echo to-err >&2");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "to-out\n");
    bed_assert_has(r.err.buf, "to-err\n");
    e2e_stop("codes");
}

static void test_arguments_arrive_as_they_are(void **state)
{
    (void)state;
    e2e_warmup("args");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN(
        "args", "--", "printf", "<%s>", "a b", "", "$HOME", "it's", "\"q\"", "a\nb", "*", "\\");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "<a b><><$HOME><it's><\"q\"><a\nb><*><\\>");
    e2e_stop("args");
}

static void test_every_byte_of_an_argument(void **state)
{
    (void)state;
    char all[256], each[255][2];
    const char *argv[300] = {bed.program, "run", "--id",   "bytes", "--no-sync",
                             "-q",        "--",  "printf", "<%s>"};
    size_t n = 9;
    _cleanup_strbuf_ struct strbuf want = STRBUF_INIT;
    for (int i = 1; i < 256; i++) {
        all[i - 1] = (char)i;
        each[i - 1][0] = (char)i;
        each[i - 1][1] = '\0';
        argv[n++] = each[i - 1];
        strbuf_addf(&want, "<%s>", each[i - 1]);
    }
    all[255] = '\0';
    argv[n++] = all;
    argv[n++] = "";
    argv[n++] = "-n";
    strbuf_addf(&want, "<%s><><-n>", all);
    e2e_warmup("bytes");
    _cleanup_bed_result_ struct bed_result r = bed_exec(&bed, argv);
    bed_assert_code(r, 0);
    assert_int_equal(r.out.len, want.len);
    assert_memory_equal(r.out.buf, want.buf, want.len);
    /* The same bytes as the value of a variable. */
    _cleanup_free_ char *assign = xasprintf("ALL=%s", all);
    _cleanup_bed_result_ struct bed_result e = E2E_RUN_IN("bytes", "--env", assign, "--",
                                                          "printenv", "ALL");
    bed_assert_code(e, 0);
    assert_int_equal(e.out.len, 256);
    assert_memory_equal(e.out.buf, all, 255);
    e2e_stop("bytes");
}

/* Three megabytes of anything, in, out and beside: byte by byte. */
static void test_streams_are_exact(void **state)
{
    (void)state;
    e2e_warmup("exact");
    e2e_shell("head -c 3000000 /dev/urandom >in\n"
              "\"$0\" run --id exact --no-sync -q -- sh -c "
              "'cat >/tmp/in; cat /tmp/in; cat /tmp/in >&2' <in >out 2>err\n"
              "cmp in out; cmp in err; rm in out err");
    e2e_stop("exact");
}

static void test_second_run_sees_what_the_first_left(void **state)
{
    (void)state;
    e2e_warmup("again");
    E2E_OK("run", "--id", "again", "--no-sync", "--", "sh", "-c", "echo kept > ~/file");
    _cleanup_bed_result_ struct bed_result b = E2E_RUN_IN("again", "--", "sh", "-c", "cat ~/file");
    bed_assert_code(b, 0);
    assert_string_equal(b.out.buf, "kept\n");
    e2e_stop("again");
}

static void test_environment(void **state)
{
    (void)state;
    static const char file[] = "# ours\nFROM_FILE='two\nlines'\nBOTH=file\nPASSED\n";
    static const char show[] = "printf '<%s>' \"$CI\" \"${UNLISTED-none}\" \"$FROM_FILE\" \"$BOTH\""
                               " \"$PASSED\" \"$INLINE\" \"$CRABBOX_SLUG\"";
    bed_setenv(&bed, "CI", "allowed");
    bed_setenv(&bed, "UNLISTED", "leak");
    bed_setenv(&bed, "PASSED", "by name");
    e2e_write_file("vars", file, sizeof file - 1);
    e2e_warmup("env");
    /* In the tree, so that somebody else may have written it. */
    _cleanup_bed_result_ struct bed_result tree = E2E_RUN_IN("env", "--env-file", "vars", "--",
                                                             "sh", "-c", show);
    bed_assert_code(tree, 2);
    bed_assert_has(tree.err.buf, "vars:5: PASSED without a value");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN(
        "env", "--env-file", "vars", "--env", "BOTH=option", "--env", "PASSED", "--env",
        "INLINE=a'b\"c\n$d", "--", "sh", "-c", show);
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "<allowed><none><two\nlines><option><by name><a'b\"c\n$d><env>");
    _cleanup_bed_result_ struct bed_result ids = E2E_RUN_IN(
        "env", "--", "sh", "-c", "echo $CRABBOX_LEASE_ID $CRABBOX_RUN_ID");
    bed_assert_code(ids, 0);
    assert_true(str_has_prefix(ids.out.buf, "cbx_"));
    bed_assert_has(ids.out.buf, " run_");
    _cleanup_bed_result_ struct bed_result only = E2E_RUN_IN("env", "--allow-env", "UNLISTED", "--",
                                                             "sh", "-c", "echo \"$CI|$UNLISTED\"");
    bed_assert_code(only, 0);
    assert_string_equal(only.out.buf, "|leak\n");
    _cleanup_bed_result_ struct bed_result two = E2E_RUN_IN("env", "--allow-env", "UNLISTED",
                                                            "--allow-env=PASSED,CI", "--", "sh",
                                                            "-c", "echo \"$CI|$UNLISTED|$PASSED\"");
    bed_assert_code(two, 0);
    assert_string_equal(two.out.buf, "allowed|leak|by name\n");
    _cleanup_bed_result_ struct bed_result no = E2E_RUN_IN("env", "--env", "NOT_THERE", "--",
                                                           "true");
    bed_assert_code(no, 2);
    bed_assert_has(no.err.buf, "NOT_THERE is not set here");
    _cleanup_bed_result_ struct bed_result own = E2E_RUN_IN("env", "--env", "CRABBOX_RUN_ID=x",
                                                            "--", "true");
    bed_assert_code(own, 2);
    e2e_stop("env");
}

static void test_timeout_ends_the_whole_tree(void **state)
{
    (void)state;
    /* Deaf to SIGTERM, in sessions of their own, orphaned, forking on. */
    static const char script[] = "trap '' TERM\n"
                                 "setsid sh -c 'trap \"\" TERM; sleep 8881 & sleep 8882' &\n"
                                 "(setsid sleep 8883 &)\n"
                                 "env -u CRABBOX_RUN_ID sleep 8884 &\n"
                                 "(while :; do sleep 0.0001; done) &\n"
                                 "sleep 8885; sleep 8886";
    static const char *const words[] = {"8881", "8882", "8883", "8884", "8885"};
    e2e_warmup("timed");
    struct child c = BED_START(&bed, -1, "run", "--id", "timed", "--no-sync", "-q", "--timeout",
                               "6s", "--", "sh", "-c", script);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        e2e_wait_processes(words[i], 1);
    assert_int_equal(e2e_code(&c, 30000), 124);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_int_equal(e2e_processes(words[i]), 0);
    assert_int_equal(e2e_processes("8886"), 0);
    assert_int_equal(e2e_processes("0.0001"), 0);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN(
        "timed", "--timeout", "700ms", "--timing-json", "--", "sh", "-c", "echo begun; sleep 8887");
    bed_assert_code(r, 124);
    assert_string_equal(r.out.buf, "begun\n");
    bed_assert_has(r.err.buf, "--timeout 700ms");
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "provider", ""), suite_of->provider);
    assert_string_equal(json_opt_string(j, "outcome", ""), "timeout");
    assert_string_equal(json_opt_string(j, "cause", ""), "timeout");
    assert_string_equal(json_opt_string(j, "runStatus", ""), "timed-out");
    assert_string_equal(json_opt_string(j, "errorKind", ""), "timeout");
    assert_int_equal(json_opt_i64(j, "exitCode", 0), 124);
    assert_int_equal(e2e_processes("8887"), 0);
    /* The lease is as good as before; and a command within its time is not disturbed. */
    _cleanup_bed_result_ struct bed_result ok = E2E_RUN_IN("timed", "--timeout", "1m", "--", "sh",
                                                           "-c", "exit 3");
    bed_assert_code(ok, 3);
    _cleanup_bed_result_ struct bed_result bad = E2E_RUN_IN("timed", "--timeout", "soon", "--",
                                                            "true");
    bed_assert_code(bad, 2);
    e2e_stop("timed");
    /* A lease that was made for the run goes away with it all the same. */
    _cleanup_bed_result_ struct bed_result own = BED_RUN(&bed, "run", "--no-sync", "-q",
                                                         "--timeout", "200ms", "--", "sleep", "99");
    bed_assert_code(own, 124);
    bed_assert_clean(&bed);
}

static void test_scripts(void **state)
{
    (void)state;
    static const char sh[] = "#!/bin/sh -e\necho \"sh:$1:$2\"; stat -c %a \"$0\"\n"
                             "case $0 in \"$PWD\"/*) ;; *) exit 9 ;; esac\nfalse\nexit 8\n";
    static const char bash[] = "a=(x y z); echo \"${#a[@]} $1\"; cat; exit 5\n";
    e2e_write_file("with-shebang", sh, sizeof sh - 1);
    e2e_write_file("without", bash, sizeof bash - 1);
    e2e_warmup("script");
    _cleanup_bed_result_ struct bed_result a = E2E_RUN_IN("script", "--script", "with-shebang",
                                                          "--", "a b", "it's");
    bed_assert_code(a, 1);
    assert_string_equal(a.out.buf, "sh:a b:it's\n700\n");
    _cleanup_bed_result_ struct bed_result b = BED_EXEC(
        &bed, "sh", "-c",
        "echo input | \"$0\" run --id script --no-sync -q --script without -- arg", bed.program);
    bed_assert_code(b, 5);
    assert_string_equal(b.out.buf, "3 arg\ninput\n");
    _cleanup_bed_result_ struct bed_result c = BED_EXEC(
        &bed, "sh", "-c",
        "printf 'echo \"$@\"; cat' | \"$0\" run --id script --no-sync -q --script-stdin one two",
        bed.program);
    bed_assert_code(c, 0);
    assert_string_equal(c.out.buf, "one two\n");
    /* Nothing stays, not even of a script whose time was over. */
    _cleanup_bed_result_ struct bed_result t = BED_EXEC(
        &bed, "sh", "-c",
        "echo 'sleep 99' | \"$0\" run --id script --no-sync -q --timeout 300ms --script-stdin",
        bed.program);
    bed_assert_code(t, 124);
    _cleanup_bed_result_ struct bed_result l = E2E_RUN_IN("script", "--", "ls", "-A", ".");
    bed_assert_code(l, 0);
    assert_string_equal(l.out.buf, "");
    _cleanup_bed_result_ struct bed_result m = E2E_RUN_IN("script", "--script", "missing");
    bed_assert_code(m, 1);
    bed_assert_has(m.err.buf, "missing");
    e2e_stop("script");
}

static void test_two_runs_on_one_lease(void **state)
{
    (void)state;
    int fds[2];
    char text[16];
    e2e_warmup("turns");
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct child c = BED_START(&bed, fds[1], "run", "--id", "turns", "--no-sync", "-q", "--", "sh",
                               "-c",
                               "echo on; until [ -e /tmp/go ]; do sleep .1; done; "
                               "echo first > turn");
    (void)close(fds[1]);
    assert_true(read(fds[0], text, sizeof text) > 0);
    (void)close(fds[0]);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("turns", "--stop-after", "always", "--",
                                                          "true");
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "another run is using lease turns");
    _cleanup_bed_result_ struct bed_result s = E2E_RUN_IN("turns", "--wait-timeout", "100ms", "--",
                                                          "true");
    bed_assert_code(s, 5);
    /* The first ends only when told to, and is told so while the other waits. */
    _cleanup_bed_result_ struct bed_result w = BED_EXEC(
        &bed, "sh", "-c",
        "\"$0\" ssh turns 'sleep 3; touch /tmp/go' >/dev/null 2>&1 &\n"
        "\"$0\" run --id turns --no-sync --wait -- cat turn; code=$?; wait; exit $code",
        bed.program);
    bed_assert_code(w, 0);
    assert_string_equal(w.out.buf, "first\n");
    bed_assert_has(w.err.buf, "waiting for another run");
    assert_int_equal(e2e_code(&c, 30000), 0);
    e2e_stop("turns");
}

int suite_run(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_exit_codes_and_streams_pass_through),
        E2E_TEST(test_arguments_arrive_as_they_are),
        E2E_TEST(test_every_byte_of_an_argument),
        E2E_TEST(test_streams_are_exact),
        E2E_TEST(test_second_run_sees_what_the_first_left),
        E2E_TEST(test_environment),
        E2E_TEST(test_timeout_ends_the_whole_tree),
        E2E_TEST(test_scripts),
        E2E_TEST(test_two_runs_on_one_lease),
    };
    return E2E_GROUP(tests, suite_open, e2e_close);
}
