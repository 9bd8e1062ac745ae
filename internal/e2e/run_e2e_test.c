/* What a command gets and gives: words, variables, streams, time, turns; through the whole program
 * and the stand-in, whose guest's processes are visible in our own /proc. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "sys/file.h"

/* More than an SSH server takes as a command. */
static void test_long_arguments(void **state)
{
    (void)state;
    enum { LEN = 120000 };
    _cleanup_free_ char *big = xcalloc(LEN + 1, 1);
    memset(big, 'x', LEN);
    e2e_warmup("long");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("long", "--", "printf", "%s", big);
    bed_assert_code(r, 0);
    assert_int_equal(r.out.len, LEN);
    _cleanup_bed_result_ struct bed_result s = E2E_RUN_IN("long", "--shell", "--", "printf", "%s",
                                                          "'a  b'", "|", "wc", "-c");
    bed_assert_code(s, 0);
    assert_string_equal(s.out.buf, "4\n");
    _cleanup_bed_result_ struct bed_result m = E2E_RUN_IN("long", "--", "no-such-program");
    bed_assert_code(m, 127);
    bed_assert_has(m.err.buf, "crabbox-fc: line ");
    bed_assert_has(m.err.buf, "no-such-program");
    e2e_stop("long");
}

/* ---- environment ---- */

static const char *const secrets[] = {"inline-s3cret", "passed-s3cret", "file-s3cret"};

/* How many processes of the host and the guest show one of the secrets from this one on in
 * /proc/PID/<file>. */
static int shown_in(const char *file, size_t first)
{
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    int count = 0;
    for (struct dirent *de; (de = readdir(proc));) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *path = xasprintf("/proc/%s/%s", de->d_name, file);
        _cleanup_close_ int fd = de->d_name[0] >= '1' && de->d_name[0] <= '9'
                                     ? open(path, O_RDONLY | O_CLOEXEC)
                                     : -1;
        if (fd < 0 || fd_read_all(fd, 1 << 20, path, &text, NULL) < 0)
            continue;
        bool hit = false;
        for (size_t i = first; i < ARRAY_LEN(secrets); i++)
            hit = hit || memmem(text.buf, text.len, secrets[i], strlen(secrets[i]));
        count += hit;
    }
    return count;
}

/* Looks again and again until the command says that it runs; returns how often a secret was seen in
 * an argument vector. Not the first one: our own is as it was given until it has been read. */
static int watch_until_started(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[16];
    int seen = 0;
    do
        seen += shown_in("cmdline", 1);
    while (poll(&p, 1, 0) == 0);
    assert_true(read(fd, text, sizeof text) > 0);
    return seen + shown_in("cmdline", 0);
}

/* Secrets are where they must be, the command's environment, and in no argument vector, no file of
 * the state and no log. And a run that is interrupted leaves nothing running in the guest. */
static void test_secrets_stay_secret(void **state)
{
    (void)state;
    int fds[2];
    static const char file[] = "FROM_FILE=file-s3cret\n";
    static const char script[] = "echo started; setsid sleep 7777 & sleep 7777";
    e2e_write_file("vars", file, sizeof file - 1);
    e2e_warmup("secret");
    bed_setenv(&bed, "PASSED", "passed-s3cret");
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct child c = BED_START(&bed, fds[1], "run", "--id", "secret", "--no-sync", "-v", "--env",
                               "INLINE=inline-s3cret", "--env=AGAIN=inline-s3cret", "--env",
                               "PASSED", "--env-file", "vars", "--", "sh", "-c", script);
    (void)close(fds[1]);
    assert_int_equal(watch_until_started(fds[0]), 0);
    assert_true(shown_in("environ", 0) > 1);
    e2e_wait_processes("7777", 2);
    E2E_EXEC_OK("sh", "-c", "! grep -r s3cret \"$0\"", bed.state);
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(e2e_code(&c, 30000), 130);
    assert_int_equal(e2e_processes("7777"), 0);
    (void)close(fds[0]);
    _cleanup_bed_result_ struct bed_result l = E2E_RUN_IN("secret", "--", "ls", "-A", ".");
    bed_assert_code(l, 0);
    assert_string_equal(l.out.buf, "");
    e2e_stop("secret");
}

/* ---- scripts ---- */

