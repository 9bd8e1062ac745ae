/* Whether another user could put something else in the place of a file: one fault at a time, at
 * each level of its way. Users and groups are the test's own: a passwd and a group of its own are
 * mounted over the machine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "e2e/bed.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/trusted.h"
#include "testutil/sandbox.h"

/* alice has a group of her own; bob has one too, but carol has it as well; dave's has eve as a
 * first group. */
#define PASSWD                                                                                     \
    "root:x:0:0::/root:/bin/sh\nalice:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n"        \
    "carol:x:1003:1003::/:/bin/sh\ndave:x:1004:1004::/:/bin/sh\neve:x:1005:1004::/:/bin/sh\n"
#define GROUP                                                                                      \
    "root:x:0:\nalice:x:1001:\nbob:x:1002:carol\ncarol:x:1003:\ndave:x:1004:\nstaff:x:50:\n"
enum { ALICE = 1001, BOB, CAROL, DAVE, STAFF = 50, NAMELESS = 54321 };

#define DIR_  "/run/t"
#define FILE_ DIR_ "/a/b/file"

static const struct trusted_who root_only = {0, 0};

static void put(const char *path, const char *text)
{
    struct error err = ERROR_INIT;
    if (file_write_new(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Where it is, for it is mounted elsewhere, too. */
static void change(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text), path, NULL), 0);
}

static int group_setup(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    if (sandbox_enter(&err) < 0)
        fail_msg("%s", err.msg);
    put("/run/passwd", PASSWD);
    put("/run/group", GROUP);
    return mount("/run/passwd", "/etc/passwd", NULL, MS_BIND, NULL) < 0 ||
                   mount("/run/group", "/etc/group", NULL, MS_BIND, NULL) < 0
               ? -1
               : 0;
}

/* Everything is right: root's, 0755 and 0644, with links to the directory and the file. */
static int setup(void **state)
{
    (void)state;
    static const char *const dirs[] = {DIR_, DIR_ "/a", DIR_ "/a/b", DIR_ "/links", DIR_ "/deep"};
    (void)dir_remove_tree(AT_FDCWD, DIR_, NULL);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdir(dirs[i], 0755), 0);
    put(FILE_, "x");
    assert_int_equal(symlink("../a/b", DIR_ "/links/rel"), 0);
    assert_int_equal(symlink(DIR_ "/links/rel", DIR_ "/deep/abs"), 0);
    assert_int_equal(symlink("circle", DIR_ "/links/circle"), 0);
    return 0;
}

static void fine_for(const struct trusted_who *who, const char *path)
{
    struct error err = ERROR_INIT;
    if (trusted_path(who, path, "VMM program", &err) < 0)
        fail_msg("%s", err.msg);
}

