#include "testutil/synckit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "testutil/sandbox.h"
#include "testutil/sshserver.h"

#define PORT 2401 /* in a network of its own */

struct synckit kit;
static struct sshserver server;

int synckit_setup(void **state)
{
    struct synckit *k = &kit;
    struct error err = ERROR_INIT;
    (void)state;
    log_set_level(LOG_QUIET);
    k->entered = sandbox_enter_or_skip();
    /* The sandbox's /run is a tmpfs of its own: quick, and gone with the process. */
    (void)str_copy(k->dir, sizeof k->dir, k->entered ? "/run/sync-XXXXXX" : "/tmp/sync-XXXXXX");
    if (!mkdtemp(k->dir))
        return -1;
    (void)setenv("HOME", k->dir, 1);
    (void)setenv("XDG_CONFIG_HOME", k->dir, 1);
    if (!k->entered ||
        (sshserver_prepare(&server, &err) == 0 && sshserver_start(&server, true, PORT, &err) == 0))
        return 0;
    (void)fprintf(stderr, "setup: %s\n", err.msg);
    return -1;
}

int synckit_teardown(void **state)
{
    const struct synckit *k = &kit;
    struct error err = ERROR_INIT;
    (void)state;
    if (dir_remove_tree(AT_FDCWD, k->dir, &err) < 0)
        return -1;
    if (!k->entered)
        return 0;
    sshserver_stop(&server);
    return sandbox_children_left(5000);
}

struct ssh_conn *synckit_connect(const struct synckit *k)
{
    if (!k->entered)
        skip();
    return sshserver_connect(&server);
}

char *synckit_new_dir(const struct synckit *k, const char *name)
{
    char *dir = xasprintf("%s/%s", k->dir, name);
    assert_int_equal(mkdir(dir, 0755), 0);
    return dir;
}

void synckit_sh(const char *dir, const char *script, struct strbuf *out)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct deadline d = deadline_in_ms(60000);
    struct exit_status st;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    _cleanup_close_ int cwd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    spec.envp = (const char *const *)environ;
    spec.argv = (const char *const[]){"/bin/sh", "-euc", script, NULL};
    spec.cwd_fd = cwd;
    if (spawn_run(&spec, &d, 16 << 20, out, &errout, &st, &err) < 0)
        fail_msg("%s", err.msg);
    if (!st.exited || st.code)
        fail_msg("%s: %s", script, errout.buf);
}

int synckit_try(const char *dir, const char *exclude, const struct sync_limits *limits,
                const struct deadline *d, struct sync_list *l, struct error *err)
{
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s can't be opened", dir);
    return sync_scan(fd, exclude, limits, d, l, err);
}

void synckit_scan(const char *dir, const char *exclude, struct sync_list *l)
{
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    if (synckit_try(dir, exclude, NULL, &d, l, &err) < 0)
        fail_msg("%s", err.msg);
}

char *synckit_make(const struct synckit *k, const char *name, const char *script)
{
    char *dir = synckit_new_dir(k, name);
    synckit_sh(dir, script, NULL);
    return dir;
}

void synckit_list(const char *dir, struct strbuf *out)
{
    struct sync_list l = {0};
    synckit_scan(dir, NULL, &l);
    for (size_t i = 0; i < l.n_files; i++)
        strbuf_addf(out, "%s\n", l.files[i].path);
    if (l.n_skipped)
        strbuf_addf(out, "-%s\n", l.first_skipped);
    if (l.n_nested)
        strbuf_addf(out, "-%s\n", l.first_nested);
    if (l.n_misnamed)
        strbuf_addf(out, "~%s\n", l.first_misnamed);
    if (l.n_absent)
        strbuf_addf(out, "?%s\n", l.first_absent);
    sync_list_free(&l);
}

void synckit_warnings(const char *dir, struct strbuf *out)
{
    struct sync_list l = {0};
    struct error err = ERROR_INIT;
    _cleanup_close_ int file = memfd_create("stderr", MFD_CLOEXEC);
    _cleanup_close_ int kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0 && dup2(file, STDERR_FILENO) >= 0);
    log_set_level(LOG_WARN);
    int r = synckit_try(dir, NULL, NULL, NULL, &l, &err);
    log_set_level(LOG_QUIET);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    sync_list_free(&l);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(file, 1 << 20, "warnings", out, &err), 0);
}

void synckit_assert_listed(const char *dir, const char *want)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    synckit_list(dir, &out);
    assert_string_equal(out.buf, want);
}

void synckit_assert_as_git(const char *dir)
{
    _cleanup_strbuf_ struct strbuf ours = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf theirs = STRBUF_INIT;
    synckit_list(dir, &ours);
    synckit_sh(dir,
               "git -c core.quotePath=false ls-files -co --exclude-standard | LC_ALL=C sort -u | "
               "while IFS= read -r f; do [ -d \"$f\" ] && [ ! -L \"$f\" ] || [ ! -e \"$f\" ] && "
               "[ ! -L \"$f\" ] || printf '%s\\n' \"$f\"; done",
               &theirs);
    assert_string_equal(ours.buf, theirs.buf);
    assert_true(theirs.len > 0);
}

void synckit_assert_refused(const char *dir, const char *part)
{
    struct sync_list l = {0};
    struct deadline d = deadline_in_ms(60000);
    struct error err = ERROR_INIT;
    if (synckit_try(dir, NULL, NULL, &d, &l, &err) == 0)
        fail_msg("%s is listed", dir);
    assert_int_equal(err.kind, ERR_SYNC);
    if (!strstr(err.msg, part) || !strstr(err.msg, "; next: "))
        fail_msg("no '%s', or nothing to do, in: %s", part, err.msg);
}