/* Ctrl-C while nobody has written them to their end. What the pipe can't hold has been read. */
static void test_interrupt_while_it_reads(void **state)
{
    (void)state;
    static const char script[] =
        "mkfifo p; exec 9<>p; \"$0\" run --no-sync \"$@\" <p 9<p 2>err & run=$!\n"
        "head -c 200000 /dev/zero | tr '\\0' '#' >&9; kill -INT $run\n"
        "for i in {1..200}; do kill -0 $run 2>/dev/null || break; sleep 0.05; done\n"
        "exec 9>&-; wait $run; code=$?; cat err >&2; rm p err; exit $code";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                        "--script-stdin");
    bed_assert_code(r, 130);
    bed_assert_has(r.err.buf, "read the script: interrupted while waiting for standard input");
    _cleanup_bed_result_ struct bed_result v = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                        "--env-file", "/dev/fd/9", "true");
    bed_assert_code(v, 130);
    bed_assert_has(v.err.buf, "interrupted while waiting for /dev/fd/9");
}

/* ---- turns ---- */

static void test_stop_after(void **state)
{
    (void)state;
    static const struct {
        const char *when, *command;
        bool stays;
    } cases[] = {
        {"success", "true", false},  {"success", "false", true}, {"failure", "true", true},
        {"failure", "false", false}, {"always", "false", false}, {"never", "true", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* A new one and, where it is still there, the same again. */
        for (int again = 0; again < 2; again++) {
            _cleanup_bed_result_ struct bed_result r = BED_RUN(
                &bed, "run", "--slug", "after", "--reuse", "--no-sync", "-q", "--stop-after",
                cases[i].when, "--", cases[i].command);
            bed_assert_code(r, str_eq(cases[i].command, "true") ? 0 : 1);
            if (e2e_there("after") != cases[i].stays)
                fail_msg("case %zu, time %d: the lease %s", i, again,
                         cases[i].stays ? "is gone" : "is still there");
            if (!cases[i].stays)
                break;
        }
        E2E_OK("stop", "--missing-ok", "after");
    }
    e2e_warmup("other");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("other", "--stop-after", "success", "--",
                                                          "true");
    bed_assert_code(r, 0);
    assert_false(e2e_there("other"));
    E2E_CODE(2, "run", "--stop-after", "noon", "--", "true");
    E2E_CODE(2, "run", "--stop-after", "never", "--keep", "--", "true");
    _cleanup_bed_result_ struct bed_result home = BED_EXEC(
        &bed, "sh", "-c", "cd && exec \"$0\" run -- true", bed.program);
    bed_assert_code(home, 2);
    bed_assert_has(home.err.buf, "is not a working tree but your home directory");
    /* The one that the system knows, also with a .git that came with an archive. */
    _cleanup_bed_result_ struct bed_result known = BED_EXEC(
        &bed, "unshare", "--mount", "sh", "-ec",
        "mount -t tmpfs none /root; mkdir /root/.git; cd /root; exec \"$0\" run -- true",
        bed.program);
    bed_assert_code(known, 2);
    bed_assert_has(known.err.buf, "but one that is or contains your home directory");
    _cleanup_bed_result_ struct bed_result only = BED_RUN(&bed, "run", "--sync-only", "--slug",
                                                          "synced");
    bed_assert_code(only, 0);
    bed_assert_has(only.err.buf, "sync complete slug=synced");
    bed_assert_has(only.err.buf, "the lease is kept; next: crabbox-fc run --id synced");
    e2e_stop("synced");
}

/* Whoever unpacks an archive in his home may make a working tree of it. */
static void test_a_home_is_no_tree(void **state)
{
    (void)state;
    static const char below[] =
        "cd && mkdir -p proj .git/objects .git/refs && echo key >id && echo "
        "'ref: refs/heads/main' >.git/HEAD && cd proj && \"$0\" \"$@\"";
    static const char at[] = "cd && \"$0\" \"$@\"";
    static const struct {
        const char *shell, *option, *dir;
        int code;
    } cases[] = {
        {below, "--sync-plan", NULL, 2}, {below, "-q", NULL, 2},
        {below, "--sync-plan", ".", 2},  {at, "--sync-plan", ".", 0},
        {below, "--no-sync", NULL, 0},   {below, "--sync-plan", "..", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(
            &bed, "sh", "-ec", cases[i].shell, bed.program, "run", cases[i].option,
            cases[i].dir ? "--dir" : "-q", cases[i].dir ? cases[i].dir : "-q", "--", "true");
        if (!r.st.exited || r.st.code != cases[i].code)
            fail_msg("case %zu: %s", i, r.err.buf);
        if (cases[i].code)
            bed_assert_has(r.err.buf, "/home/.git if you did not put it there");
    }
    E2E_EXEC_OK("sh", "-ec", "cd && rm -r .git id proj");
}

/* ---- streams ---- */

#ifndef __SANITIZE_ADDRESS__
#define MOST_KIB (64 * 1024)
#else
#define MOST_KIB (1024 * 1024)
#endif

/* The largest of all programs that this test has run so far, ours among them. */
static void check_memory(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &u), 0);
    print_message("most memory of a program: %ld KiB\n", u.ru_maxrss);
    assert_in_range(u.ru_maxrss, 1, MOST_KIB);
}