static void refused_for(const struct trusted_who *who, const char *path, const char *part)
{
    struct error err = ERROR_INIT;
    assert_int_equal(trusted_path(who, path, "VMM program", &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" is not in: %s", part, err.msg);
}

static void own(const char *path, uid_t uid, gid_t gid)
{
    assert_int_equal(lchown(path, uid, gid), 0);
}

static void mode(const char *path, mode_t m)
{
    assert_int_equal(chmod(path, m), 0);
}

static void what_is_right_is_fine(void **state)
{
    static const char *const paths[] = {
        "/",
        "/usr/bin/env",
        DIR_,
        FILE_,
        DIR_ "/a/b/",
        DIR_ "//a/./b/../b/file",
        DIR_ "/links/rel/file",
        DIR_ "/deep/abs/file",
        DIR_ "/deep/../deep/abs/../b/file",
        /* Opening says so. */
        DIR_ "/a/absent/file",
        DIR_ "/links/circle",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        fine_for(&root_only, paths[i]);
    assert_int_equal(chdir(DIR_ "/a"), 0);
    fine_for(&root_only, "b/file");
    own(DIR_ "/a", NAMELESS, 0);
    refused_for(&root_only, "b/file", DIR_ "/a is owned by uid 54321");
    assert_int_equal(chdir("/"), 0);
}

/* Each level of the way, as another user's and as writable. */
static void every_level_counts(void **state)
{
    static const char *const levels[] = {DIR_, DIR_ "/a", DIR_ "/a/b"};
    char text[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        own(levels[i], BOB, 0);
        (void)str_format(text, sizeof text,
                         "the VMM program " FILE_ " can be replaced by user bob: %s is owned by "
                         "uid 1002 (bob); next: chown root %s",
                         levels[i], levels[i]);
        refused_for(&root_only, FILE_, text);
        own(levels[i], 0, STAFF);
        mode(levels[i], 0775);
        (void)str_format(text, sizeof text,
                         "replaced by group staff: %s is writable by its group 50 (staff); next: "
                         "chmod g-w %s",
                         levels[i], levels[i]);
        refused_for(&root_only, FILE_, text);
        mode(levels[i], 0757);
        (void)str_format(text, sizeof text,
                         "replaced by any user: %s is writable by everybody; next: chmod go-w %s",
                         levels[i], levels[i]);
        refused_for(&root_only, FILE_, text);
        mode(levels[i], 0755);
        own(levels[i], 0, 0);
        fine_for(&root_only, FILE_);
    }
}

static void the_file_itself_counts(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_close_ int fd = open(FILE_, O_RDONLY | O_CLOEXEC);
    assert_int_equal(trusted_fd(fd, FILE_, "VMM program", &err), 0);
    own(FILE_, NAMELESS, 0);
    refused_for(&root_only, FILE_, "can be changed by uid 54321: " FILE_ " is owned by uid 54321");
    assert_int_equal(trusted_way(&root_only, FILE_, "VMM program", &err), 0);
    assert_int_equal(trusted_fd(fd, FILE_, "VMM program", &err), -1);
    own(FILE_, 0, STAFF);
    mode(FILE_, 0664);
    refused_for(&root_only, FILE_, "can be changed by group staff");
    mode(FILE_, 0646);
    refused_for(&root_only, FILE_, "can be changed by any user");
    error_clear(&err);
    assert_int_equal(trusted_fd(fd, FILE_, "VMM program", &err), -1);
    assert_non_null(strstr(err.msg, "writable by everybody"));
}

/* The links, the directories that hold them, and those that they lead to. */
static void links_are_followed_step_by_step(void **state)
{
    static const char *const dirs[] = {DIR_ "/deep", DIR_ "/links", DIR_ "/a", DIR_ "/a/b"};
    static const char *const links[] = {DIR_ "/deep/abs", DIR_ "/links/rel"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        mode(dirs[i], 0777);
        refused_for(&root_only, DIR_ "/deep/abs/file", dirs[i]);
        mode(dirs[i], 0755);
    }
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        char text[128];
        (void)str_format(text, sizeof text, "next: chown -h root %s", links[i]);
        own(links[i], BOB, 0);
        refused_for(&root_only, DIR_ "/deep/abs/file", text);
        own(links[i], 0, 0);
    }
    fine_for(&root_only, DIR_ "/deep/abs/file");
}

/* In a sticky directory nobody replaces what is somebody else's, but anybody adds. */
static void sticky_directories(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    mode(DIR_ "/a", 01777);
    fine_for(&root_only, FILE_);
    assert_int_equal(trusted_way(&root_only, DIR_ "/a", "image", &err), 0);
    refused_for(&root_only, DIR_ "/a", "can be changed by any user");
    refused_for(&root_only, DIR_ "/a/", "can be changed by any user");
    own(DIR_ "/a/b", BOB, 0);
    refused_for(&root_only, FILE_, DIR_ "/a/b is owned by uid 1002 (bob)");
    own(DIR_ "/a/b", 0, 0);
    /* Its owner may replace everything in it. */
    own(DIR_ "/a", BOB, 0);
    refused_for(&root_only, FILE_, DIR_ "/a is owned by uid 1002 (bob)");
}

/* The end of a way is its last component, whatever that is made of: ".." leads on, too. */
static void names_made_of_dots_are_names(void **state)
{
    static const struct {
        const char *path;
        bool way_is_fine, path_is_fine;
    } cases[] = {
        {DIR_ "/a/...", false, false},  {DIR_ "/a/.../", false, false},
        {DIR_ "/a/.x", false, false},   {DIR_ "/a/..x", false, false},
        {DIR_ "/a/b/..", false, false}, {DIR_ "/a/..", false, false},
        {DIR_ "/a/../", false, false},  {DIR_ "/a/./..", false, false},
        {DIR_ "/a/", true, false},      {DIR_ "/a/.", true, false},
        {DIR_ "/a/.//./", true, false}, {DIR_ "/deep/..", true, true},
        {DIR_ "/deep/...", true, true}, {DIR_ "/deep/./..//.", true, true},
    };
    struct error err = ERROR_INIT;
    (void)state;
    mode(DIR_ "/a", 0777);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool way = trusted_way(&root_only, cases[i].path, "image", &err) == 0;
        bool path = trusted_path(&root_only, cases[i].path, "image", &err) == 0;
        if (way != cases[i].way_is_fine || path != cases[i].path_is_fine)
            fail_msg("%s: way %d, path %d", cases[i].path, way, path);
    }
    /* On the way out of a sticky directory it is no file that anybody may change. */
    mode(DIR_ "/a", 01777);
    fine_for(&root_only, DIR_ "/a/..");
    fine_for(&root_only, DIR_ "/a/b/../b/file");
    refused_for(&root_only, DIR_ "/a/b/..", "can be changed by any user");
    mode(DIR_ "/a", 0755);
}

