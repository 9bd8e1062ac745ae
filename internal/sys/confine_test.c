#include "sys/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/jail.h"
#include "sys/spawn.h"
#include "sys/syscalls.h"
#include "testutil/attempts.h"

#ifdef __SANITIZE_ADDRESS__
/* The runtime gives up where it can't lower the limit of a core, and a confined one can't read its
 * options from /proc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "disable_coredump=0";
}
#endif

static char dir[64];
static int dir_fd, list_fd;
static bool no_holes;

static void must(int r, const struct error *err)
{
    if (r < 0)
        fail_msg("%s", err->msg);
}

static void allow(const char *path, enum confine_access access)
{
    struct error err = ERROR_INIT;
    must(confine_allow(list_fd, dir_fd, path, access, false, &err), &err);
}

/* A directory with files, and a list on which there is what a shell needs. */
static int setup(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    static const char *const files[] = {"read", "write", "other"};
    static const char *const host[] = {"/usr", "/bin", "/lib", "/lib64"};
    const char *tmp = getenv("TMPDIR");
    (void)str_format(dir, sizeof dir, "%s/confine.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        must(file_write_new(dir_fd, files[i], "text\n", 5, 0600, &err), &err);
    list_fd = confine_new(&err);
    must(list_fd, &err);
    for (size_t i = 0; i < ARRAY_LEN(host); i++)
        must(confine_allow(list_fd, AT_FDCWD, host[i], CONFINE_EXECUTE, true, &err), &err);
    must(confine_allow(list_fd, AT_FDCWD, "/dev/null", CONFINE_DEVICE, false, &err), &err);
    allow("read", CONFINE_READ);
    allow("write", CONFINE_WRITE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    (void)close(list_fd);
    (void)close(dir_fd);
    must(dir_remove_tree(AT_FDCWD, dir, &err), &err);
    return 0;
}

/* The exit code of a line of shell, confined or not. Confined, it can start nothing, but it can
 * become another program. */
static int shell_says(bool confined, const char *line, struct strbuf *says)
{
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    spec.argv = argv;
    spec.cwd_fd = dir_fd;
    spec.confine_fd = confined ? list_fd : -1;
    spec.no_holes = no_holes;
    must(spawn_run(&spec, NULL, 4096, says, NULL, &st, &err), &err);
    return st.exited ? st.code : 128 + st.signal;
}

static int shell(bool confined, const char *line)
{
    return shell_says(confined, line, NULL);
}

/* Each has its counterpart: what is refused to the one is possible for the other. */
static void both(const char *line, bool confined_too)
{
    if (shell(false, line) != 0)
        fail_msg("not confined, and still it fails: %s", line);
    if ((shell(true, line) == 0) != confined_too)
        fail_msg("confined, and it %s: %s", confined_too ? "fails" : "succeeds", line);
}

static void test_only_what_is_on_the_list(void **state)
{
    (void)state;
    both("exec cat read", true);
    both("read line <write && echo more >>write", true);
    both("exec ls -d .", true); /* to walk through directories takes no right */
    both("exec cat other", false);
    both("echo x >>read", false);
    both(": >>new && exec rm new", false);
    both("exec ls / >>/dev/null", false);
    both("exec cat /etc/passwd", false);
    both("exec cat /proc/1/environ >>/dev/null", false);
    both("exec cat ../*/other", false);
}

static void test_a_file_put_in_its_place_is_not_on_it(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    both("exec cat read", true);
    must(file_write_new(dir_fd, "read", "new\n", 4, 0600, &err), &err); /* by rename */
    both("exec cat read", false);
}

static void test_sockets_where_they_may_be(void **state)
{
    (void)state;
    static const char make[] = "exec python3 -c 'import socket; socket.socket(1).bind(\"sock\")'";
    assert_int_equal(shell(false, make), 0);
    assert_int_equal(unlinkat(dir_fd, "sock", 0), 0);
    assert_int_not_equal(shell(true, make), 0);
    allow(".", CONFINE_SOCKETS);
    assert_int_equal(shell(true, make), 0);
    assert_int_equal(unlinkat(dir_fd, "sock", 0), 0);
    both(": >>new && exec rm new", false);
    both("exec cat other && echo more >>other", true);
}

/* All files that are there, whatever their names; but no other name, and no list of them. What may
 * only be read has a mode that says so. */
static void test_a_directory_to_write_in(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    must(file_write_new(dir_fd, "seed", "text\n", 5, 0400, &err), &err);
    allow(".", CONFINE_WRITE);
    both("exec cat other seed", true);
    both("echo more >>other", true);
    both(": >>new && exec rm new", false);
    both("exec ls . >>/dev/null", false);
    assert_int_not_equal(shell(true, "echo more >>seed"), 0);
    assert_int_not_equal(shell(true, "exec chmod 600 seed"), 0);
}

static void test_no_capabilities_and_none_to_be_had(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    both("exec su -s /bin/true nobody", false);
}

static void test_what_was_asked_for_is_looked_at(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    spec.argv = argv;
    _cleanup_(child_kill) struct child plain = CHILD_INIT;
    must(spawn(&spec, &plain, &err), &err);
    spec.confine_fd = list_fd;
    _cleanup_(child_kill) struct child confined = CHILD_INIT;
    must(spawn(&spec, &confined, &err), &err);
    must(confine_verify(confined.pid, &spec, &err), &err);
    assert_int_equal(confine_verify(plain.pid, &spec, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "not confined as it should be"));
    int own = confine_filters(getpid(), &err);
    assert_int_equal(confine_filters(plain.pid, &err), own);
    assert_int_equal(confine_filters(confined.pid, &err), own + 1);
    /* What it does not have: another user, another network, a root directory. */
    static const struct caller other = {54321, 54321};
    _cleanup_close_ int another = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    struct jail jail = JAIL_INIT;
    const struct {
        const char *what;
        const struct caller *user;
        const struct jail *jail;
        int netns_fd;
    } wanted[] = {
        {"Uid", &other, NULL, -1}, {"ns/mnt", NULL, &jail, -1}, {"ns/net", NULL, NULL, another}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct error why = ERROR_INIT;
        spec.user = wanted[i].user;
        spec.jail = wanted[i].jail;
        spec.netns_fd = wanted[i].netns_fd;
        assert_int_equal(confine_verify(confined.pid, &spec, &why), -1);
        if (!strstr(why.msg, wanted[i].what))
            fail_msg("%s", why.msg);
    }
}

/* ---- what a program that was taken over would try, by itself in this program's other role ---- */

static void listen_there(int s)
{
    const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "listens"};
    assert_int_equal(fchdir(dir_fd), 0);
    assert_int_equal(bind(s, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s, 8), 0);
}

static int attempt(const char *self, bool confined, const char *name)
{
    struct rlimit before, limit;
    _cleanup_free_ char *line = xasprintf(ATTEMPT_PID "=%d exec '%s' attempt %s", (int)getpid(),
                                          self, name);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){ATTEMPT_LIMIT, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int r = shell(confined, line);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return r;
}

static void try_all(const char *self, bool confined)
{
    const struct attempt *a;
    for (size_t i = 0; (a = attempt_at(i)); i++) {
        int want = confined ? a->confined : a->plain;
        int got = attempt(self, confined, a->name);
        if (!attempt_came_to(got, want))
            fail_msg("%sconfined, %s comes to %d instead of %d", confined ? "" : "not ", a->name,
                     got, want);
    }
}

/* This program, which the confined child may run too. */
static char *allow_self(void)
{
    char *self = realpath("/proc/self/exe", NULL);
    assert_non_null(self);
    allow(self, CONFINE_EXECUTE);
    return self;
}

/* The files of the host stay as they are, and those on the list as large as they may be. */
static void test_no_call_gets_around_it(void **state)
{
    (void)state;
    struct stat st;
    _cleanup_free_ char *self = allow_self();
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    listen_there(s);
    assert_int_equal(truncate("write", ATTEMPT_LIMIT), 0);
    try_all(self, true);
    assert_int_equal(stat("write", &st), 0);
    if (confine_version() >= 3)
        assert_int_equal(st.st_size, ATTEMPT_LIMIT);
    assert_true(st.st_blocks * 512L <= ATTEMPT_LIMIT);
    assert_int_equal(stat("other", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 5);
    try_all(self, false);
}

/* What only a newer Landlock refuses. */
static void test_a_file_does_not_get_as_short_as_a_page(void **state)
{
    (void)state;
    _cleanup_free_ char *self = allow_self();
    if (confine_version() < 3)
        skip();
    assert_int_equal(attempt(self, true, "one_page"), EACCES);
}

/* Not even for a program of the host that cores are piped to. */
static void test_it_leaves_no_core(void **state)
{
    (void)state;
    struct rlimit before;
    _cleanup_strbuf_ struct strbuf says = STRBUF_INIT;
    assert_int_equal(getrlimit(RLIMIT_CORE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_CORE, &(struct rlimit){0, before.rlim_max}), 0);
    assert_int_equal(shell_says(true, "exec prlimit --core --raw --noheadings -o SOFT,HARD", &says),
                     0);
    assert_int_equal(setrlimit(RLIMIT_CORE, &before), 0);
    assert_string_equal(says.buf, before.rlim_max ? "1 1\n" : "0 0\n");
}

static void test_holes_can_be_kept_out(void **state)
{
    (void)state;
    _cleanup_free_ char *self = allow_self();
    assert_int_equal(attempt(self, true, "punch"), 0);
    no_holes = true;
    int r = attempt(self, true, "punch");
    no_holes = false;
    assert_int_equal(r, ENOSYS);
}

/* The call by which threads are signalled says no more than a number. */
static void test_no_other_process_has_a_number_there(void **state)
{
    (void)state;
    _cleanup_free_ char *self = allow_self();
    if (geteuid() != 0)
        skip();
    assert_int_equal(attempt(self, true, "by_thread"), ESRCH);
    assert_int_equal(attempt(self, false, "by_thread"), 0);
    assert_int_equal(shell(true, "exit $$"), 1);
}

/* In a user namespace, as a user who is not root there, and so has no PID namespaces to give. */
static int signal_without_root(const char *self)
{
    static const char map[] = "1000 0 1";
    _cleanup_free_ char *line = xasprintf(ATTEMPT_PID "=%d exec '%s' attempt by_thread", INT_MAX,
                                          self);
    _cleanup_close_ int fd = unshare(CLONE_NEWUSER) == 0
                                 ? open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC)
                                 : -1;
    if (fd < 0 || write(fd, map, sizeof map - 1) < 0 || geteuid() == 0 ||
        attempt(self, true, "own_signals") != 0)
        return -1;
    return shell(true, line);
}

/* Without a PID namespace it may name itself only. A number that nobody has shows that it isn't
 * Landlock that refuses it. */
static void test_without_root_it_signals_only_itself(void **state)
{
    (void)state;
    int status;
    _cleanup_free_ char *self = allow_self();
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0)
        _exit(signal_without_root(self));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EPERM);
}