static void test_a_hundred_megabytes_each_way(void **state)
{
    (void)state;
    /* The stand-in's guest writes files of the host, which are held to the size of its disk. */
    E2E_OK("warmup", "-q", "--slug", "big", "--disk", "256");
    /* The reader sleeps at first: what it does not take must wait in the guest. */
    _cleanup_bed_result_ struct bed_result out = BED_EXEC(
        &bed, "sh", "-c",
        "\"$0\" run --id big --no-sync -q -- bash -c "
        "'head -c 100000000 /dev/urandom >/tmp/big; sha256sum </tmp/big >&2; cat /tmp/big' | "
        "{ sleep 1; sha256sum; }",
        bed.program);
    bed_assert_code(out, 0);
    assert_true(out.out.len >= 64);
    assert_string_equal(out.out.buf, out.err.buf);
    print_message("100 MB out in %lld ms\n", (long long)out.took_ms);
    _cleanup_bed_result_ struct bed_result in = BED_EXEC(
        &bed, "bash", "-c",
        "head -c 100000000 /dev/urandom | tee >(sha256sum >&2) | "
        "\"$0\" run --id big --no-sync -q -- sha256sum; wait",
        bed.program);
    bed_assert_code(in, 0);
    assert_true(in.out.len >= 64);
    assert_string_equal(in.out.buf, in.err.buf);
    print_message("100 MB in in %lld ms\n", (long long)in.took_ms);
    check_memory();
    /* A reader that goes away ends the command there. */
    _cleanup_bed_result_ struct bed_result head = BED_EXEC(
        &bed, "bash", "-c",
        "\"$0\" run --id big --no-sync -q -- sh -c 'yes; sleep 6661' | head -c 5; "
        "exit ${PIPESTATUS[1]}",
        bed.program);
    bed_assert_code(head, 0);
    assert_int_equal(head.out.len, 5);
    assert_int_equal(e2e_processes("yes"), 0);
    assert_int_equal(e2e_processes("6661"), 0);
    e2e_stop("big");
}

/* ---- losses ---- */

/* The guest's SSH server of one connection is the parent of the command's first process. It is not
 * the command that fails when that dies. */
static void test_lost_connection_is_not_a_failed_command(void **state)
{
    (void)state;
    e2e_warmup("lost");
    static const char script[] =
        "\"$0\" run --id lost --no-sync -q --timing-json -- sh -c 'echo on; sleep 5551; true' "
        "2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "for p in /proc/[0-9]*; do\n"
        "    grep -qsF 'sleep 5551' $p/cmdline || continue\n"
        "    read -r _ _ _ ppid _ <$p/stat && read -r comm </proc/$ppid/comm\n"
        "    [ \"$comm\" = sshd ] && kill -9 $ppid\n"
        "done\nwait $run; code=$?; cat err >&2; exit $code";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", script, bed.program);
    bed_assert_code(r, 7);
    assert_int_equal(e2e_processes("5551"), 0); /* ended over another connection */
    _cleanup_json_ cJSON *j = e2e_timing(&r);
    assert_string_equal(json_opt_string(j, "cause", ""), "ssh");
    assert_string_equal(json_opt_string(j, "outcome", ""), "failed");
    _cleanup_free_ char *die = xasprintf(
        "rm -f out err; \"$0\" run --id lost --no-sync -q --timing-json -- sh -c 'echo on; sleep "
        "5552' "
        "2>err >out & run=$!\n"
        "while ! grep -qs on out; do sleep 0.02; done\n"
        "kill -9 %d; wait $run; code=$?; cat err >&2; exit $code",
        e2e_vmm_pid("lost"));
    _cleanup_bed_result_ struct bed_result v = BED_EXEC(&bed, "sh", "-c", die, bed.program);
    bed_assert_code(v, 1);
    bed_assert_has(v.err.buf, "the machine ended");
    _cleanup_json_ cJSON *k = e2e_timing(&v);
    assert_string_equal(json_opt_string(k, "cause", ""), "vmm");
    assert_string_equal(json_opt_string(k, "runStatus", ""), "failed");
    assert_string_equal(json_opt_string(k, "errorKind", ""), "provider-error");
    e2e_stop("lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_long_arguments),
        E2E_TEST(test_secrets_stay_secret),
        E2E_TEST(test_interrupt_while_it_reads),
        E2E_TEST(test_stop_after),
        E2E_TEST(test_a_home_is_no_tree),
        E2E_TEST(test_a_hundred_megabytes_each_way),
        E2E_TEST(test_lost_connection_is_not_a_failed_command),
    };
    bed.run_timeout_ms = 120000;
    return E2E_MAIN(tests);
}
