/* A guest whose shell has start-up files that print, fail or exit. */
#include "e2e/e2e.h"

#define PRINTS "echo startup-noise; echo startup-noise >&2; printf 'no newline'; false"

static void put(const char *file, const char *text)
{
    _cleanup_free_ char *line = xasprintf("/bin/echo \"%s\" >~/%s", text, file);
    e2e_guest("box", line);
}

static void everything_works(void)
{
    e2e_shell("rm -rf * .git; git init -q .; mkdir d; echo one >d/one; echo two >two");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, "run", "--id", "box", "-q", "--download", "d=got", "--artifact-glob", "t*", "--",
        "sh", "-c", "cat two; echo err >&2; exit 3");
    bed_assert_code(r, 3);
    assert_string_equal(r.out.buf, "two\n");
    bed_assert_has(r.err.buf, "err\n");
    e2e_shell("cmp d/one got/one");
    e2e_shell("\"$0\" cp -q two box:there; \"$0\" cp -q d box:dir/; \"$0\" cp -q box:there back; "
              "\"$0\" cp -q box:dir/d/one dir; cmp two back; cmp d/one dir; "
              "rm -rf got back dir; echo three >two");
    e2e_guest("box", "/bin/rm -rf there dir");
    _cleanup_bed_result_ struct bed_result in = BED_EXEC(
        &bed, "sh", "-c", "printf 'in\\0put' | \"$0\" run --id box -q -- cat - two", bed.program);
    bed_assert_code(in, 0);
    assert_int_equal(in.out.len, strlen("in") + 1 + strlen("put") + strlen("three\n"));
    _cleanup_bed_result_ struct bed_result none = E2E_RUN_IN("box", "--", "no-such-command");
    bed_assert_code(none, 127);
    bed_assert_has(none.err.buf, "crabbox-fc: line 4: exec: no-such-command: not found");
    _cleanup_bed_result_ struct bed_result killed = E2E_RUN_IN("box", "--", "sh", "-c",
                                                               "kill -9 $$");
    bed_assert_code(killed, 137);
}

static void test_without_noise(void **state)
{
    (void)state;
    everything_works();
}

static void test_files_that_print(void **state)
{
    static const char *const files[] = {".bashrc", ".profile", ".bash_profile"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i], PRINTS);
    everything_works();
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put(files[i], "");
    e2e_guest("box", "/bin/rm -f ~/.bash_profile");
}

static void test_a_profile_that_exits(void **state)
{
    (void)state;
    put(".profile", "export EARLY=1; " PRINTS "; exit 0");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "printenv", "EARLY");
    bed_assert_code(r, 0);
    assert_string_equal(r.out.buf, "1\n");
    bed_assert_has(r.err.buf, "~/.profile exits, so the command starts without the rest of it");
    everything_works();
    put(".profile", "");
}

/* As a profile for people at a terminal does: none of it reaches the command. */
static void test_a_profile_with_a_cd_and_a_trap(void **state)
{
    (void)state;
    put(".profile", "cd() { builtin cd /tmp; echo moved; }; trap 'echo trapped' DEBUG ERR");
    everything_works();
    put(".profile", "");
}

/* No command begins with another value than the one that was asked for. */
static void test_a_variable_that_cannot_be_set(void **state)
{
    (void)state;
    put(".profile", "readonly FIXED=theirs");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "run", "--id", "box", "-q",
                                                       "--no-sync", "--env", "FIXED=ours", "--",
                                                       "printenv", "FIXED");
    put(".profile", "");
    bed_assert_code(r, 1);
    assert_string_equal(r.out.buf, "");
    bed_assert_has(r.err.buf, "FIXED: readonly variable");
}

/* A full or read-only guest takes no command: what would help is said, and once. */
static void test_a_guest_that_takes_no_file(void **state)
{
    static const struct {
        const char *fails, *next;
    } cases[] = {
        {"No space left on device",
         BED_NEXT "the guest has no room or no inodes left (df -h, df -i); "
                  "remove files there: crabbox-fc ssh box rm -r PATH\n"},
        {"Read-only file system", "crabbox-fc ssh box dmesg\n"},
        {"Read-only file system; case \\$* in */dev/shm/*) echo No space left on device ;; esac",
         "its memory filesystem /dev/shm is full; remove files from /dev/shm: crabbox-fc ssh box "
         "rm -r PATH\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *line = xasprintf(
            "mkdir() { { echo mkdir: %s; } >&2; return 1; }; export -f mkdir", cases[i].fails);
        put(".bashrc", line);
        _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "true");
        _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cp", "/etc/hostname", "box:x/y");
        put(".bashrc", "");
        bed_assert_code(r, 7);
        bed_assert_code(c, 7);
        if (i < 2) { /* a copy has no second place */
            bed_assert_has(c.err.buf, cases[i].next);
            bed_assert_has(r.err.buf, cases[i].fails);
        }
        bed_assert_has(r.err.buf, cases[i].next);
        assert_null(strstr(r.err.buf, "crabbox-fc logs"));
    }
}

/* There may be room for the command, and none for a script. */
static void test_no_room_for_a_script(void **state)
{
    (void)state;
    put(".bashrc", "chmod() { echo No space left on device >&2; return 1; }; export -f chmod");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--script", "/etc/profile");
    put(".bashrc", "");
    bed_assert_code(r, 7);
    bed_assert_has(r.err.buf, BED_NEXT "the guest has no room or no inodes left (df -h, df -i); "
                                       "remove files there: crabbox-fc ssh box rm -r PATH\n");
}

/* As after a first sync that found no room: what is to make some must start all the same. */
static void test_no_work_directory_to_be_had(void **state)
{
    (void)state;
    E2E_OK("run", "--id", "box", "-q", "--", "sh", "-c", "rm -rf \"$PWD\"; echo >\"$PWD\"");
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "sh", "-c", "rm ./*");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "crabbox-fc: the command starts in /");
    everything_works();
}

/* That shell takes no command, and none may seem to have succeeded. */
static void test_a_bashrc_that_exits(void **state)
{
    (void)state;
    e2e_guest("box", "echo '[ -e /tmp/fine ] || exit 0' >~/.bashrc; touch /tmp/fine");
    E2E_OK("run", "--id", "box", "--no-sync", "-q", "--", "rm", "/tmp/fine");
    static const char *const verbs[] = {"run -q --id box -- true",
                                        "run -q --id box --no-sync -- true", "cp two box:there",
                                        "cp box:there ."};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        _cleanup_free_ char *line = xasprintf("\"$0\" %s", verbs[i]);
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", line, bed.program);
        assert_true(r.st.exited && (r.st.code == 6 || r.st.code == 7));
        bed_assert_has(r.err.buf, "a start-up file, such as ~/.bashrc, exits");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_noise),
        cmocka_unit_test(test_files_that_print),
        cmocka_unit_test(test_a_profile_that_exits),
        cmocka_unit_test(test_a_profile_with_a_cd_and_a_trap),
        cmocka_unit_test(test_a_variable_that_cannot_be_set),
        cmocka_unit_test(test_a_guest_that_takes_no_file),
        cmocka_unit_test(test_no_room_for_a_script),
        cmocka_unit_test(test_no_work_directory_to_be_had),
        cmocka_unit_test(test_a_bashrc_that_exits),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