/* ---- all calls that there are, in this program's third role ---- */

static void test_what_is_not_listed_is_refused(void **state)
{
    (void)state;
    size_t listed = 0;
    _cleanup_strbuf_ struct strbuf says = STRBUF_INIT;
    _cleanup_free_ char *self = allow_self();
    _cleanup_free_ char *line = xasprintf("exec '%s' walk", self);
    assert_int_equal(shell_says(true, line, &says), 0);
    if (says.len)
        fail_msg("not on the list, and still there: %s", says.buf);
    for (long nr = 0; nr < ATTEMPT_CALLS; nr++)
        listed += syscalls_listed(nr);
    assert_in_range(listed, 50, 200);
}

/* A confined program of root's is a user with the rights that every user has. */
static void test_a_file_that_it_could_not_read_is_told_before(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = xasprintf("%s/other", dir);
    if (geteuid() != 0)
        skip();
    assert_int_equal(fchmod(dir_fd, 0755), 0);
    assert_int_equal(confine_can_read(path, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "chmod o+rX"));
    char at[32];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", fd);
    error_clear(&err);
    assert_int_equal(confine_can_read(at, &err), -1);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "next: open it to others (chmod o+r), or accept"));
    assert_int_equal(fchmodat(dir_fd, "other", 0644, 0), 0);
    error_clear(&err);
    must(confine_can_read(at, &err), &err);
    /* The caller has kept all it had. */
    assert_int_equal(geteuid(), 0);
    assert_int_equal(fchownat(dir_fd, "other", 0, 0, 0), 0);
}

