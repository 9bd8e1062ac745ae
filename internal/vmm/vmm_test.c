/* The table, the record, the tail of the logs, and the end of a VMM, played by forked processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "vmm/qmp.h"
#include "vmm/vmm.h"

struct fixture {
    char dir[64];
    int dirfd;
    pid_t pid;
    struct vmm_ref ref;
    struct deadline d;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-vmm-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dirfd >= 0);
    f->d = deadline_in_ms(60000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    /* vmm_end reaps a child of ours; what it left alone is ended here. */
    if (f->pid > 0 && waitpid(f->pid, NULL, WNOHANG) == 0) {
        (void)kill(f->pid, SIGKILL);
        (void)waitpid(f->pid, NULL, 0);
    }
    cleanup_close(&f->dirfd);
    (void)dir_remove_tree(AT_FDCWD, f->dir, NULL);
    free(f);
    return 0;
}

/* --- table and record --- */

static void backends_by_name(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_ptr_equal(vmm_backend_by_name("firecracker", &err), &vmm_firecracker);
    assert_ptr_equal(vmm_backend_by_name("qemu", &err), &vmm_qemu);
    assert_false(error_is_set(&err));
    assert_null(vmm_backend_by_name("", &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    error_clear(&err);
    assert_null(vmm_backend_by_name("bochs", &err));
    assert_non_null(strstr(err.msg, "bochs"));
}

static void record_survives(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct vmm_ref out = {0};
    struct vmm_ref ref = {.backend = "qemu",
                          .accel = VMM_TCG,
                          .version = "7.2.22",
                          .proc = {4242, 123456789012, "c0ffee00-0000-4000-8000-000000000001"}};
    _cleanup_json_ cJSON *j = vmm_ref_to_json(&ref);
    _cleanup_free_ char *text = json_print(j, true);
    _cleanup_json_ cJSON *back = json_parse(text, strlen(text), "test", &err);
    if (!back || vmm_ref_from_json(back, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(out.backend, ref.backend);
    assert_int_equal(out.accel, ref.accel);
    assert_string_equal(out.version, ref.version);
    assert_string_equal(out.proc.boot_id, ref.proc.boot_id);
    assert_int_equal(out.proc.pid, ref.proc.pid);
    assert_true(out.proc.start_time == ref.proc.start_time);
}

static void broken_records_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"backend\":\"qemu\",\"accel\":\"tcg\",\"version\":\"\",\"pid\":1,\"start_time\":1,"
        "\"boot_id\":\"\"}",
        "{\"backend\":\"qemu\",\"accel\":\"tcg\",\"version\":\"\",\"pid\":-1,\"start_time\":1,"
        "\"boot_id\":\"\"}",
        "{\"backend\":\"qemu\",\"accel\":\"tcg\",\"version\":\"\",\"pid\":4294967297,"
        "\"start_time\":1,\"boot_id\":\"\"}",
        "{\"backend\":\"qemu\",\"accel\":\"tcg\",\"version\":\"\",\"pid\":2,\"start_time\":-1,"
        "\"boot_id\":\"\"}",
        "{\"backend\":\"a name much longer than any\",\"accel\":\"tcg\",\"version\":\"\","
        "\"pid\":2,\"start_time\":1,\"boot_id\":\"\"}",
        "{\"backend\":\"qemu\",\"accel\":\"tcg\",\"version\":\"\",\"pid\":\"2\",\"start_time\":1,"
        "\"boot_id\":\"\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        struct vmm_ref out = {.backend = "untouched"};
        _cleanup_json_ cJSON *j = cJSON_Parse(bad[i]);
        assert_non_null(j);
        assert_int_equal(vmm_ref_from_json(j, &out, &err), -1);
        assert_int_equal(err.kind, ERR_STATE);
        assert_string_equal(out.backend, "untouched");
    }
}

/* --- log tail --- */

static void put_file(struct fixture *f, const char *name, const char *text)
{
    assert_int_equal(file_write_new(f->dirfd, name, text, strlen(text), 0600, NULL), 0);
}

static void tail_is_plain_text(void **state)
{
    struct fixture *f = *state;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    put_file(f, VMM_LOG, "one\ntwo\n");
    put_file(f, VMM_CONSOLE_LOG,
             "a\x1b]0;title\x07\r\nb\x9b"
             "c\tend");
    vmm_log_tail(f->dirfd, 100, &out);
    assert_string_equal(out.buf,
                        "vmm.log:\none\ntwo\nconsole.log:\na\\x1b]0;title\\x07\nb\\x9bc\tend\n");
}

static void tail_is_bounded_and_begins_at_a_line(void **state)
{
    struct fixture *f = *state;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    put_file(f, VMM_LOG, "a long first line\nsecond\nthird\n");
    vmm_log_tail(f->dirfd, 16, &out);
    assert_string_equal(out.buf, "vmm.log:\nsecond\nthird\n");
}

static void tail_of_nothing_is_empty(void **state)
{
    struct fixture *f = *state;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    put_file(f, VMM_LOG, "");
    assert_int_equal(symlinkat("/etc/passwd", f->dirfd, VMM_CONSOLE_LOG), 0);
    vmm_log_tail(f->dirfd, 100, &out);
    assert_string_equal(out.buf, "");
}

/* --- the end --- */

enum manners { GOES_WHEN_ASKED, IGNORES, PRELAUNCH };

/* A QEMU of the test's own: answers the monitor's questions of vmm_end. */
static void monitor(int listener, enum manners m)
{
    static const char hello[] = "{\"QMP\": {}}\n";
    for (;;) {
        char c, line[512];
        size_t len = 0;
        int fd = accept(listener, NULL, NULL);
        (void)!send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL);
        while (read(fd, &c, 1) == 1) {
            if (c != '\n') {
                line[len] = c;
                len += len + 1 < sizeof line;
                continue;
            }
            line[len] = '\0';
            len = 0;
            const char *id = strstr(line, "\"id\":");
            const char *state = m == PRELAUNCH ? "prelaunch" : "running";
            dprintf(fd, "{\"return\": {\"status\": \"%s\"}, \"id\": %c}\n", state,
                    id ? id[5] : '0');
            if (strstr(line, "system_powerdown") && m == GOES_WHEN_ASKED)
                _exit(0);
        }
        (void)close(fd);
    }
}

static void start_vmm(struct fixture *f, enum manners m)
{
    struct error err = ERROR_INIT;
    int fd = qmp_listen(f->dirfd, VMM_API_SOCK, &err);
    assert_true(fd >= 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        monitor(fd, m);
    }
    (void)close(fd);
    f->ref = (struct vmm_ref){.backend = "qemu", .accel = VMM_TCG};
    if (proc_ref_of(f->pid, &f->ref.proc, &err) < 0)
        fail_msg("%s", err.msg);
}

static void end_ok(struct fixture *f, int64_t grace_ms, bool *graceful)
{
    struct error err = ERROR_INIT;
    if (vmm_end(&f->ref, f->dirfd, grace_ms, &f->d, graceful, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(proc_alive(&f->ref.proc));
}

static void guest_that_goes_is_not_killed(void **state)
{
    bool graceful = false;
    start_vmm(*state, GOES_WHEN_ASKED);
    end_ok(*state, 5000, &graceful);
    assert_true(graceful);
    /* Again: absent is a success. */
    end_ok(*state, 5000, &graceful);
    assert_false(graceful);
}

static void stubborn_guest_is_killed_after_its_grace(void **state)
{
    bool graceful = true;
    int64_t before = clock_boot_ms();
    start_vmm(*state, IGNORES);
    end_ok(*state, 150, &graceful);
    assert_false(graceful);
    assert_true(clock_boot_ms() - before >= 150);
}

static void no_grace_asks_nobody(void **state)
{
    bool graceful = true;
    start_vmm(*state, GOES_WHEN_ASKED);
    end_ok(*state, 0, &graceful);
    assert_false(graceful);
}

static void guest_that_never_began_is_killed_at_once(void **state)
{
    start_vmm(*state, PRELAUNCH);
    end_ok(*state, 3600000, NULL);
}

/* The socket is gone, the process is not: it still ends. */
static void unreachable_vmm_is_killed(void **state)
{
    struct fixture *f = *state;
    start_vmm(f, GOES_WHEN_ASKED);
    assert_int_equal(file_unlink(f->dirfd, VMM_API_SOCK, NULL), 0);
    end_ok(f, 5000, NULL);
}

static void passed_deadline_still_kills(void **state)
{
    struct fixture *f = *state;
    start_vmm(f, IGNORES);
    f->d = deadline_in_ms(0);
    end_ok(f, 5000, NULL);
}

/* A pid that was given to another process, or one of before a reboot, is left alone. */
static void strangers_are_left_alone(void **state)
{
    struct fixture *f = *state;
    struct vmm_ref stranger;
    struct error err = ERROR_INIT;
    start_vmm(f, IGNORES);
    stranger = f->ref;
    stranger.proc.start_time++;
    assert_int_equal(vmm_end(&stranger, f->dirfd, 0, &f->d, NULL, &err), 0);
    stranger = f->ref;
    stranger.proc.boot_id[0] = stranger.proc.boot_id[0] == '0' ? '1' : '0';
    assert_int_equal(vmm_end(&stranger, f->dirfd, 0, &f->d, NULL, &err), 0);
    stranger = (struct vmm_ref){.backend = "qemu"};
    assert_int_equal(vmm_end(&stranger, f->dirfd, 0, &f->d, NULL, &err), 0);
    assert_true(proc_alive(&f->ref.proc));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_by_name),
        cmocka_unit_test(record_survives),
        cmocka_unit_test(broken_records_are_refused),
        T(tail_is_plain_text),
        T(tail_is_bounded_and_begins_at_a_line),
        T(tail_of_nothing_is_empty),
        T(guest_that_goes_is_not_killed),
        T(stubborn_guest_is_killed_after_its_grace),
        T(no_grace_asks_nobody),
        T(guest_that_never_began_is_killed_at_once),
        T(unreachable_vmm_is_killed),
        T(passed_deadline_still_kills),
        T(strangers_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
