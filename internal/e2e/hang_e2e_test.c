/* A guest that hangs in each phase of a run and a copy: each ends by itself, says what hung, and
 * has the exit code of its phase. Through the whole program and the stand-in, whose programs are
 * replaced by ones that sleep. */
#include <string.h>

#include "e2e/e2e.h"

/* Long enough for a busy machine to start a program, short enough to wait for. */
#define STALL "3s"

/* Each is itself until somebody makes /tmp/hang/NAME. */
#define REPLACE                                                                                    \
    "mkdir -p ~/bin /tmp/hang; for p in tar find mkdir cat sh sort chmod mktemp bash; do\n"        \
    "printf '#!/bin/bash\\n[ -e /tmp/hang/%s ] && exec sleep 9191\\nexec /bin/%s \"$@\"\\n' "      \
    "$p $p >~/bin/$p; done; chmod +x ~/bin/*\n"                                                    \
    "echo 'PATH=~/bin:$PATH' >~/.bashrc"

static int setup(void **state)
{
    (void)e2e_open(state);
    e2e_warmup("hang");
    e2e_guest("hang", REPLACE);
    e2e_shell("for i in 1 2 3; do echo $i >file$i; done");
    E2E_OK("run", "-q", "--id", "hang", "--", "touch", "result");
    return 0;
}

static int teardown(void **state)
{
    e2e_stop("hang");
    return e2e_close(state);
}

#define RUN "run", "-q", "--id", "hang", "--stall-timeout", STALL, "--timing-json"

struct hang {
    const char *program; /* what sleeps in the guest */
    const char *before;  /* on the host */
    const char *args[10];
    int code;
    const char *kind, *phase, *says;
};

static void check(const struct hang *h)
{
    const char *argv[24] = {bed.program, RUN};
    _cleanup_free_ char *on = xasprintf("touch /tmp/hang/%s", h->program);
    _cleanup_free_ char *off = xasprintf("rm /tmp/hang/%s", h->program);
    size_t n = 0;
    while (argv[n])
        n++;
    memcpy(argv + n, h->args, sizeof h->args);
    if (h->before)
        e2e_shell(h->before);
    e2e_guest("hang", on);
    _cleanup_bed_result_ struct bed_result r = bed_exec(&bed, argv);
    e2e_guest("hang", off);
    print_message("%s: %s", h->program, r.err.buf);
    bed_assert_code(r, h->code);
    bed_assert_has(r.err.buf, h->says);
    bed_assert_has(r.err.buf, "next: crabbox-fc logs hang");
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "cause", ""), h->kind);
    assert_string_equal(json_opt_string(j, "errorPhase", ""), h->phase);
    assert_string_equal(json_opt_string(j, "outcome", ""),
                        str_eq(h->phase, "collect") ? "exited" : "failed");
    assert_int_equal(json_opt_i64(j, "exitCode", 0), h->code);
}

static void test_each_phase_of_a_run(void **state)
{
    (void)state;
#define MOVED "hangs: nothing came from it and it took nothing for 3 s"
    static const struct hang hangs[] = {
        {"find", NULL, {"--", "true"}, 6, "sync", "sync", MOVED},
        {"mkdir", "echo new >>file1", {"--", "true"}, 6, "sync", "sync", MOVED},
        {"tar", "head -c 3000000 /dev/zero >big", {"--", "true"}, 6, "sync", "sync", MOVED},
        {"sh", "rm file2", {"--", "true"}, 6, "sync", "sync", MOVED},
        {"cat", NULL, {"--no-sync", "--", "true"}, 7, "ssh", "run", "put the command into"},
        {"chmod", NULL, {"--no-sync", "--script", "file1"}, 7, "ssh", "run", "put the script"},
        {"tar",
         NULL,
         {"--no-sync", "--download", "r=.", "--", "touch", "r"},
         7,
         "ssh",
         "collect",
         "nothing came from the guest for 3 s"},
        {"sort",
         NULL,
         {"--no-sync", "--artifact-glob", "*", "--", "touch", "r"},
         7,
         "ssh",
         "collect",
         "nothing came from the guest for 3 s"},
        {"sort",
         NULL,
         {"--no-sync", "--junit", "*.xml", "--", "touch", "r"},
         7,
         "ssh",
         "collect",
         "nothing came from the guest for 3 s"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hangs); i++)
        check(&hangs[i]);
    /* A command that never begins is the user's to limit; then it is ended as any other. */
    e2e_guest("hang", "touch /tmp/hang/bash");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--no-sync", "--timeout", "1s",
                                                       "--", "true");
    e2e_guest("hang", "rm /tmp/hang/bash");
    bed_assert_code(r, 124);
    bed_assert_has(r.err.buf, "end the command in the guest: timed out");
    bed_assert_has(r.err.buf, "next: stop the lease");
    /* And nothing of it harms the next run. */
    _cleanup_bed_result_ struct bed_result ok = BED_RUN(&bed, "run", "-q", "--id", "hang", "--",
                                                        "sh", "-c", "cat file1; ls file2");
    bed_assert_code(ok, 2);
    assert_string_equal(ok.out.buf, "1\nnew\n");
}

/* Ctrl-C is answered by ending the command there; a guest that hangs in that too keeps nobody who
 * types it again. */