static void test_what_is_absent(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(confine_allow(list_fd, dir_fd, "absent", CONFINE_READ, true, &err), 0);
    assert_int_equal(confine_allow(list_fd, dir_fd, "absent", CONFINE_READ, false, &err), -1);
    assert_int_equal(err.sys, ENOENT);
}

int main(int argc, char **argv)
{
    if (argc == 3 && str_eq(argv[1], "attempt"))
        _exit(attempt_run(argv[2])); /* what runs at an exit is not what is tried */
    if (argc == 2 && str_eq(argv[1], "walk"))
        _exit(attempt_walk());
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_only_what_is_on_the_list),
        T(test_a_file_put_in_its_place_is_not_on_it),
        T(test_sockets_where_they_may_be),
        T(test_a_directory_to_write_in),
        T(test_no_capabilities_and_none_to_be_had),
        T(test_what_was_asked_for_is_looked_at),
        T(test_no_call_gets_around_it),
        T(test_a_file_does_not_get_as_short_as_a_page),
        T(test_holes_can_be_kept_out),
        T(test_it_leaves_no_core),
        T(test_no_other_process_has_a_number_there),
        T(test_without_root_it_signals_only_itself),
        T(test_what_is_not_listed_is_refused),
        T(test_a_file_that_it_could_not_read_is_told_before),
        T(test_what_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
