#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

static void error_keeps_kind_errno_and_text(void **state)
{
    struct error e = ERROR_INIT;
    (void)state;
    assert_int_equal(error_set(&e, ERR_NET, ENOENT, "create tap %s", "tap0"), -1);
    assert_int_equal(e.kind, ERR_NET);
    assert_int_equal(e.sys, ENOENT);
    assert_string_equal(e.msg, "create tap tap0: No such file or directory");
    (void)error_prefix(&e, "lease %d", 7);
    assert_string_equal(e.msg, "lease 7: create tap tap0: No such file or directory");
    (void)error_append(&e, "; next: %s", "doctor");
    assert_true(str_has_suffix(e.msg, "; next: doctor"));
    (void)error_set(&e, ERR_ENV, ENOENT, "start ssh; next: install it");
    assert_string_equal(e.msg, "start ssh: No such file or directory; next: install it");
    size_t len = 0;
    assert_string_equal(error_next(&e, &len), "install it");
    assert_int_equal(len, strlen("start ssh: No such file or directory"));
    /* What a message quotes may have the same words in it; only the format's count. */
    (void)error_set(&e, ERR_SSH, 0, "open %s; next: %s", "a; next: b", "c; next: d");
    assert_string_equal(error_next(&e, &len), "c; next: d");
    assert_int_equal(len, strlen("open a; next: b"));
    (void)error_prefix(&e, "in %s", "x; next: y");
    assert_string_equal(error_next(&e, &len), "c; next: d");
    (void)error_append(&e, "; undo: %s; next: %s", "z; next: z", "later");
    assert_string_equal(e.msg,
                        "in x; next: y: open a; next: b; undo: z; next: z; next: c; next: d");
    assert_string_equal(error_next(&e, &len), "c; next: d");
    (void)error_set(&e, ERR_SSH, ENOENT, "open %s", "a; next: b");
    assert_null(error_next(&e, &len));
    assert_string_equal(e.msg, "open a; next: b: No such file or directory");
    (void)error_append(&e, "; next: %s", "c");
    assert_string_equal(error_next(&e, &len), "c");
    (void)error_set(&e, ERR_SSH, 0, "no word of it");
    assert_null(error_next(&e, &len));
    assert_int_equal(len, strlen("no word of it"));
    assert_int_equal(error_add_next(&e, "doctor"), -1);
    assert_string_equal(e.msg, "no word of it; next: doctor");
    (void)error_add_next(&e, "list");
    assert_string_equal(e.msg, "no word of it; next: doctor");
    assert_int_equal(error_set(NULL, ERR_NET, 0, "nobody listens"), -1);
}

static void error_survives_texts_of_any_length(void **state)
{
    struct error e = ERROR_INIT;
    char big[4096];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    (void)error_set(&e, ERR_IO, EIO, "%s", big);
    assert_true(strlen(e.msg) < ERROR_MSG_MAX);
    assert_non_null(strstr(e.msg, "Input/output error"));
    for (int i = 0; i < 50; i++) {
        (void)error_append(&e, "%s", big);
        (void)error_prefix(&e, "%s", big);
    }
    assert_true(strlen(e.msg) < ERROR_MSG_MAX);
}

static void exit_codes_are_crabbox_s(void **state)
{
    (void)state;
    assert_int_equal(error_exit_code(ERR_NONE), 0);
    assert_int_equal(error_exit_code(ERR_ENV), 1);
    assert_int_equal(error_exit_code(ERR_USAGE), 2);
    assert_int_equal(error_exit_code(ERR_CONFIG), 2);
    assert_int_equal(error_exit_code(ERR_TRUST), 2);
    assert_int_equal(error_exit_code(ERR_NOT_FOUND), 4);
    assert_int_equal(error_exit_code(ERR_TIMEOUT), 5);
    assert_int_equal(error_exit_code(ERR_NOT_RUNNING), 5);
    assert_int_equal(error_exit_code(ERR_SYNC), 6);
    assert_int_equal(error_exit_code(ERR_SSH), 7);
    assert_int_equal(error_exit_code((enum err_kind)999), 1);
}

static void strbuf_grows_and_detaches(void **state)
{
    struct strbuf sb = STRBUF_INIT;
    (void)state;
    assert_string_equal(sb.buf, "");
    for (int i = 0; i < 1000; i++)
        strbuf_addf(&sb, "%d,", i);
    assert_int_equal(sb.len, strlen(sb.buf));
    char *text = strbuf_detach(&sb);
    assert_true(str_has_prefix(text, "0,1,2,"));
    assert_int_equal(sb.len, 0);
    free(text);
    strbuf_free(&sb);
}

static void text_is_wrapped_at_words(void **state)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    (void)state;
    strbuf_add_wrapped(&sb, "one two\n three", 2, 4, 9);
    assert_string_equal(sb.buf, "one two\n    three");
    strbuf_reset(&sb);
    strbuf_add_wrapped(&sb, "a /path/that/is/longer/than/a/line b", 0, 2, 10);
    assert_string_equal(sb.buf, "a\n  /path/that/is/longer/than/a/line\n  b");
    strbuf_reset(&sb);
    strbuf_add_wrapped(&sb, "\303\251\303\251 \303\251", 0, 0, 4); /* four columns, not seven */
    assert_string_equal(sb.buf, "\303\251\303\251 \303\251");
    strbuf_reset(&sb);
    strbuf_add_wrapped(&sb, "no width, no break", 70, 0, 0);
    assert_string_equal(sb.buf, "no width, no break");
}

static void shell_quoting_is_exact(void **state)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    (void)state;
    strbuf_add_shell_quoted(&sb, "it's $(x) \"\\\n");
    assert_string_equal(sb.buf, "'it'\\''s $(x) \"\\\n'");
}

