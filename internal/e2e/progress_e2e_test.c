/* What is seen on a terminal and in a pipe while a lease is made and used, through the stand-in.
 * script(1) gives the program a terminal. */
#include <string.h>

#include "e2e/e2e.h"

/* Runs a shell command on a terminal; what appears there is in r.out. */
static struct bed_result on_terminal(const char *command)
{
    return BED_EXEC(&bed, "script", "-qec", command, "/dev/null");
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" is in: %s", part, text);
}

#define COMMAND "stty cols 80; echo x > f; \"$P\" run -- sh -c 'echo from-the-guest'"

static void test_terminal(void **state)
{
    (void)state;
    bed_setenv(&bed, "P", bed.program);
    bed_setenv(&bed, "TERM", "xterm");
    _cleanup_bed_result_ struct bed_result r = on_terminal(COMMAND);
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "\r\033[K\033[2mwaiting for SSH...");
    bed_assert_has(r.out.buf, "\r\033[K\033[2msyncing files...");
    bed_assert_has(r.out.buf, "\r\033[Kfrom-the-guest\r\n");
    bed_assert_has(r.out.buf, "run complete exit=0");
    bed_setenv(&bed, "NO_COLOR", "1");
    _cleanup_bed_result_ struct bed_result n = on_terminal(COMMAND);
    bed_assert_code(n, 0);
    bed_assert_has(n.out.buf, "\r\033[Kwaiting for SSH...");
    assert_lacks(n.out.buf, "\033[2m");
    _cleanup_bed_result_ struct bed_result q = on_terminal(COMMAND
                                                           " --quiet; \"$P\" run -q -- true");
    bed_assert_code(q, 0);
    bed_setenv(&bed, "NO_COLOR", NULL);
}

static void test_quiet_and_dumb(void **state)
{
    (void)state;
    bed_setenv(&bed, "P", bed.program);
    bed_setenv(&bed, "TERM", "xterm");
    _cleanup_bed_result_ struct bed_result q = on_terminal("\"$P\" run -q -- echo only-this");
    bed_assert_code(q, 0);
    assert_string_equal(q.out.buf, "only-this\r\n");
    bed_setenv(&bed, "TERM", "dumb");
    _cleanup_bed_result_ struct bed_result d = on_terminal(COMMAND);
    bed_assert_code(d, 0);
    bed_assert_has(d.out.buf, "waiting for SSH...\r\n");
    assert_lacks(d.out.buf, "\033");
    _cleanup_bed_result_ struct bed_result doctor = on_terminal("\"$P\" doctor || :");
    bed_assert_code(doctor, 0);
    assert_lacks(doctor.out.buf, "\033");
}

static void test_narrow_terminal(void **state)
{
    (void)state;
    bed_setenv(&bed, "P", bed.program);
    _cleanup_bed_result_ struct bed_result r = on_terminal(
        "stty cols 60; for v in warmup list stop logs config; do \"$P\" $v --help; done | cat;"
        "\"$P\" help config-flags; \"$P\" tunnel --help");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "config-flags\r\n");
    const char *from = strstr(r.out.buf, "Flags that set"); /* what went to the terminal itself */
    const char *to = strstr(r.out.buf, "examples:\r\n  crabbox-fc tunnel");
    assert_non_null(from);
    assert_non_null(to);
    for (const char *p = from; p < to; p += strcspn(p, "\n") + 1) {
        size_t len = strcspn(p, "\r"), word = strspn(p, " ") + strcspn(p + strspn(p, " "), " \r");
        if (len > 60 && word != len) /* one long word is left whole */
            fail_msg("too long: %.*s", (int)len, p);
    }
}

/* The time goes on while nothing else happens: here while a guest keeps us waiting. */
static void test_time_passes(void **state)
{
    (void)state;
    bed_setenv(&bed, "P", bed.program);
    bed_setenv(&bed, "TERM", "xterm");
    bed_setenv(&bed, "CRABBOX_STANDIN_GUEST", "deaf");
    _cleanup_bed_result_ struct bed_result r = on_terminal("\"$P\" warmup --launch-timeout 2s");
    bed_assert_code(r, 5);
    bed_assert_has(r.out.buf, "waiting for SSH... 0.");
    bed_assert_has(r.out.buf, "waiting for SSH... 1.");
    bed_assert_has(r.out.buf, "\r\033[Kcrabbox-fc: ");
}

static void test_pipe(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--", "echo", "out");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "out\n");
    assert_lacks(r.err.buf, "\033");
    assert_lacks(r.err.buf, "...");
    assert_true(str_has_prefix(r.err.buf, "run complete exit=0"));
    _cleanup_bed_result_ struct bed_result v = BED_RUN(&bed, "run", "-v", "--", "echo", "out");
    bed_assert_code(v, 0);
    bed_assert_has(v.err.buf, "debug: waiting for SSH: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_terminal),    E2E_TEST(test_quiet_and_dumb), E2E_TEST(test_narrow_terminal),
        E2E_TEST(test_time_passes), E2E_TEST(test_pipe),
    };
    return E2E_MAIN(tests);
}