static void a_group_may_write_that_is_the_owner_s_alone(void **state)
{
    static const struct {
        uid_t owner;
        gid_t group;
        bool fine;
    } cases[] = {
        {0, 0, true},          /* root's */
        {ALICE, ALICE, true},  /* a private group */
        {0, ALICE, false},     /* not the owner's */
        {ALICE, STAFF, false}, /* nobody is in it, but programs run with it */
        {ALICE, BOB, false},
    };
    const struct trusted_who alice = {ALICE, ALICE};
    (void)state;
    mode(DIR_ "/a", 0775);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        own(DIR_ "/a", cases[i].owner, cases[i].group);
        if (cases[i].fine)
            fine_for(&alice, FILE_);
        else
            refused_for(&alice, FILE_, "is writable by its group");
    }
    /* Another member, by the group's list and by his first group. */
    own(DIR_ "/a", BOB, BOB);
    refused_for(&(struct trusted_who){BOB, BOB}, FILE_, "by group bob");
    own(DIR_ "/a", DAVE, DAVE);
    refused_for(&(struct trusted_who){DAVE, DAVE}, FILE_, "by group dave");
    /* A member who is trusted anyway. */
    change("/run/group", "root:x:0:\nalice:x:1001:root\n");
    own(DIR_ "/a", ALICE, ALICE);
    fine_for(&alice, FILE_);
    change("/run/group", GROUP);
    /* Root's group is no better than its members: by its list, and as somebody's first group. */
    own(DIR_ "/a", 0, 0);
    change("/run/group", "root:x:0:bob\n");
    refused_for(&root_only, FILE_, "by group root");
    change("/run/group", GROUP);
    change("/run/passwd", PASSWD "mallory:x:1006:0::/:/bin/sh\n");
    refused_for(&root_only, FILE_, "by group root");
    change("/run/passwd", PASSWD);
    fine_for(&root_only, FILE_);
}

/* version; then tag, permissions, id: the owner, NAMELESS, the group, the mask, others */
static void an_access_list_is_more_than_a_group(void **state)
{
    static const uint16_t list[] = {2,        0,      1,  7, 0xffff, 0xffff, 2,  7,
                                    NAMELESS, 0,      4,  5, 0xffff, 0xffff, 16, 7,
                                    0xffff,   0xffff, 32, 5, 0xffff, 0xffff};
    (void)state;
    assert_int_equal(setxattr(DIR_ "/a", "system.posix_acl_access", list, sizeof list, 0), 0);
    refused_for(&root_only, FILE_, "by those on its access control list");
    mode(DIR_ "/a", 0755); /* the mask */
    fine_for(&root_only, FILE_);
}