static void test_second_interrupt(void **state)
{
    (void)state;
    static const char script[] =
        "\"$0\" run --id hang --no-sync -- sh -c 'echo on; sleep 6161' 2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "\"$0\" ssh hang touch /tmp/hang/bash; kill -INT $run\n"
        "while ! grep -qs 'press Ctrl-C again' err; do sleep 0.02; done\n"
        "kill -INT $run; wait $run; code=$?; cat err >&2; exit $code";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program);
    e2e_guest("hang", "rm /tmp/hang/bash");
    bed_assert_code(r, 130);
    bed_assert_has(r.err.buf, "end the command in the guest: interrupted");
    bed_assert_has(r.err.buf, "it may still run in hang, and the next run there will end it");
}

static void test_copies(void **state)
{
    (void)state;
    static const struct {
        const char *program;
        const char *from, *to;
    } cases[] = {
        {"mktemp", "file1", "hang:/tmp/x"},
        {"cat", "big", "hang:/tmp/x"},
        {"tar", ".", "hang:/tmp/dir"},
        {"tar", "hang:/etc/passwd", "."},
    };
    e2e_shell("head -c 3000000 /dev/zero >big");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *on = xasprintf("touch /tmp/hang/%s", cases[i].program);
        _cleanup_free_ char *off = xasprintf("rm /tmp/hang/%s", cases[i].program);
        e2e_guest("hang", on);
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "-q", "--stall-timeout",
                                                           STALL, cases[i].from, cases[i].to);
        e2e_guest("hang", off);
        print_message("cp %s: %s", cases[i].from, r.err.buf);
        bed_assert_code(r, 7);
        bed_assert_has(r.err.buf, "for 3 s");
        bed_assert_has(r.err.buf, "next: crabbox-fc logs hang");
    }
    e2e_shell("test ! -e passwd -a ! -e artifacts");
}

/* A transfer that is slow, but moves, is not given up: pieces of 64 KiB, each with a pause. */
static void test_slow_is_no_hang(void **state)
{
    (void)state;
    e2e_shell("rm -f big; head -c 2621440 /dev/zero >slow");
    e2e_guest("hang",
              "mv ~/bin/tar ~/bin/tar.was; printf '#!/bin/bash\\nfor i in {1..45}; do "
              "head -c 65536; sleep 0.1; done | /bin/tar \"$@\"' >~/bin/tar; chmod +x ~/bin/tar");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "-q", "--id", "hang",
                                                       "--stall-timeout", "2s", "--", "stat", "-c",
                                                       "%s", "slow");
    e2e_guest("hang", "mv ~/bin/tar.was ~/bin/tar");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "2621440\n");
    assert_true(r.took_ms > 3000);
}

/* A VM that stands still while a command runs is a lost connection, not a long command; and no
 * phase of the next run waits for it. It can be stopped all the same. */
static void test_frozen_vm(void **state)
{
    (void)state;
    e2e_warmup("frozen");
    _cleanup_free_ char *script = xasprintf(
        "rm -f out err; \"$0\" run -q --id frozen --no-sync --stall-timeout 4s --timing-json -- "
        "sh -c 'echo on; sleep 7171' 2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "kill -STOP %d; wait $run; code=$?; cat err >&2; exit $code",
        e2e_vmm_pid("frozen"));
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program);
    print_message("frozen: %s", r.err.buf);
    bed_assert_code(r, 7);
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "cause", ""), "ssh");
    assert_string_equal(json_opt_string(j, "errorPhase", ""), "run");
    bed_assert_has(r.err.buf, "next: crabbox-fc logs frozen");
    _cleanup_bed_result_ struct bed_result again = BED_RUN(&bed, "run", "-q", "--id", "frozen",
                                                           "--stall-timeout", "2s", "--", "true");
    print_message("connect: %s", again.err.buf);
    bed_assert_code(again, 5);
    e2e_stop("frozen");
}

/* A lease that was made for the run goes away with it; what to do next is said for that. */
static void test_a_new_lease_that_hangs(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_SLEEPER", "tar");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "-q", "--slug", "new",
                                                       "--stall-timeout", STALL, "--timing-json",
                                                       "--", "true");
    bed_clear_faults(&bed);
    bed_assert_code(r, 6);
    bed_assert_has(r.err.buf, "next: again with --keep-on-failure");
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "cause", ""), "sync");
    assert_true(json_opt_i64(j, "stopMs", 0) > 0);
    E2E_CODE(4, "status", "new");
}

/* A VMM that dies while a sync hangs is told at once, and as what it is. */
static void test_vmm_dies_in_a_sync(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_SLEEPER", "tar");
    _cleanup_bed_result_ struct bed_result w = BED_RUN(&bed, "warmup", "-q", "--slug", "dies");
    bed_clear_faults(&bed);
    bed_assert_code(w, 0);
    _cleanup_free_ char *script = xasprintf(
        "\"$0\" run -q --id dies --timing-json -- true 2>err & run=$!\n"
        "until pgrep -fx 'sleep 9292' >pid; do sleep 0.02; done\n"
        "kill -KILL %d; wait $run; code=$?; cat err >&2; exit $code",
        e2e_vmm_pid("dies"));
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program);
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, "the machine ended");
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "cause", ""), "vmm");
    assert_string_equal(json_opt_string(j, "errorPhase", ""), "sync");
    e2e_stop("dies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_phase_of_a_run),
        cmocka_unit_test(test_second_interrupt),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_slow_is_no_hang),
        cmocka_unit_test(test_frozen_vm),
        cmocka_unit_test(test_a_new_lease_that_hangs),
        cmocka_unit_test(test_vmm_dies_in_a_sync),
    };
    return E2E_GROUP(tests, setup, teardown);
}
