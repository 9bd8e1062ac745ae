/* What counts as a repository: each kind of .git, and those that lead elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/auto_fs.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/gitseed.h"
#include "sync/repo.h"
#include "sync/sync.h"
#include "testutil/badreaddir.h"
#include "testutil/synckit.h"

#define SUBMODULE "git -c protocol.file.allow=always submodule "

static void assert_listed_in(const char *dir, const char *below, const char *want)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, below);
    synckit_assert_listed(path, want);
}

static void assert_refused_in(const char *dir, const char *below, const char *part)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, below);
    synckit_assert_refused(path, part);
}

/* ---- what git makes ---- */

static void test_linked_worktree(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "linked",
        "mkdir main; cd main; " SYNCKIT_INIT
        "echo '.env' >.gitignore; echo a >a; git add -A; git commit -qm "
        "x; git worktree add -q ../wt -b b; cd ../wt; echo s >.env; echo n >n; echo m >mine; "
        "git add n; echo mine >>../main/.git/info/exclude");
    assert_listed_in(dir, "wt", ".gitignore\na\nn\n");
    assert_listed_in(dir, "main", ".gitignore\na\n");
    /* Relative pointers, as newer versions of git can write them. */
    synckit_sh(dir,
               "echo 'gitdir: ../main/.git/worktrees/wt' >wt/.git; "
               "echo ../../../../wt/.git >main/.git/worktrees/wt/gitdir",
               NULL);
    assert_listed_in(dir, "wt", ".gitignore\na\nn\n");
    /* Moved, the worktree is nobody's until git is told. */
    synckit_sh(dir, "mv wt moved; mkdir other; echo s >other/.env; cp moved/.git other/", NULL);
    assert_refused_in(dir, "other", "other/.git names the git directory ");
    assert_refused_in(dir, "moved", "belongs to a worktree elsewhere; next: git -C ");
    synckit_sh(dir, "git -C moved worktree repair 2>/dev/null", NULL);
    assert_listed_in(dir, "moved", ".gitignore\na\nn\n");
    /* Its repository is gone. */
    synckit_sh(dir, "mv main gone", NULL);
    assert_refused_in(dir, "moved", "which can't be found; next: git worktree repair");
}

static void test_submodules(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "modules",
        "mkdir lib mid top; cd lib; " SYNCKIT_INIT
        "echo l >l; git add -A; git commit -qm l; cd ../mid; " SYNCKIT_INIT SUBMODULE
        "add -q ../lib lib; git commit -qm m; cd ../top; " SYNCKIT_INIT
        "echo t >t; git add t; " SUBMODULE "add -q ../mid sub/mid; " SUBMODULE
        "update -q --init --recursive; "
        "git commit -qm t; echo x >sub/mid/lib/x; echo ignored >.git/modules/sub/mid/info/exclude; "
        "echo i >sub/mid/ignored; git worktree add -q ../wt; cd ../wt; " SUBMODULE
        "update -q --init --recursive");
#define MIDDLE ".gitmodules\nsub/mid/.gitmodules\nsub/mid/lib/l\n"
    assert_listed_in(dir, "top", MIDDLE "sub/mid/lib/x\nt\n");
    assert_listed_in(dir, "top/sub", MIDDLE "sub/mid/lib/x\nt\n");
    assert_listed_in(dir, "wt", MIDDLE "t\n");
    /* A submodule that the user stands in is the tree. */
    assert_listed_in(dir, "top/sub/mid", ".gitmodules\nlib/l\nlib/x\n");
    assert_listed_in(dir, "top/sub/mid/lib", "l\nx\n");
    assert_listed_in(dir, "wt/sub/mid/lib", "l\n");
    /* One whose git directory lies in it, as old versions of git made them. */
    synckit_sh(dir,
               "cd top/sub/mid/lib; g=$(git rev-parse --absolute-git-dir); rm .git; mv $g .git; "
               "sed -i /worktree/d .git/config",
               NULL);
    assert_listed_in(dir, "top", MIDDLE "sub/mid/lib/x\nt\n");
    /* Not initialised: nothing of it, whatever lies in its place. */
    synckit_sh(dir,
               "cd top; git submodule deinit -q -f "
               "sub/mid; touch sub/mid/stray",
               NULL);
    assert_listed_in(dir, "top", ".gitmodules\nt\n?sub/mid\n");
}

/* ---- what leads elsewhere ---- */

