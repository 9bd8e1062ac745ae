#include "e2e/e2e.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lease/store.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/file.h"

struct bed bed;
static bool left_behind;

int e2e_open(void **state)
{
    (void)state;
    int64_t run_timeout_ms = bed.run_timeout_ms;
    bed_open(&bed);
    if (run_timeout_ms > 0)
        bed.run_timeout_ms = run_timeout_ms;
    const char *rootless = getenv("CRABBOX_BED_ROOTLESS");
    if (rootless && *rootless)
        bed_be_user(&bed);
    return 0;
}

int e2e_close(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    size_t n = bed_residue(&bed, &left);
    bed_close(&bed);
    left_behind = n > 0;
    if (left_behind)
        fail_msg("left over at the end:\n%s", left.buf);
    return 0;
}

int e2e_open_box(void **state)
{
    (void)e2e_open(state);
    e2e_warmup("box");
    return 0;
}

int e2e_close_box(void **state)
{
    E2E_OK("stop", "--missing-ok", "box");
    return e2e_close(state);
}

int e2e_open_cni(void **state, const char *script)
{
    const char *plugins = bed_cni_dir();
    if (!plugins)
        return -1;
    (void)e2e_open(state);
    E2E_EXEC_OK("sh", "-ec", script, plugins, bed.dir);
    bed_ready_for_cni(&bed);
    return 0;
}

int e2e_end(int failed)
{
    bool open = *bed.dir;
    if (open)
        bed_close(&bed);
    return failed + (open || left_behind);
}

int e2e_after_each(void **state)
{
    (void)state;
    bed_after_each(&bed);
    return 0;
}

/* ---- commands ---- */

void e2e_check_run(int want, const char *const *args, const char *file, int line)
{
    _cleanup_bed_result_ struct bed_result r = bed_run(&bed, args);
    bed_check_code(&r, want, file, line);
}

void e2e_stop_cni(const char *slug)
{
    e2e_stop(slug);
    bed_assert_clean(&bed);
    bed_assert_cni_clean(&bed);
}

void e2e_check_exec(const char *const *argv, const char *file, int line)
{
    _cleanup_bed_result_ struct bed_result r = bed_exec(&bed, argv);
    bed_check_code(&r, 0, file, line);
}

void e2e_write_file(const char *name, const void *text, size_t len)
{
    struct error err = ERROR_INIT;
    _cleanup_close_ int dir = open(bed.work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (file_write_new(dir, name, text, len, 0600, &err) < 0 ||
        fchownat(dir, name, bed.user.uid, bed.user.gid, 0) < 0)
        fail_msg("%s: %s", name, err.msg);
}

/* ---- what a command said ---- */

cJSON *e2e_json(const struct bed_result *r)
{
    struct error err = ERROR_INIT;
    cJSON *j = json_parse(r->out.buf, r->out.len, "stdout", &err);
    if (!j)
        fail_msg("%s: %s%s", err.msg, r->out.buf, r->err.buf);
    return j;
}

cJSON *e2e_timing(const struct bed_result *r)
{
    struct error err = ERROR_INIT;
    const char *line = strstr(r->err.buf, "{\"");
    cJSON *j = line ? json_parse(line, strcspn(line, "\n"), "timing", &err) : NULL;
    if (!j)
        fail_msg("no timing in: %s", r->err.buf);
    return j;
}

cJSON *e2e_status(const char *slug)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "status", "--json", slug);
    bed_assert_code(r, 0);
    return e2e_json(&r);
}

/* ---- leases ---- */

bool e2e_there(const char *slug)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "status", slug);
    if (r.st.exited && r.st.code == 4)
        return false;
    bed_assert_code(r, 0);
    return true;
}

pid_t e2e_vmm_pid(const char *slug)
{
    _cleanup_json_ cJSON *j = e2e_status(slug);
    int64_t pid = json_opt_i64(cJSON_GetObjectItem(j, "vmm"), "pid", 0);
    assert_true(pid > 1);
    return (pid_t)pid;
}

size_t e2e_leases(struct lease_entry **all)
{
    struct store s;
    size_t n = 0;
    struct error err = ERROR_INIT;
    /* Only its owner believes what is in a state directory. */
    if (setegid(bed.user.gid) < 0 || seteuid(bed.user.uid) < 0)
        fail_msg("become the bed's user");
    bool read = store_open(&s, bed.state, local_kinds, &err) == 0 &&
                store_list(&s, all, &n, &err) == 0;
    if (seteuid(0) < 0 || setegid(0) < 0 || !read)
        fail_msg("%s", err.msg);
    store_close(&s);
    return n;
}

void e2e_wait_until_none(void)
{
    struct deadline d = deadline_in_ms(120000);
    struct lease_entry *all = NULL;
    while (e2e_leases(&all) > 0) {
        free(all);
        if (deadline_passed(&d))
            fail_msg("a lease is still there");
        (void)poll(NULL, 0, 5);
    }
    free(all);
    bed_assert_clean(&bed);
}

struct child e2e_warmup_stuck(const char *slug)
{
    _cleanup_free_ char *mark = xasprintf("%s/mark", bed.dir);
    (void)unlink(mark);
    bed_setenv(&bed, "CRABBOX_STANDIN_MARK", mark);
    struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", slug);
    if (!bed_wait_file(&bed, "mark", 20000))
        fail_msg("the warmup of %s did not get to its fault", slug);
    return c;
}

/* ---- programs that run meanwhile ---- */

void e2e_signal(const struct child *c, int sig)
{
    struct error err = ERROR_INIT;
    if (child_signal(c, sig, &err) < 0)
        fail_msg("%s", err.msg);
}

struct exit_status e2e_wait(struct child *c, int64_t ms)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(ms);
    struct exit_status st;
    if (child_wait(c, &d, &st, &err) < 0)
        fail_msg("%s", err.msg);
    return st;
}

int e2e_code(struct child *c, int64_t ms)
{
    struct exit_status st = e2e_wait(c, ms);
    if (!st.exited)
        fail_msg("killed by signal %d", st.signal);
    return st.code;
}

size_t e2e_processes(const char *word)
{
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    size_t count = 0;
    for (struct dirent *de; (de = readdir(proc));) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *path = xasprintf("/proc/%s/cmdline", de->d_name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fd_read_all(fd, 1 << 20, path, &text, NULL) < 0)
            continue;
        for (size_t at = 0; at < text.len; at += strlen(text.buf + at) + 1)
            count += str_eq(text.buf + at, word);
    }
    return count;
}

void e2e_wait_processes(const char *word, size_t n)
{
    struct deadline d = deadline_in_ms(10000);
    while (e2e_processes(word) < n && !deadline_passed(&d))
        (void)poll(NULL, 0, 20);
    assert_true(e2e_processes(word) >= n);
}