static void numbers_are_whole_or_refused(void **state)
{
    uint64_t v;
    (void)state;
    assert_int_equal(str_to_u64("18446744073709551615", &v), 0);
    assert_true(v == UINT64_MAX);
    static const char *const bad[] = {"",   "18446744073709551616", "-1", "+1", " 1", "1 ", "0x1",
                                      "1e3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_to_u64(bad[i], &v), -1);
}

static void copies_never_truncate(void **state)
{
    char four[4];
    (void)state;
    assert_int_equal(str_copy(four, sizeof four, "abc"), 0);
    assert_int_equal(str_copy(four, sizeof four, "abcd"), -1);
    assert_string_equal(four, "");
    assert_int_equal(str_format(four, sizeof four, "%d", 1234), -1);
}

static void nearest_finds_typos_and_no_guesses(void **state)
{
    static const char *const names[] = {"kernel", "rootfs", "cpus"};
    (void)state;
    assert_string_equal(str_nearest("kernal", names, 3), "kernel");
    assert_string_equal(str_nearest("cpu", names, 3), "cpus");
    assert_null(str_nearest("completely-else", names, 3));
    static const char *const verbs[] = {"cp", "help", "status", "stop", "run", "ttl", "warmup"};
    size_t n = ARRAY_LEN(verbs);
    assert_string_equal(str_nearest("sotp", verbs, n), "stop");
    assert_string_equal(str_nearest("rnu", verbs, n), "run");
    assert_string_equal(str_nearest("warmpu", verbs, n), "warmup");
    assert_string_equal(str_nearest("stat", verbs, n), "status");
    assert_null(str_nearest("up", verbs, n));
    assert_null(str_nearest("all", verbs, n));
    assert_null(str_nearest("shell", verbs, n));
    assert_null(str_nearest("desktop", verbs, n));
    assert_null(str_nearest("s", verbs, n));
}

static void json_refuses_what_is_ambiguous(void **state)
{
    static const char *const bad[] = {
        "", "{", "{}x", "{\"a\":1,\"a\":2}", "[1,]", "{\"a\":{\"b\":1,\"b\":1}}", "nul"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error e = ERROR_INIT;
        assert_null(json_parse(bad[i], strlen(bad[i]), "test", &e));
        assert_int_equal(e.kind, ERR_STATE);
    }
    assert_null(json_parse("{}\0{}", 5, "test", NULL));
    _cleanup_json_ cJSON *ok = json_parse(" {\"a\":[1,{\"b\":2}]} \n", 20, "test", NULL);
    assert_non_null(ok);
}

static void json_integers_are_exact(void **state)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    int64_t v;
    (void)state;
    json_add_i64(j, "big", 1799999999123456789LL);
    _cleanup_free_ char *text = json_print(j, false);
    assert_string_equal(text, "{\"big\":1799999999123456789}");
    _cleanup_json_ cJSON *k = json_parse("{\"i\":7,\"f\":7.5,\"h\":1e300}", 25, "t", NULL);
    assert_int_equal(json_get_i64(k, "i", &v, NULL), 0);
    assert_true(v == 7);
    assert_int_equal(json_get_i64(k, "f", &v, NULL), -1);
    assert_int_equal(json_get_i64(k, "h", &v, NULL), -1);
    assert_int_equal(json_get_i64(k, "absent", &v, NULL), -1);
}

#ifndef __SANITIZE_ADDRESS__ /* its allocator needs room of its own */
static char *volatile taken; /* never given back */
static void take_strings(void)
{
    for (;;)
        taken = xstrdup("some text");
}

/* A record that loses members where memory is out is worse than none. */
static void take_json(void)
{
    while (cJSON_CreateObject())
        ;
}

static void memory_that_is_out_ends_the_process_with_a_message(void **state)
{
    static void (*const take[])(void) = {take_strings, take_json};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(take); i++) {
        char text[128] = "";
        int said[2], status;
        assert_int_equal(pipe(said), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)dup2(said[1], STDERR_FILENO);
            if (setrlimit(RLIMIT_DATA, &(struct rlimit){0, 0}) == 0)
                take[i]();
            _exit(42);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        (void)close(said[1]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_true(read(said[0], text, sizeof text - 1) > 0);
        assert_string_equal(text, "crabbox-fc: out of memory\n");
        (void)close(said[0]);
    }
}
#endif

static void times_are_written_as_go_writes_them(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},
                {821, "821ms"},
                {1000, "1s"},
                {1795, "1.795s"},
                {2500, "2.5s"},
                {60000, "1m0s"},
                {90010, "1m30.01s"},
                {1800000, "30m0s"},
                {5400000, "1h30m0s"},
                {90000000, "25h0m0s"}};
    char text[STR_TIME_SIZE], utc[STR_UTC_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        str_time(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
    str_utc(1795331082, utc);
    assert_string_equal(utc, "2026-11-22T07:04:42Z");
    str_utc(INT64_MAX, utc);
    assert_string_equal(utc, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_keeps_kind_errno_and_text),
        cmocka_unit_test(error_survives_texts_of_any_length),
        cmocka_unit_test(exit_codes_are_crabbox_s),
        cmocka_unit_test(strbuf_grows_and_detaches),
        cmocka_unit_test(text_is_wrapped_at_words),
        cmocka_unit_test(shell_quoting_is_exact),
        cmocka_unit_test(numbers_are_whole_or_refused),
        cmocka_unit_test(copies_never_truncate),
        cmocka_unit_test(times_are_written_as_go_writes_them),
        cmocka_unit_test(nearest_finds_typos_and_no_guesses),
        cmocka_unit_test(json_refuses_what_is_ambiguous),
        cmocka_unit_test(json_integers_are_exact),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(memory_that_is_out_ends_the_process_with_a_message),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