/* A pointer that only a stranger would write: to another repository of the same user. */
static void test_pointer_to_another_repository(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "pointer",
        "mkdir private tree sup; cd private; " SYNCKIT_INIT
        "echo k >key; git add key; git commit -qm x; git "
        "worktree add -q ../wt; cd ../tree; echo f >f; echo s >.env; "
        "echo \"gitdir: ../private/.git\" >.git; cd ../sup; " SYNCKIT_INIT "echo f >f; mkdir sub; "
        "git -C sub init -q; git -C sub -c user.name=a -c user.email=a@b commit -q --allow-empty "
        "-m x; "
        "git add f sub 2>/dev/null; rm -rf sub/.git; touch sub/key");
    static const char *const pointers[] = {"$PWD/private/.git",
                                           "../private/.git",
                                           "../private/.git/worktrees/wt",
                                           "/",
                                           "/etc",
                                           "../private/.git/modules",
                                           "../wt/../private/.git",
                                           "../sup/.git/modules",
                                           "../sup/.git/refs",
                                           "../sup/.git/modules/../../../private/.git",
                                           "../sup/.git/modules/out"};
    synckit_sh(dir, "mkdir sup/.git/modules; ln -s ../../../private/.git sup/.git/modules/out",
               NULL);
    for (size_t i = 0; i < ARRAY_LEN(pointers); i++) {
        _cleanup_free_ char *script = xasprintf(
            "echo \"gitdir: %s\" >tree/.git; cp tree/.git sup/sub/.git", pointers[i]);
        synckit_sh(dir, script, NULL);
        assert_refused_in(dir, "tree", "/tree/.git names the git directory ");
        assert_refused_in(dir, "sup", "/sup/sub/.git names the git directory ");
        assert_refused_in(dir, "sup/sub", "/sup/sub/.git names the git directory ");
    }
    /* A git directory that claims the tree for its own, but shares another's. */
    synckit_sh(dir,
               "mkdir -p own/worktrees/x; cd own/worktrees/x; cp ../../../private/.git/HEAD .; "
               "echo ../../../private/.git >commondir; echo ../../../tree/.git >gitdir; "
               "echo \"gitdir: $PWD\" >../../../tree/.git",
               NULL);
    assert_refused_in(dir, "tree", "whose commondir is not the repository around it");
    synckit_sh(dir, "rm own/worktrees/x/commondir", NULL);
    assert_refused_in(dir, "tree", "whose commondir is not the repository around it");
}

static void test_other_kinds_of_dot_git(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "kinds",
                                            "mkdir repo tree; cd repo; " SYNCKIT_INIT
                                            "echo k >key; git add key; cd ../tree; "
                                            "echo s >.env; mkdir sub; ln -s ../repo/.git .git");
    static const struct {
        const char *script, *part;
    } kinds[] = {
        {"true", "/tree/.git is a symbolic link"},
        {"ln -s nowhere .git", "/tree/.git is a symbolic link"},
        {"mkfifo .git", "/tree/.git is neither a directory nor a file"},
        {"echo hello >.git", "/tree/.git: fatal: invalid gitfile format"},
        {"touch .git", "/tree/.git: fatal: invalid gitfile format"},
        {"echo 'gitdir: ' >.git", "/tree/.git names the git directory "},
        {"echo 'gitdir: ../nowhere' >.git", "which belongs to neither"},
        {"echo 'gitdir: ../nowhere/worktrees/x' >.git", "which can't be found; next: git worktree"},
        {"ln -s /nowhere ../out; echo 'gitdir: ../out/worktrees/x' >.git",
         "which is reached by a symbolic link"},
        {"mkdir .git", "/tree/.git: fatal: not a git repository"},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        _cleanup_free_ char *script = xasprintf("cd tree; %s%s", i ? "rm -rf .git; " : "",
                                                kinds[i].script);
        synckit_sh(dir, script, NULL);
        assert_refused_in(dir, "tree", kinds[i].part);
        assert_refused_in(dir, "tree/sub", kinds[i].part);
    }
}

/* A file that is too long for a pointer is not read to its end. */
static void test_large_dot_git(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(&kit, "large", "truncate -s 1T .git");
    synckit_assert_refused(dir, "/.git is larger than");
}

/* Mounts an automounter's directory, whose requests come out of the result. -1 where the kernel has
 * none. */
