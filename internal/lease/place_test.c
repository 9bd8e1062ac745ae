/* State that somebody else's code brought along is not ours, whoever unpacked it. */
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
#include <unistd.h>

#include "base/cleanup.h"
#include "lease/place.h"
#include "lease/store.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "testutil/scratch.h"

static const char *const names[] = {"slug", "net", "vmm"};
static const struct lease_kind kind = {LEASE_PROVIDER_LOCAL, names, 3, true};
static const struct lease_kind *const kinds[] = {&kind, NULL};

static char *in(const char *rel)
{
    return xasprintf("%s/%s", scratch_dir, rel);
}

static void make(const char *rel)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = in(rel);
    must(dir_make_all(path, 0700, &err), &err);
}

/* Opens as a verb that makes leases does, then as one that only looks. */
static int opens(const char *path, struct error *err)
{
    struct store s;
    *err = (struct error)ERROR_INIT;
    int r = store_open(&s, path, kinds, err);
    store_close(&s);
    if (r == 0)
        must(store_open_existing(&s, path, kinds, err), err);
    store_close(&s);
    return r;
}

static void assert_opens(const char *rel)
{
    struct error err;
    _cleanup_free_ char *path = in(rel);
    must(opens(path, &err), &err);
}

static void assert_refused(const char *rel, const char *why)
{
    struct error err;
    struct store s;
    _cleanup_free_ char *path = in(rel);
    for (int i = 0; i < 3; i++) {
        err = (struct error)ERROR_INIT;
        int r = i == 0   ? store_open_existing(&s, path, kinds, &err)
                : i == 1 ? store_open_if_there(&s, path, kinds, &err)
                         : store_open(&s, path, kinds, &err);
        store_close(&s);
        assert_int_equal(r, -1);
        assert_int_equal(err.kind, ERR_TRUST);
        if (!strstr(err.msg, path) || !strstr(err.msg, why) || !strstr(err.msg, "next: "))
            fail_msg("\"%s\" is not in: %s", why, err.msg);
    }
}

static void what_we_made_is_ours(void **state)
{
    (void)state;
    assert_opens("state");
    assert_opens("state");
    /* A new directory of the user's, such as a filesystem of its own. */
    make("disk/lost+found");
    assert_opens("disk");
    assert_opens("disk");
    _cleanup_free_ char *from = in("disk"), *to = in("moved");
    assert_return_code(rename(from, to), errno);
    assert_opens("moved");
}

/* ssh reads the path in each lease's ssh_config. */
static void a_path_that_ssh_would_change_is_refused(void **state)
{
    static const char *const bad[] = {"a\"b", "a\\b", "a\nb", "${PWD}/state"};
    struct error err;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_free_ char *path = in(bad[i]);
        assert_int_equal(opens(path, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.msg, "which can't be written in ssh_config; next: "));
    }
    assert_opens("$PWD");
}

static void what_came_along_is_refused(void **state)
{
    (void)state;
    make("forged/leases/cbx_0123456789ab");
    assert_refused("forged", "was not made by crabbox-fc on this host");
    make("slugs-only/slugs");
    make("slugs-only/leases");
    assert_refused("slugs-only", "was not made by crabbox-fc");
    /* What is only locked is opened, too. */
    static const char *const opened[] = {"lock", "admission", "making"};
    for (size_t i = 0; i < ARRAY_LEN(opened); i++) {
        _cleanup_free_ char *dir = xasprintf("has-%s", opened[i]);
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", scratch_dir, dir, opened[i]);
        make(dir);
        assert_return_code(mkfifo(path, 0600), errno);
        _cleanup_free_ char *whole = in(dir);
        struct error err;
        assert_int_equal(opens(whole, &err), -1);
        assert_non_null(strstr(err.msg, "was not made by crabbox-fc"));
    }
    /* A copy has the mark of another, and a link is none. */
    assert_opens("state");
    _cleanup_free_ char *from = in("state"), *copy = in("copy"), *mark = in("copy/" PLACE_MARK);
    assert_int_equal(run_program((const char *const[]){"cp", "-a", from, copy, NULL}, NULL), 0);
    assert_refused("copy", "was not made by crabbox-fc");
    assert_return_code(unlink(mark), errno);
    assert_return_code(symlink("../state/" PLACE_MARK, mark), errno);
    assert_refused("copy", "was not made by crabbox-fc");
}