static void trusted_are_root_ourselves_and_whom_sudo_came_from(void **state)
{
    struct trusted_who who;
    (void)state;
    own(DIR_ "/a", ALICE, 0);
    refused_for(&root_only, FILE_, "next: chown root " DIR_ "/a");
    who = trusted_who("1001", NULL);
    fine_for(&who, FILE_);
    own(DIR_ "/a/b", BOB, 0);
    refused_for(&who, FILE_, "next: sudo chown root " DIR_ "/a/b");
    own(DIR_ "/a/b", 0, 0);
    static const char *const nobody[] = {"", "-1", "x", "4294967295", "99999999999", NULL};
    for (size_t i = 0; i < ARRAY_LEN(nobody); i++) {
        who = trusted_who(nobody[i], NULL);
        refused_for(&who, FILE_, "uid 1001 (alice)");
    }
    struct caller by_doas;
    if (caller_by_name("nobody", &by_doas)) {
        who = trusted_who(NULL, "nobody");
        assert_int_equal(who.sudo, by_doas.uid);
        /* Either may be what the caller has set, who wants another's files to count. */
        who = trusted_who("1001", "nobody");
        assert_int_equal(who.sudo, 0);
        _cleanup_free_ char *same = xasprintf("%u", (unsigned)by_doas.uid);
        who = trusted_who(same, "nobody");
        assert_int_equal(who.sudo, by_doas.uid);
        who = trusted_who("1001", "no such user");
        assert_int_equal(who.sudo, 0);
        who = trusted_who(NULL, "no such user");
        assert_int_equal(who.sudo, 0);
    }
    /* SUDO_UID in anybody else's environment says nothing. */
    assert_int_equal(seteuid(BOB), 0);
    who = trusted_who("1001", NULL);
    assert_int_equal(seteuid(0), 0);
    assert_false(trusted_owner(&who, ALICE));
    assert_true(trusted_owner(&who, BOB));
    fine_for(&(struct trusted_who){ALICE, ALICE}, FILE_);
}

static void commands_can_be_pasted(void **state)
{
    (void)state;
    assert_int_equal(mkdir(DIR_ "/it's here", 0777), 0);
    mode(DIR_ "/it's here", 0777);
    refused_for(&root_only, DIR_ "/it's here/x", "next: chmod go-w '" DIR_ "/it'\\''s here'");
}

/* Root's files look like anybody's where the host's root is not mapped, and so does what an
 * unmapped user has. */
static void in_a_user_namespace_unmapped_owners_are_refused(void **state)
{
    int go[2];
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        struct trusted_who who;
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(10);
        who = trusted_us(); /* not mapped yet: the same number as that of root's files */
        if (trusted_path(&who, "/usr/bin/env", "program", &err) == 0)
            _exit(11);
        if (write(go[1], "", 1) != 1 || read(go[0], &c, 0) < 0 || raise(SIGSTOP) != 0)
            _exit(12);
        who = trusted_us();
        if (trusted_path(&who, "/usr/bin/env", "program", &err) == 0)
            _exit(13);
        _exit(strstr(err.msg, "user namespace does not map (shown as uid") ? 0 : 14);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        char map[64];
        (void)str_format(map, sizeof map, "/proc/%d/uid_map", (int)pid);
        _cleanup_close_ int fd = open(map, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, "0 54321 1", 9), 9);
        assert_int_equal(kill(pid, SIGCONT), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    (void)close(go[0]);
    (void)close(go[1]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_right_is_fine, setup),
        cmocka_unit_test_setup(every_level_counts, setup),
        cmocka_unit_test_setup(the_file_itself_counts, setup),
        cmocka_unit_test_setup(links_are_followed_step_by_step, setup),
        cmocka_unit_test_setup(sticky_directories, setup),
        cmocka_unit_test_setup(names_made_of_dots_are_names, setup),
        cmocka_unit_test_setup(a_group_may_write_that_is_the_owner_s_alone, setup),
        cmocka_unit_test_setup(an_access_list_is_more_than_a_group, setup),
        cmocka_unit_test_setup(trusted_are_root_ourselves_and_whom_sudo_came_from, setup),
        cmocka_unit_test_setup(commands_can_be_pasted, setup),
        cmocka_unit_test_setup(in_a_user_namespace_unmapped_owners_are_refused, setup),
    };
    return bed_run_group(tests, group_setup, NULL);
}