static int mount_automounter(const char *dir)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    _cleanup_close_ int write_end = p[1];
    _cleanup_free_ char *options = xasprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect",
                                             write_end, (int)getpgrp());
    if (mount("trap", dir, "autofs", 0, options) == 0)
        return p[0];
    (void)close(p[0]);
    return -1;
}

static int scan(const char *tree)
{
    struct sync_list l = {0};
    return synckit_try(tree, NULL, NULL, NULL, &l, NULL);
}

static int read_for_guest(const char *tree)
{
    struct repo r = REPO_INIT;
    struct gitseed seed = GITSEED_INIT;
    int fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return repo_find(fd, &r, NULL) < 0 ? 0 : gitseed_read(&r, SYNC_GIT_SHALLOW, &seed, NULL);
}

/* Whether `act`, which fails, asks for something, in a process that the automounter does not take
 * for its own. Then it would wait for an answer: there will be none. */
static bool is_asked(int requests, const char *automounted, int (*act)(const char *tree),
                     const char *tree)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(setpgid(0, 0) < 0 || act(tree) == 0);
    _cleanup_close_ int ended = (int)syscall(SYS_pidfd_open, pid, 0);
    _cleanup_close_ int dir = open(automounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd fds[2] = {{.fd = ended, .events = POLLIN}, {.fd = requests, .events = POLLIN}};
    assert_true(ended >= 0 && dir >= 0);
    assert_true(poll(fds, 2, -1) > 0);
    bool asked = fds[1].revents & POLLIN;
    assert_int_equal(ioctl(dir, AUTOFS_IOC_CATATONIC, 0), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return asked;
}

/* To look for a name may be to mount it, from a host that the archive has chosen. */
static void test_pointer_to_what_an_automounter_would_mount(void **state)
{
    (void)state;
    static const char *const pointers[] = {"$PWD/net/host/x/.git/worktrees/y",
                                           "../net/host/worktrees/y",
                                           "../tree/link/host/worktrees/y",
                                           "../net/host",
                                           "../net/worktrees/host",
                                           "../own/worktrees/y",
                                           "../own/worktrees/z"};
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "auto mounter",
        "mkdir -p net tree own/worktrees/y own/worktrees/z; ln -s ../net tree/link; cd own; "
        "for i in y z; do touch worktrees/$i/HEAD; done; "
        "echo \"$PWD/../net/host/.git\" >worktrees/y/gitdir; "
        "echo ../../../tree/.git >worktrees/z/gitdir; echo ../../../net/host "
        ">worktrees/z/commondir");
    _cleanup_free_ char *net = xasprintf("%s/net", dir);
    _cleanup_free_ char *tree = xasprintf("%s/tree", dir);
    for (size_t i = 0; i < ARRAY_LEN(pointers); i++) {
        _cleanup_free_ char *script = xasprintf("echo \"gitdir: %s\" >tree/.git", pointers[i]);
        synckit_sh(dir, script, NULL);
        _cleanup_close_ int requests = mount_automounter(net);
        if (requests < 0)
            skip();
        bool asked = is_asked(requests, net, scan, tree);
        assert_int_equal(umount2(net, MNT_DETACH), 0);
        if (asked)
            fail_msg("%s is looked for", pointers[i]);
    }
}

/* Mounts a FUSE filesystem, whose requests come out of the result. -1 where the kernel has none. */
static int mount_fuse(const char *dir)
{
    _Alignas(struct fuse_in_header) char asks[FUSE_MIN_READ_BUFFER];
    _cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    _cleanup_free_ char *options = xasprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (fd < 0 || mount("trap", dir, "fuse.trap", 0, options) < 0)
        return -1;
    assert_true(read(fd, asks, sizeof asks) > 0);
    const struct fuse_in_header *in = (const void *)asks;
    struct {
        struct fuse_out_header h;
        struct fuse_init_out init;
    } answer = {.h = {.len = sizeof answer, .unique = in->unique},
                .init = {.major = FUSE_KERNEL_VERSION,
                         .minor = FUSE_KERNEL_MINOR_VERSION,
                         .max_write = 4096}};
    assert_int_equal(in->opcode, FUSE_INIT);
    assert_int_equal(write(fd, &answer, sizeof answer), sizeof answer);
    return TAKE_FD(fd);
}

