#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "lease/place.h"
#include "lease/store.h"
#include "sys/file.h"
#include "testutil/badreaddir.h"
#include "testutil/scratch.h"
#include "vmm/logcap.h"

static const char *const names[] = {"slug", "net", "vmm"};
static const struct lease_kind kind = {LEASE_PROVIDER_LOCAL, names, 3, true};
static const struct lease_kind *const kinds[] = {&kind, NULL};

struct fixture {
    char path[64];
    struct store store;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->path, sizeof f->path, "/tmp/crabbox-store-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(store_open(&f->store, f->path, kinds, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    assert_int_equal(dir_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f);
    return 0;
}

/* A lease with a value in every kind of field. */
static struct lease sample(const char *slug)
{
    struct lease l = {0};
    assert_int_equal(lease_identify(&l, NULL, slug, NULL), 0);
    l.kind = &kind;
    l.state = LEASE_CREATING;
    l.keep = true;
    l.created_at = 1700000000;
    l.last_touched_at = 1700000100;
    l.ttl_s = 5400;
    l.idle_timeout_s = 1800;
    l.cpus = 2;
    l.memory_mib = 512;
    l.disk_mib = 1024;
    l.ssh_port = 22;
    (void)str_copy(l.user, sizeof l.user, "crabbox");
    (void)str_copy(l.work_root, sizeof l.work_root, "/work/crabbox");
    (void)str_copy(l.host_key, sizeof l.host_key, "ssh-ed25519 AAAA");
    (void)str_copy(l.local.vmm.backend, sizeof l.local.vmm.backend, "qemu");
    l.local.vmm.accel = VMM_TCG;
    l.marks[0] = MARK_DONE;
    l.marks[1] = MARK_STARTED;
    return l;
}

static void create(struct fixture *f, const struct lease *l)
{
    struct lease_handle h;
    struct error e = ERROR_INIT;
    if (store_create(&f->store, l, &h, &e) < 0)
        fail_msg("%s", e.msg);
    lease_handle_close(&h);
}

