/* Warmup and doctor ask the same of a host: for each row of their list of preconditions
 * (local/conditions.h) it is made false in several ways, and both say so in the same words, with
 * the same next step and with an exit code that fits doctor's class. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "doctor/doctor.h"
#include "e2e/breaches.h"
#include "e2e/e2e.h"
#include "local/conditions.h"

/* ---- what both say ---- */

static char *in_bed(const char *text)
{
    struct strbuf out = STRBUF_INIT;
    for (; *text; text++)
        if (*text == '%' && text[1] != 's')
            strbuf_adds(&out, bed.dir);
        else if (*text == '%')
            strbuf_addf(&out, "%s/tools/standin-firecracker", bed.build), text++;
        else
            strbuf_addc(&out, *text);
    return strbuf_detach(&out);
}

static void shell(const char *script)
{
    _cleanup_free_ char *there = script ? in_bed(script) : NULL;
    _cleanup_free_ char *text = there ? xasprintf("cd ..; %s", there) : NULL;
    if (text)
        e2e_shell(text);
}

static struct bed_result run(const struct breach *b, const char *args)
{
    _cleanup_free_ char *line = xasprintf("exec %s \"$0\" %s", b->under ? b->under : "", args);
    return BED_EXEC(&bed, "sh", "-c", line, bed.program);
}

/* Two looks at what is free differ by a little. */
static char *without_figures(const char *text)
{
    struct strbuf out = STRBUF_INIT;
    for (; *text; text++)
        if (*text < '0' || *text > '9')
            strbuf_addc(&out, *text);
        else if (!out.len || out.buf[out.len - 1] != '#')
            strbuf_addc(&out, '#');
    return strbuf_detach(&out);
}

static void agree(const struct breach *b, const struct bed_result *warmup,
                  const struct bed_result *doctor)
{
    _cleanup_json_ cJSON *report = e2e_json(doctor);
    const cJSON *c, *found = NULL;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        if (str_eq(json_opt_string(c, "check", ""), b->check))
            found = c;
    }
    const cJSON *details = cJSON_GetObjectItemCaseSensitive(found, "details");
    const char *next = json_opt_string(details, "fix", "");
    if (!str_eq(json_opt_string(found, "status", ""), "failed"))
        fail_msg("doctor calls %s %s; warmup says: %s", b->check,
                 json_opt_string(found, "status", ""), warmup->err.buf);
    _cleanup_free_ char *says = xasprintf("crabbox-fc: %s" BED_NEXT "%s\n",
                                          json_opt_string(found, "message", ""), next);
    static const char all[] = "; crabbox-fc doctor lists all that is missing\n";
    if (str_has_suffix(warmup->err.buf, all)) /* its own to add */
        memcpy(warmup->err.buf + warmup->err.len - (sizeof all - 1), "\n", 2);
    else
        assert_null(strstr(warmup->err.buf, "there is no program"));
    _cleanup_free_ char *want = without_figures(says), *got = without_figures(warmup->err.buf);
    assert_string_equal(got, want);
    bed_assert_has(says, b->says);
    bed_assert_code(*warmup, b->code);
    assert_string_equal(json_opt_string(details, "class", ""),
                        b->code == 2 ? "configuration_incomplete" : "environment_blocked");
    assert_true(*next);
    assert_null(strstr(next, "doctor"));
    assert_null(strstr(next, "crabbox-fc warmup"));
}

static void breach(const struct breach *b)
{
    shell(b->harm);
    for (size_t i = 0; i < BREACH_ENV_MAX && b->env[i]; i++) {
        _cleanup_free_ char *pair = in_bed(b->env[i]);
        char *value = strchr(pair, '=');
        *value++ = '\0';
        bed_setenv(&bed, pair, value);
    }
    _cleanup_bed_result_ struct bed_result w = run(b, "warmup --slug a");
    _cleanup_bed_result_ struct bed_result d = run(b, "doctor --json");
    bed_clear_faults(&bed);
    shell(b->undo);
    print_message("%s: %s", b->check, w.err.buf);
    agree(b, &w, &d);
    bed_assert_clean(&bed);
}

static void breach_all(const struct breach *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        breach(&b[i]);
}

static void test_the_host(void **state)
{
    (void)state;
    breach_all(breaches_of_host, n_breaches_of_host);
}