static void test_pointer_to_a_network_filesystem(void **state)
{
    (void)state;
    int status;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "fuse", "mkdir net tree; echo 'gitdir: ../net/cid/.git/worktrees/y' >tree/.git");
    _cleanup_free_ char *net = xasprintf("%s/net", dir);
    _cleanup_free_ char *tree = xasprintf("%s/tree", dir);
    int requests = mount_fuse(net);
    if (requests < 0)
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(requests); /* else it would wait for itself */
        _exit(scan(tree) == 0);
    }
    _cleanup_close_ int ended = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd fds[2] = {{.fd = ended, .events = POLLIN}, {.fd = requests, .events = POLLIN}};
    assert_true(ended >= 0 && poll(fds, 2, -1) > 0);
    bool asked = fds[1].revents & POLLIN;
    assert_int_equal(umount2(net, MNT_DETACH), 0);
    (void)close(requests); /* nobody answers any more */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(asked);
}

static void test_objects_that_an_automounter_would_mount(void **state)
{
    (void)state;
    static const char *const names[] = {"objects/info", "objects"};
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(&kit, "auto objects", "mkdir net tree");
    _cleanup_free_ char *net = xasprintf("%s/net", dir);
    _cleanup_free_ char *tree = xasprintf("%s/tree", dir);
    synckit_sh(tree, SYNCKIT_INIT "echo a >a; git add a; git commit -qm a", NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *script = xasprintf(
            "rm -r tree/.git/%s; ln -s \"$PWD/net/host\" tree/.git/%s", names[i], names[i]);
        synckit_sh(dir, script, NULL);
        _cleanup_close_ int requests = mount_automounter(net);
        if (requests < 0)
            skip();
        bool asked = is_asked(requests, net, read_for_guest, tree);
        assert_int_equal(umount2(net, MNT_DETACH), 0);
        if (asked)
            fail_msg("%s is followed", names[i]);
    }
}

/* ---- where the tree is ---- */

/* The tree is the one that the user stands in, whatever configuration and environment say. */
static void test_tree_is_where_the_user_stands(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "stands",
        "mkdir tree other; cd other; " SYNCKIT_INIT
        "echo k >key; git add key; cd ../tree; " SYNCKIT_INIT
        "echo f >f; git config core.worktree $PWD/../other; "
        "mkdir bare; cd bare; git init -q --bare .; git config core.bare false; "
        "git config core.worktree $PWD/../../other; rm -r hooks; ls >../../names");
    _cleanup_free_ char *other = xasprintf("%s/other", dir);
    (void)setenv("GIT_WORK_TREE", other, 1);
    (void)setenv("SUDO_UID", "1234", 1);
    /* An embedded bare repository is nothing but files. */
#define BARE "bare/HEAD\nbare/config\nbare/description\nbare/info/exclude\nf\n"
    assert_listed_in(dir, "tree", BARE);
    assert_listed_in(dir, "tree/bare", BARE);
    (void)unsetenv("SUDO_UID");
    (void)unsetenv("GIT_WORK_TREE");
    /* What is advised can be pasted, whatever the tree is called. */
    assert_refused_in(dir, "tree/.git",
                      "is inside a git directory, which is never sent; next: cd '/");
    assert_refused_in(dir, "tree/.git/refs", "is inside a git directory, which is never sent");
}

/* What .git leads to may lie in the tree, under a name that is no .git. */
static void test_repository_of_a_worktree_in_the_worktree(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = synckit_make(
        &kit, "inside",
        "mkdir main; cd main; " SYNCKIT_INIT "touch a; git add a; git commit -qm a; "
        "git worktree add -q ../wt; mv .git ../wt/.bare; cd ../wt; "
        "echo gitdir: \"$PWD/.bare/worktrees/wt\" >.git; git config --file .bare/config x.token t; "
        "git add -f .bare/config .bare/worktrees; touch b");
    assert_listed_in(dir, "wt", "a\nb\n");
}

/* ---- owners ---- */