/* The message has the command for who knows better: state of an earlier version, or moved. */
static void its_owner_can_mark_it(void **state)
{
    struct error err;
    (void)state;
    make("old state/leases");
    _cleanup_free_ char *path = in("old state");
    assert_int_equal(opens(path, &err), -1);
    const char *command = strstr(err.msg, "echo ");
    assert_non_null(command);
    assert_int_equal(run_program((const char *const[]){"sh", "-c", command, NULL}, NULL), 0);
    assert_opens("old state");
}

static void looking_leaves_no_mark(void **state)
{
    struct error err = ERROR_INIT;
    struct store s;
    struct stat st;
    (void)state;
    make("empty");
    _cleanup_free_ char *path = in("empty"), *mark = in("empty/" PLACE_MARK);
    assert_int_equal(store_open_existing(&s, path, kinds, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    store_close(&s);
    must(store_open_if_there(&s, path, kinds, &err), &err);
    store_close(&s);
    assert_int_equal(stat(mark, &st), -1);
}

/* Another working directory would not help. */
static void state_of_another_user_is_closed(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    make("closed/state/leases");
    _cleanup_free_ char *path = in("closed/state");
    assert_int_equal(seteuid(65534), 0);
    int r = place_check(path, &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERR_TRUST);
    if (!strstr(err.msg, "is closed to you; next: set CRABBOX_FC_STATE_DIR") ||
        strstr(err.msg, "cd to"))
        fail_msg("%s", err.msg);
}

static void state_in_a_tree_is_refused(void **state)
{
    (void)state;
    make("repo/.git");
    make("repo/sub/leases");
    make("repo/home/.local/state/crabbox-fc/leases");
    make("self/leases");
    make("self/.git");
    assert_refused("repo/sub", "/repo, which is a working tree");
    assert_refused("repo/home/.local/state/crabbox-fc", "/repo, which is a working tree");
    assert_refused("self", "/self, which is a working tree");
    assert_refused("self", "move its .git away until they are stopped");
    /* By a link to a place outside, which is the tree's choice. */
    assert_opens("state");
    _cleanup_free_ char *link = in("repo/link");
    assert_return_code(symlink("../state", link), errno);
    assert_refused("repo/link", "/repo, which is a working tree");
    /* An archive without .git, in which the user stands; once we made it, too. */
    assert_opens("archive/state");
    _cleanup_free_ char *archive = in("archive");
    assert_return_code(chdir(archive), errno);
    assert_refused("archive/state", "leads into the working directory");
    assert_refused("archive/state", "next: cd to another directory");
    assert_opens("state");
    make("archive/gone");
    assert_return_code(chdir("gone"), errno);
    assert_return_code(rmdir("../gone"), errno);
    assert_refused("state", "next: cd to another directory");
    assert_return_code(chdir("/"), errno);
    assert_opens("archive/state");
    /* Which --dir may name from elsewhere. */
    set_dir(archive);
    assert_refused("archive/state", "leads into the directory of --dir");
    assert_refused("archive/state", "next: name another directory");
    assert_opens("state");
    set_dir(NULL);
}

/* HOME is an archive, and its links say where state is to be made. */
static void links_of_an_archive_lead_nowhere(void **state)
{
    struct error err;
    (void)state;
    make("archive/src");
    make("archive/.local");
    make("elsewhere");
    _cleanup_free_ char *link = in("archive/.local/state"), *src = in("archive/src");
    _cleanup_free_ char *made = in("elsewhere/crabbox-fc"), *away = in("elsewhere");
    assert_return_code(symlink(away, link), errno);
    assert_return_code(chdir(src), errno);
    _cleanup_free_ char *path = in("archive/.local/state/crabbox-fc");
    assert_int_equal(opens(path, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_int_equal(access(made, F_OK), -1);
    assert_opens("elsewhere/crabbox-fc"); /* by its real path it is the user's word */
    assert_refused("archive/.local/state/crabbox-fc", "/archive/.local/state, which may have come");
    /* With HOME, state and work side by side there is no link. */
    assert_opens("archive/home");
    assert_return_code(chdir("/"), errno);
    assert_opens("archive/.local/state/crabbox-fc");
    set_dir(src);
    assert_refused("archive/.local/state/crabbox-fc", "/archive/.local/state, which may have come");
    set_dir(NULL);
}

/* By a mark of its own, or because nothing there is marked yet. */
static void assert_lease_believed(const char *state_dir, const char *lease, bool by_mark)
{
    struct error err = ERROR_INIT;
    struct store s;
    must(store_open_existing(&s, state_dir, kinds, &err), &err);
    assert_int_equal(s.unmarked, !by_mark);
    store_close(&s);
    _cleanup_close_ int fd = open(lease, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(place_check_lease(fd, lease, &err), by_mark ? 0 : -1);
}

/* Earlier versions left no mark; where state is by default nobody unpacks anything. */
static void state_of_an_earlier_version_is_taken_over(void **state)
{
    struct error err;
    struct stat st;
    _cleanup_free_ char *home = caller_home_of(geteuid());
    (void)state;
    if (!home || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("home", home, "tmpfs", 0, "mode=0700") < 0)
        skip();
    _cleanup_free_ char *own = xasprintf("%s/" STORE_BELOW_HOME, home);
    _cleanup_free_ char *leases = xasprintf("%s/leases", own);
    _cleanup_free_ char *mark = xasprintf("%s/" PLACE_MARK, own);
    _cleanup_free_ char *other = xasprintf("%s/work/leases", home);
    _cleanup_free_ char *work = xasprintf("%s/work", home);
    /* One that is only to be made, below where one stands. */
    _cleanup_free_ char *above = xasprintf("%.*s", (int)(strrchr(own, '/') - own), own);
    must(dir_make_all(above, 0700, &err), &err);
    assert_return_code(chdir(above), errno);
    must(opens(own, &err), &err);
    assert_return_code(unlink(mark), errno);
    _cleanup_free_ char *lease = xasprintf("%s/cbx_0123456789ab", leases);
    must(dir_make_all(lease, 0700, &err), &err);
    must(dir_make_all(other, 0700, &err), &err);
    assert_lease_believed(own, lease, false);
    must(opens(own, &err), &err);
    assert_lease_believed(own, lease, true);
    assert_return_code(stat(mark, &st), errno);
    /* Restored from a backup, with the mark that it had. */
    must(file_write_new(AT_FDCWD, mark, "1 2\n", 4, 0600, &err), &err);
    must(opens(own, &err), &err);
    assert_return_code(chdir(own), errno);
    must(opens(own, &err), &err); /* whoever looks at it there may go on */
    assert_return_code(chdir("/"), errno);
    assert_int_equal(opens(work, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_return_code(umount2(home, MNT_DETACH), errno);
}

/* As a service with StateDirectory= and WorkingDirectory= begins. */
static void state_below_var_lib_may_be_where_one_stands(void **state)
{
    struct error err;
    (void)state;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("lib", "/var/lib", "tmpfs", 0, "mode=0755") < 0)
        skip();
    assert_return_code(mkdir("/var/lib/crabbox-fc", 0700), errno);
    assert_return_code(mkdir("/var/lib/other", 0700), errno);
    assert_return_code(chdir("/var/lib/crabbox-fc"), errno);
    must(opens("/var/lib/crabbox-fc/state", &err), &err);
    assert_return_code(symlink("/var/lib/other/state", "link"), errno);
    assert_int_equal(opens("/var/lib/crabbox-fc/link", &err), -1);
    assert_return_code(chdir("/var/lib/other"), errno);
    assert_int_equal(opens("/var/lib/other/crabbox-fc/../state", &err), -1);
    assert_return_code(chdir("/"), errno);
    assert_return_code(umount2("/var/lib", MNT_DETACH), errno);
}

/* Where there is no time of birth, the mark has nothing in it that a reboot changes. */
static void without_a_time_of_birth_the_inode_has_to_do(void **state)
{
    struct error err;
    struct statx st;
    (void)state;
    make("plain");
    _cleanup_free_ char *plain = in("plain");
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("plain", plain, "ramfs", 0, "mode=0700") < 0)
        skip();
    assert_opens("plain/state");
    make("plain/old/leases");
    _cleanup_free_ char *old = in("plain/old");
    assert_return_code(statx(AT_FDCWD, old, 0, STATX_INO | STATX_BTIME, &st), errno);
    bool has_birth = st.stx_mask & STATX_BTIME;
    assert_int_equal(opens(old, &err), -1);
    _cleanup_free_ char *want = xasprintf("echo '%llu 0' >", (unsigned long long)st.stx_ino);
    assert_return_code(umount2(plain, MNT_DETACH), errno);
    if (has_birth)
        skip();
    if (!strstr(err.msg, want))
        fail_msg("\"%s\" is not in: %s", want, err.msg);
}

/* What uid 12345 has put into a directory that was open, and `rel` if only that is its. */
static void give_away(const char *rel)
{
    _cleanup_free_ char *path = in(rel);
    assert_return_code(lchown(path, 12345, 12345), errno);
}

static void assert_lease(const char *why)
{
    struct error err = ERROR_INIT;
    struct store s;
    struct lease_entry e;
    _cleanup_free_ char *path = in("shared");
    must(store_open(&s, path, kinds, &err), &err);
    must(store_entry(&s, "cbx_0123456789ab", &e, &err), &err);
    store_close(&s);
    assert_true(e.broken);
    if (!strstr(e.reason, why))
        fail_msg("\"%s\" is not in: %s", why, e.reason);
}

/* Any user can write the right marks while a directory is open, and their owner tells. */
static void what_others_put_there_is_refused(void **state)
{
    static const char *const owned[] = {"shared/" PLACE_MARK,  "shared/leases",
                                        "shared/slugs",        "shared/logs",
                                        "shared/verified",     "shared/slugs/evil",
                                        "shared/verified/1-2", "shared/leases/cbx_0123456789ab"};
    static const char *const in_lease[] = {"shared/leases/cbx_0123456789ab/" PLACE_MARK,
                                           "shared/leases/cbx_0123456789ab/lease.json",
                                           "shared/leases/cbx_0123456789ab/cni.json"};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_opens("shared");
    make("shared/leases/cbx_0123456789ab");
    _cleanup_free_ char *lease = in("shared/leases/cbx_0123456789ab");
    _cleanup_close_ int fd = open(lease, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(place_mark_lease(fd, NULL), NULL);
    static const char *const files[] = {"shared/slugs/evil", "shared/verified/1-2",
                                        "shared/leases/cbx_0123456789ab/lease.json",
                                        "shared/leases/cbx_0123456789ab/cni.json"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        _cleanup_free_ char *path = in(files[i]);
        must(file_write_new(AT_FDCWD, path, "{}", 2, 0600, NULL), NULL);
    }
    assert_opens("shared");
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        _cleanup_free_ char *path = in(owned[i]);
        give_away(owned[i]);
        assert_refused("shared", "belongs to uid 12345, so another user may have written");
        assert_return_code(lchown(path, 0, 0), errno);
    }
    for (size_t i = 0; i < ARRAY_LEN(in_lease); i++) {
        _cleanup_free_ char *path = in(in_lease[i]);
        give_away(in_lease[i]);
        assert_lease("belongs to uid 12345, so another user may have written");
        assert_return_code(lchown(path, 0, 0), errno);
    }
    assert_lease("lease.json: ");
    assert_return_code(chmod(lease, 0777), errno);
    assert_lease("can be written to by other users (mode 0777)");
    assert_return_code(chmod(lease, 0700), errno);
    /* To close it now is no advice where there is something in it. */
    _cleanup_free_ char *shared = in("shared"), *slugs = in("shared/slugs");
    assert_return_code(chmod(slugs, 0777), errno);
    assert_refused("shared", "can be written to by other users (mode 0777)");
    assert_return_code(chmod(slugs, 0700), errno);
    assert_return_code(chmod(shared, 0777), errno);
    assert_refused("shared", "anybody may have put leases there; next: set CRABBOX_FC_STATE_DIR");
    assert_return_code(chmod(shared, 0755), errno);
    struct error err;
    assert_int_equal(opens(shared, &err), -1);
    assert_non_null(strstr(err.msg, "next: chmod 700"));
}

/* It may lead to another machine, by an automounter. */
static void no_link_of_a_tree_is_followed_to_judge_it(void **state)
{
    static const char *const dirs[] = {"asked", "asked-too"};
    (void)state;
    make("asked/.git");
    make("asked-too/sub");
    _cleanup_free_ char *cwd = in("asked-too/sub");
    assert_return_code(chdir(cwd), errno);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        _cleanup_free_ char *rel = xasprintf("%s/away", dirs[i]), *link = in(rel);
        _cleanup_free_ char *below = xasprintf("%s/state", rel);
        make_link("/nonexistent/x", link);
        assert_refused(rel, i ? "leads through the symbolic link" : "which is a working tree");
        assert_refused(below, i ? "leads through the symbolic link" : "which is a working tree");
        assert_false(link_was_read(link));
    }
    assert_return_code(chdir("/"), errno);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        T(what_we_made_is_ours),
        T(a_path_that_ssh_would_change_is_refused),
        T(what_came_along_is_refused),
        T(its_owner_can_mark_it),
        T(looking_leaves_no_mark),
        T(state_of_another_user_is_closed),
        T(state_in_a_tree_is_refused),
        T(links_of_an_archive_lead_nowhere),
        T(state_of_an_earlier_version_is_taken_over),
        T(state_below_var_lib_may_be_where_one_stands),
        T(what_others_put_there_is_refused),
        T(without_a_time_of_birth_the_inode_has_to_do),
        T(no_link_of_a_tree_is_followed_to_judge_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