static void test_the_vmm(void **state)
{
    (void)state;
    breach_all(breaches_of_vmm, n_breaches_of_vmm);
}

static void test_the_image(void **state)
{
    (void)state;
    breach_all(breaches_of_image, n_breaches_of_image);
}

static void test_the_network(void **state)
{
    (void)state;
    breach_all(breaches_of_network, n_breaches_of_network);
}

/* ---- KVM that opens and makes no VM ---- */

/* From here on KVM_CREATE_VM is refused, as by another hypervisor that has the processor. */
static int refuse_vms(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_CREATE_VM, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = ARRAY_LEN(code), .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

struct busy {
    const struct breach *b;
    int filtered;
    struct bed_result warmup, doctor;
};

/* A filter is a thread's own, and its children's. */
static void *run_busy(void *arg)
{
    struct busy *busy = arg;
    busy->filtered = refuse_vms();
    if (busy->filtered == 0) {
        busy->warmup = run(busy->b, "warmup --slug a");
        busy->doctor = run(busy->b, "doctor --json");
    }
    return NULL;
}

static void test_kvm_that_makes_no_vm(void **state)
{
    (void)state;
    static const struct breach b = {.check = "kvm", .code = 1, .says = "create a VM: Device or "};
    struct busy busy = {.b = &b};
    pthread_t thread;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip();
    shell(SCRIPT("fc", "[ \"$1\" != --version ] || exec echo Firecracker v1.16.1; echo Vm error: "
                       "Cannot open the VM file descriptor >&2; exit 1"));
    _cleanup_free_ char *path = in_bed("%/fc");
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", path);
    assert_int_equal(pthread_create(&thread, NULL, run_busy, &busy), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    shell("rm fc");
    assert_int_equal(busy.filtered, 0);
    agree(&b, &busy.warmup, &busy.doctor);
    bed_result_free(&busy.warmup);
    bed_result_free(&busy.doctor);
}

/* ---- the whole list ---- */

static bool is_breached(const struct breach *b, size_t n, const char *check)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(b[i].check, check))
            return true;
    return false;
}

static void test_every_row_was_made_false(void **state)
{
    const char *check;
    size_t rows = 0;
    (void)state;
    for (size_t i = 0; (check = doctor_check_name(i)); i++) {
        if (!condition_by_name(check))
            continue;
        rows++;
#ifdef __SANITIZE_ADDRESS__
        if (str_eq(check, "sandbox"))
            continue;
#endif
        if (!is_breached(breaches_of_host, n_breaches_of_host, check) &&
            !is_breached(breaches_of_vmm, n_breaches_of_vmm, check) &&
            !is_breached(breaches_of_image, n_breaches_of_image, check) &&
            !is_breached(breaches_of_network, n_breaches_of_network, check))
            fail_msg("no test makes %s false", check);
    }
    assert_int_equal(rows, 16); /* doctor shows them all */
}

/* The verb that needs it says what doctor warns of. */
static void test_no_ssh_client(void **state)
{
    (void)state;
    e2e_warmup("a");
    bed_setenv(&bed, "PATH", "/nonexistent");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "ssh", "a", "true");
    _cleanup_bed_result_ struct bed_result d = BED_RUN(&bed, "doctor", "--json");
    bed_clear_faults(&bed);
    bed_assert_code(s, 1);
    _cleanup_json_ cJSON *report = e2e_json(&d);
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        if (!str_eq(json_opt_string(c, "check", ""), "ssh"))
            continue;
        assert_string_equal(json_opt_string(c, "status", ""), "warning");
        _cleanup_free_ char *says = xasprintf(
            "crabbox-fc: %s" BED_NEXT "%s\n", json_opt_string(c, "message", ""),
            json_opt_string(cJSON_GetObjectItemCaseSensitive(c, "details"), "fix", ""));
        assert_string_equal(s.err.buf, says);
    }
    e2e_stop("a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_the_host),
        E2E_TEST(test_the_vmm),
        E2E_TEST(test_the_image),
        E2E_TEST(test_the_network),
        E2E_TEST(test_kvm_that_makes_no_vm),
        E2E_TEST(test_every_row_was_made_false),
        E2E_TEST(test_no_ssh_client),
    };
    return E2E_MAIN(tests);
}