/* Who can write above the user's directory could otherwise say what its tree is. */
static void test_owners(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "owners",
        SYNCKIT_INIT
        "echo f >f; git add f; mkdir -p mine/d theirs; echo s >mine/s; chown -R 1234:1234 "
        ".git f theirs; chown 1234:1234 .");
    static const char all[] = "f\nmine/s\n";
    synckit_assert_listed(dir, all);
    assert_listed_in(dir, "theirs", all);
    assert_refused_in(dir, "mine", "/.git belongs to another user (uid 1234)");
    assert_refused_in(dir, "mine/d", "/.git belongs to another user (uid 1234)");
    (void)setenv("SUDO_UID", "1234", 1);
    assert_listed_in(dir, "mine", all);
    (void)setenv("SUDO_UID", "1235", 1);
    assert_refused_in(dir, "mine", "/.git belongs to another user (uid 1234)");
    (void)unsetenv("SUDO_UID");
    /* A submodule of somebody else in the tree is listed with it: nothing of it runs. */
    synckit_sh(dir,
               "chown -R 0:0 .; git -C mine init -q; cd mine; git add s; git -c user.name=a -c "
               "user.email=a@b commit -qm x; cd ..; git add mine 2>/dev/null; chown -R 77:77 mine",
               NULL);
    synckit_assert_listed(dir, all);
}

/* In a shared directory anybody's .git would make a tree of what everybody keeps there. */
static void test_shared_directory(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(
        &kit, "shared", SYNCKIT_INIT "mkdir mine theirs; touch mine/s key; chmod 1777 .");
    assert_refused_in(dir, "mine", "/.git is in a directory that others share");
    synckit_sh(dir, "chown -R 1234:1234 .git theirs", NULL);
    assert_refused_in(dir, "theirs", "/.git is in a directory that others share");
    synckit_sh(dir, "chmod 755 .", NULL);
    assert_refused_in(dir, "theirs", "/.git is in a directory that others share");
    synckit_sh(dir, "chown 1234 .", NULL);
    assert_listed_in(dir, "theirs", "key\nmine/s\n");
}

/* A directory that can't be read to its end is no smaller tree. */
static void test_half_a_directory(void **state)
{
    (void)state;
    _cleanup_free_ char *plain = synckit_new_dir(&kit, "plain");
    _cleanup_free_ char *repo = synckit_make(&kit, "half", "touch a b c");
    const char *const dirs[] = {plain, repo};
    synckit_sh(plain, "touch a b c", NULL);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        struct sync_list l = {0};
        struct error err = ERROR_INIT;
        readdir_good = 3;
        int r = synckit_try(dirs[i], NULL, NULL, NULL, &l, &err);
        readdir_good = -1;
        sync_list_free(&l);
        assert_int_equal(r, -1);
        assert_int_equal(err.kind, ERR_SYNC);
        assert_string_equal(err.msg, "list .: Input/output error");
    }
}

static void assert_not_looked_for(const char *dir, uid_t as, const char *want)
{
    struct repo r;
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)setfsuid(as);
    int found = repo_find(fd, &r, &err);
    (void)setfsuid(0);
    repo_free(&r);
    assert_int_equal(found, -1);
    assert_string_equal(err.msg, want);
}

/* Who may look is asked for only where that is the reason. */
static void test_dot_git_that_nobody_can_look_for(void **state)
{
    (void)state;
    if (!kit.entered)
        skip();
    _cleanup_free_ char *dir = synckit_make(&kit, "unseen", "mkdir below; chmod 700 .");
    _cleanup_free_ char *below = xasprintf("%s/below", dir);
    _cleanup_free_ char *closed = xasprintf(
        "look for %s/.git: Permission denied; next: run it as the owner of %s", dir, dir);
    _cleanup_free_ char *broken = xasprintf(
        "look for %s/.git: Transport endpoint is not connected; next: try again, or --no-sync",
        below);
    assert_not_looked_for(below, 1234, closed);
    int requests = mount_fuse(below);
    if (requests < 0)
        skip();
    (void)close(requests); /* so every request fails */
    assert_not_looked_for(below, 0, broken);
    assert_int_equal(umount2(below, MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_directory),
        cmocka_unit_test(test_linked_worktree),
        cmocka_unit_test(test_submodules),
        cmocka_unit_test(test_pointer_to_another_repository),
        cmocka_unit_test(test_other_kinds_of_dot_git),
        cmocka_unit_test(test_large_dot_git),
        cmocka_unit_test(test_pointer_to_what_an_automounter_would_mount),
        cmocka_unit_test(test_pointer_to_a_network_filesystem),
        cmocka_unit_test(test_objects_that_an_automounter_would_mount),
        cmocka_unit_test(test_tree_is_where_the_user_stands),
        cmocka_unit_test(test_repository_of_a_worktree_in_the_worktree),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_shared_directory),
        cmocka_unit_test(test_dot_git_that_nobody_can_look_for),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