static void records_come_back_as_they_went(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo"), back;
    struct lease_handle h;
    struct deadline d = deadline_in_ms(1000);
    struct error e = ERROR_INIT;
    create(f, &l);
    if (store_open_lease(&f->store, l.id, &d, &h, &e) < 0 ||
        store_load(&f->store, &h, &back, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(back.id, l.id);
    assert_string_equal(back.slug, "demo");
    assert_int_equal(back.state, LEASE_CREATING);
    assert_true(back.keep);
    assert_int_equal(back.created_at, l.created_at);
    assert_int_equal(back.memory_mib, 512);
    assert_int_equal(back.local.vmm.accel, VMM_TCG);
    assert_int_equal(back.marks[0], MARK_DONE);
    assert_int_equal(back.marks[1], MARK_STARTED);
    assert_int_equal(back.marks[2], MARK_NONE);
    lease_handle_close(&h);
}

static void entry_of(struct fixture *f, const char *id, struct lease_entry *e)
{
    struct error err = ERROR_INIT;
    if (store_entry(&f->store, id, e, &err) < 0)
        fail_msg("%s", err.msg);
}

/* An archive that was unpacked over our state has added a lease, whose record is sound. */
static void a_lease_that_we_did_not_make_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo"), back;
    struct lease_entry e;
    struct lease_handle h;
    struct error err = ERROR_INIT;
    create(f, &l);
    entry_of(f, l.id, &e);
    assert_false(e.broken);
    _cleanup_free_ char *script = xasprintf(
        "cd '%s/leases'; cp -a %s cbx_0123456789ab; "
        "sed -i s/%s/cbx_0123456789ab/ cbx_0123456789ab/lease.json",
        f->path, l.id, l.id);
    assert_int_equal(run_program((const char *const[]){"sh", "-ec", script, NULL}, NULL), 0);
    entry_of(f, "cbx_0123456789ab", &e);
    assert_true(e.broken);
    assert_non_null(strstr(e.reason, "cbx_0123456789ab was not made by crabbox-fc on this host"));
    assert_int_equal(store_open_lease(&f->store, e.id, NULL, &h, &err), 0);
    assert_int_equal(store_load(&f->store, &h, &back, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    lease_handle_close(&h);
    /* Its owner can say that it is. */
    const char *command = strstr(e.reason, "ln -sfn ");
    assert_non_null(command);
    assert_int_equal(run_program((const char *const[]){"sh", "-c", command, NULL}, NULL), 0);
    entry_of(f, "cbx_0123456789ab", &e);
    assert_false(e.broken);
}

static void files_are_private(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo");
    struct stat st;
    char path[256];
    create(f, &l);
    (void)str_format(path, sizeof path, "%s/leases/%s", f->path, l.id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    (void)str_format(path, sizeof path, "%s/leases/%s/lease.json", f->path, l.id);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_slug_has_one_holder(void **state)
{
    struct fixture *f = *state;
    struct error e = ERROR_INIT;
    char id[LEASE_ID_SIZE];
    struct lease a = sample("demo");
    create(f, &a);
    assert_int_equal(store_claim_slug(&f->store, "demo", a.id, NULL), 0);
    assert_int_equal(store_claim_slug(&f->store, "demo", a.id, NULL), 0);
    assert_int_equal(store_claim_slug(&f->store, "demo", "cbx_0123456789ab", &e), -1);
    assert_int_equal(e.kind, ERR_EXISTS);
    assert_non_null(strstr(e.msg, a.id));
    assert_int_equal(store_resolve(&f->store, "demo", id, NULL), 0);
    assert_string_equal(id, a.id);
    assert_int_equal(store_resolve(&f->store, "Demo", id, NULL), 0); /* normalised alike */
    assert_int_equal(store_resolve(&f->store, a.name, id, NULL), 0); /* the full name */
    assert_int_equal(store_resolve(&f->store, "dmeo", id, &e), -1);
    assert_non_null(strstr(e.msg, "did you mean demo? next: "));
    assert_int_equal(store_resolve(&f->store, "else", id, &e), -1);
    assert_null(strstr(e.msg, "did you mean"));
    assert_int_equal(store_drop_slug(&f->store, "demo", "cbx_0123456789ab", NULL), 0);
    assert_int_equal(store_resolve(&f->store, "demo", id, NULL), 0); /* not the other's to drop */
    assert_int_equal(store_drop_slug(&f->store, "demo", a.id, NULL), 0);
    assert_int_equal(store_resolve(&f->store, "demo", id, NULL), 0); /* its record still says so */
    assert_int_equal(store_remove(&f->store, a.id, NULL), 0);
    assert_int_equal(store_resolve(&f->store, "demo", id, &e), -1);
    assert_int_equal(e.kind, ERR_NOT_FOUND);
}

static void one_bad_record_hides_no_other(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"",   "{",        "{\"schema\":99}",
                                      "[]", "\xff\xfe", "{\"schema\":1,\"id\":\"../../etc\"}"};
    struct lease good = sample("good");
    create(f, &good);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct lease l = sample(NULL);
        char name[64];
        create(f, &l);
        (void)str_format(name, sizeof name, "%s/lease.json", l.id);
        assert_int_equal(
            file_write_new(f->store.leases_fd, name, bad[i], strlen(bad[i]), 0600, NULL), 0);
    }
    assert_int_equal(mkdirat(f->store.leases_fd, "foreign", 0700), 0);
    assert_int_equal(symlinkat("/etc", f->store.leases_fd, "cbx_0000000000aa"), 0);
    struct lease_entry *all;
    size_t n, broken = 0;
    assert_int_equal(store_list(&f->store, &all, &n, NULL), 0);
    assert_int_equal(n, ARRAY_LEN(bad) + 3);
    for (size_t i = 0; i < n; i++) {
        broken += all[i].broken;
        if (all[i].broken)
            assert_non_null(strstr(all[i].reason, f->path));
        else
            assert_string_equal(all[i].id, good.id);
    }
    assert_int_equal(broken, n - 1);
    free(all);
}

static void a_copied_record_is_not_another_lease(void **state)
{
    struct fixture *f = *state;
    struct lease a = sample("a"), b = sample("b");
    char from[64];
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    create(f, &a);
    create(f, &b);
    (void)str_format(from, sizeof from, "%s/lease.json", a.id);
    assert_int_equal(file_read_at(f->store.leases_fd, from, 65536, &sb, NULL), 0);
    (void)str_format(from, sizeof from, "%s/lease.json", b.id);
    assert_int_equal(file_write_new(f->store.leases_fd, from, sb.buf, sb.len, 0600, NULL), 0);
    struct lease_entry e;
    struct lease_handle h;
    struct lease l;
    struct deadline d = deadline_in_ms(1000);
    assert_int_equal(store_entry(&f->store, b.id, &e, NULL), 0);
    assert_true(e.broken);
    /* Nor can anybody who would change or remove it load it. */
    assert_int_equal(store_open_lease(&f->store, b.id, &d, &h, NULL), 0);
    assert_int_equal(store_load(&f->store, &h, &l, NULL), -1);
    lease_handle_close(&h);
}

static void sweep_takes_only_what_a_crash_left(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo"), mine = sample("mine");
    struct lease_handle h;
    assert_int_equal(store_create(&f->store, &mine, &h, NULL), 0);
    /* A maker that was killed between mkdir and rename. */
    pid_t pid = fork();
    if (pid == 0) {
        char tmp[64];
        (void)str_format(tmp, sizeof tmp, ".new-%s", l.id);
        _exit(mkdirat(f->store.leases_fd, tmp, 0700) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(mkdirat(f->store.leases_fd, ".del-cbx_0000000000bb", 0700), 0);
    assert_int_equal(store_sweep(&f->store, true, NULL), 2);
    assert_int_equal(store_sweep(&f->store, false, NULL), 2);
    assert_int_equal(store_sweep(&f->store, false, NULL), 0);
    struct lease_entry e;
    assert_int_equal(store_entry(&f->store, mine.id, &e, NULL), 0);
    assert_true(e.locked && !e.broken);
    lease_handle_close(&h);
}

/* Somebody removed a lease's directory by hand: its slug is free again after a sweep. */
/* One directory that can't be removed keeps no other from it. */
static void sweep_goes_past_what_it_can_not_remove(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *busy = xasprintf("%s/leases/.del-a/b", f->path);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip();
    assert_int_equal(dir_make_all(busy, 0700, &err), 0);
    assert_int_equal(mount("busy", busy, "tmpfs", 0, NULL), 0);
    for (int i = 0; i < 8; i++) {
        _cleanup_free_ char *name = xasprintf(".del-%d", i);
        assert_int_equal(mkdirat(f->store.leases_fd, name, 0700), 0);
    }
    assert_int_equal(store_sweep(&f->store, false, NULL), -1);
    assert_int_equal(store_sweep(&f->store, false, &err), -1);
    assert_non_null(strstr(err.msg, "sweep "));
    assert_return_code(umount2(busy, MNT_DETACH), errno);
    assert_int_equal(store_sweep(&f->store, false, NULL), 1);
}

static void sweep_frees_slugs_of_leases_that_are_gone(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo");
    create(f, &l);
    assert_int_equal(store_claim_slug(&f->store, "demo", l.id, NULL), 0);
    assert_int_equal(store_claim_slug(&f->store, "gone", "cbx_0123456789ab", NULL), 0);
    assert_int_equal(symlinkat("/etc/passwd", f->store.slugs_fd, "foreign"), 0);
    assert_int_equal(store_sweep(&f->store, true, NULL), 1);
    assert_int_equal(store_sweep(&f->store, false, NULL), 1);
    assert_int_equal(store_sweep(&f->store, false, NULL), 0);
    assert_int_equal(store_claim_slug(&f->store, "gone", l.id, NULL), 0);
    assert_int_equal(store_claim_slug(&f->store, "demo", "cbx_0123456789ab", NULL), -1);
    assert_int_equal(faccessat(f->store.slugs_fd, "foreign", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void removal_is_whole_and_repeatable(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo");
    struct error e = ERROR_INIT;
    struct lease_handle h;
    create(f, &l);
    assert_int_equal(store_remove(&f->store, l.id, NULL), 0);
    assert_int_equal(store_remove(&f->store, l.id, NULL), 0);
    assert_int_equal(store_open_lease(&f->store, l.id, NULL, &h, &e), -1);
    assert_int_equal(e.kind, ERR_NOT_FOUND);
    assert_int_equal(store_open_lease(&f->store, "../x", NULL, &h, &e), -1);
}

static void console_is_found(struct fixture *f, const char *ref, bool failed)
{
    bool is_failed;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    _cleanup_close_ int fd = store_open_logs(&f->store, ref, &is_failed, NULL);
    assert_true(fd >= 0);
    assert_int_equal(is_failed, failed);
    assert_int_equal(file_read_at(fd, VMM_CONSOLE_LOG, 100, &sb, NULL), 0);
    assert_string_equal(sb.buf, "panic\n");
}

/* Alive and failed, by either name. `console`: where it is in the lease's directory. */
static void logs_are_found(struct fixture *f, const char *console)
{
    struct lease l = sample("demo");
    struct lease_handle h;
    bool failed;
    assert_int_equal(store_create(&f->store, &l, &h, NULL), 0);
    if (strchr(console, '/'))
        assert_int_equal(mkdirat(h.dirfd, VMM_DIR, 0700), 0);
    assert_int_equal(file_write_new(h.dirfd, console, "panic\n", 6, 0600, NULL), 0);
    console_is_found(f, l.id, false);
    assert_int_equal(store_keep_logs(&f->store, &h, &l, "it failed", NULL), 0);
    lease_handle_close(&h);
    assert_int_equal(store_remove(&f->store, l.id, NULL), 0);
    console_is_found(f, "demo", true);
    console_is_found(f, l.id, true);
    assert_int_equal(store_open_logs(&f->store, "dem", &failed, NULL), -1);
}

static void logs_of_a_failed_lease_are_found_by_either_name(void **state)
{
    logs_are_found(*state, VMM_DIR "/" VMM_CONSOLE_LOG);
}

static void logs_of_older_versions_are_found(void **state)
{
    logs_are_found(*state, VMM_CONSOLE_LOG);
}

/* Neither a link nor a file is taken for the VMM's directory. */
static void logs_are_read_from_no_other_directory(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo");
    struct lease_handle h;
    bool failed;
    assert_int_equal(store_create(&f->store, &l, &h, NULL), 0);
    for (int i = 0; i < 2; i++) {
        struct error e = ERROR_INIT;
        if (i == 0)
            assert_int_equal(symlinkat("/tmp", h.dirfd, VMM_DIR), 0);
        else
            assert_int_equal(file_write_new(h.dirfd, VMM_DIR, "", 0, 0600, NULL), 0);
        assert_int_equal(store_open_logs(&f->store, l.id, &failed, &e), -1);
        assert_int_equal(e.kind, ERR_STATE);
        assert_non_null(
            strstr(e.msg, "vmm of the lease, which was replaced: Not a directory; next: "));
        error_clear(&e);
        assert_int_equal(store_keep_logs(&f->store, &h, &l, "it failed", &e), -1);
        assert_int_equal(e.kind, ERR_STATE);
        assert_int_equal(unlinkat(h.dirfd, VMM_DIR, 0), 0);
    }
    lease_handle_close(&h);
}

/* Nobody looks at them any more, so they are no larger than a log may be. */
static void logs_that_are_kept_have_a_bound(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("demo");
    struct lease_handle h;
    struct stat st;
    bool failed;
    _cleanup_free_ char *flood = xcalloc(1, LOGCAP_MAX + LOGCAP_KEPT);
    assert_int_equal(store_create(&f->store, &l, &h, NULL), 0);
    assert_int_equal(mkdirat(h.dirfd, VMM_DIR, 0700), 0);
    assert_int_equal(
        file_write_new(h.dirfd, VMM_DIR "/" VMM_LOG, flood, LOGCAP_MAX + LOGCAP_KEPT, 0600, NULL),
        0);
    assert_int_equal(store_keep_logs(&f->store, &h, &l, "it failed", NULL), 0);
    lease_handle_close(&h);
    assert_int_equal(store_remove(&f->store, l.id, NULL), 0);
    _cleanup_close_ int fd = store_open_logs(&f->store, "demo", &failed, NULL);
    assert_int_equal(fstatat(fd, VMM_LOG, &st, 0), 0);
    assert_true((int64_t)st.st_blocks * 512 <= LOGCAP_MAX);
}

static void slugs_are_normalised(void **state)
{
    char out[LEASE_SLUG_SIZE];
    struct error e = ERROR_INIT;
    (void)state;
    assert_int_equal(lease_slug_normalise("  My Branch/Fix #7 ", out, NULL), 0);
    assert_string_equal(out, "my-branch-fix-7");
    assert_int_equal(lease_slug_normalise("../..", out, &e), -1);
    assert_int_equal(e.kind, ERR_USAGE);
    char big[200];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(lease_slug_normalise(big, out, NULL), 0);
    assert_int_equal(strlen(out), 41);
}

/* What can't be read to its end is no shorter list. */
static void half_a_directory_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error e = ERROR_INIT;
    struct lease_entry *all = NULL;
    size_t n = 1;
    int list[4], sweep[4];
    for (int i = 0; i < 4; i++) {
        readdir_good = i;
        list[i] = store_list(&f->store, &all, &n, &e);
        readdir_good = i;
        sweep[i] = store_sweep(&f->store, true, &e);
    }
    readdir_good = -1;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(list[i], i < 3 ? -1 : 0);
        assert_int_equal(sweep[i], -1);
    }
    assert_int_equal(n, 0);
    assert_int_equal(e.kind, ERR_IO);
    assert_non_null(strstr(e.msg, "/slugs: Input/output error"));
    assert_int_equal(store_sweep(&f->store, true, &e), 0);
}

/* Such a path would add lines to each lease's ssh_config. */
static void a_path_that_ssh_would_misread_is_refused(void **state)
{
    static const char *const bad[] = {"a\"b", "a\nProxyCommand x\n#", "a\\b", "a\x7f"};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct store s;
        struct error err = ERROR_INIT;
        _cleanup_free_ char *path = xasprintf("%s/%s", f->path, bad[i]);
        assert_int_equal(store_open(&s, path, kinds, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.msg, "in its path"));
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void expiry_is_the_earlier_of_both(void **state)
{
    struct lease l = sample("x");
    (void)state;
    assert_int_equal(lease_expires_at(&l), 1700000100 + 1800);
    l.last_touched_at = 1700005000;
    assert_int_equal(lease_expires_at(&l), 1700000000 + 5400);
}

/* As somebody who may not search the directory: an error that is not "no such file". Exit code 0
 * for true. */
static bool as_nobody(bool (*look)(struct store *s, const char *id), struct store *s,
                      const char *id)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setresuid(65534, 65534, 65534) == 0 && look(s, id) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_there(struct store *s, const char *id)
{
    struct lease_entry e;
    return store_entry(s, id, &e, NULL) == 0 && e.broken;
}

static bool check_fails_otherwise(struct store *s, const char *id)
{
    struct error err = ERROR_INIT;
    (void)id;
    return place_check_lease(s->leases_fd, "leases", &err) < 0 && err.kind == ERR_IO &&
           err.sys == EACCES;
}

/* Or `stop` would call it stopped, and the advice would be to remove it. */
static void what_can_t_be_looked_at_is_neither_gone_nor_foreign(void **state)
{
    struct fixture *f = *state;
    struct lease l = sample("a");
    if (geteuid() != 0)
        skip();
    create(f, &l);
    assert_true(as_nobody(is_there, &f->store, l.id));
    assert_true(as_nobody(check_fails_otherwise, &f->store, l.id));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(records_come_back_as_they_went),
        T(a_lease_that_we_did_not_make_is_not_believed),
        T(files_are_private),
        T(a_slug_has_one_holder),
        T(one_bad_record_hides_no_other),
        T(a_copied_record_is_not_another_lease),
        T(sweep_takes_only_what_a_crash_left),
        T(sweep_goes_past_what_it_can_not_remove),
        T(sweep_frees_slugs_of_leases_that_are_gone),
        T(removal_is_whole_and_repeatable),
        T(logs_of_a_failed_lease_are_found_by_either_name),
        T(logs_of_older_versions_are_found),
        T(logs_are_read_from_no_other_directory),
        T(logs_that_are_kept_have_a_bound),
        T(half_a_directory_is_an_error),
        T(a_path_that_ssh_would_misread_is_refused),
        T(what_can_t_be_looked_at_is_neither_gone_nor_foreign),
        cmocka_unit_test(slugs_are_normalised),
        cmocka_unit_test(expiry_is_the_earlier_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
