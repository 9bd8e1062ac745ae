/* Syncing the same tree again and again, with changes on either side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "sync/sync.h"
#include "sys/file.h"
#include "testutil/synckit.h"

/* One tree, one guest directory, one manifest. */
struct pair {
    struct ssh_conn *c;
    char *base, *src, *to;
    struct sync_store store;
};

static void pair_open(struct pair *p, const char *name)
{
    p->c = synckit_connect(&kit);
    p->base = synckit_new_dir(&kit, name);
    synckit_sh(p->base, "mkdir src", NULL);
    p->src = xasprintf("%s/src", p->base);
    p->to = xasprintf("%s/lease/it's to", p->base);
    p->store = (struct sync_store){.dirfd = open(p->base, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                   .name = "manifest"};
}

static void pair_close(struct pair *p)
{
    ssh_close(p->c);
    (void)close(p->store.dirfd);
    free(p->base);
    free(p->src);
    free(p->to);
}

static int try_update(struct pair *p, const struct sync_limits *limits, struct sync_result *res,
                      struct error *err)
{
    struct deadline d = deadline_in_ms(60000);
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    /* What changed within the clock's tick is sent twice, to be sure: not what is tested here. */
    (void)poll(NULL, 0, 80);
    synckit_scan(p->src, NULL, &l);
    return sync_update(p->c, &l, p->to, &p->store, limits, &d, NULL, NULL, res, err);
}

static void update(struct pair *p, size_t sent, size_t deleted)
{
    struct sync_result res;
    struct error err = ERROR_INIT;
    if (try_update(p, NULL, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(res.n_sent, sent);
    assert_int_equal(res.n_deleted, deleted);
}

/* Both sides hold the same files (and `more` may name what only the guest has). */
static void assert_same(const struct pair *p, const char *guest_only)
{
    static const char list[] =
        "find . ! -type d -printf '%P %y %m %s %l\\n' | LC_ALL=C sort; find . -type f -print0 | "
        "LC_ALL=C sort -z | xargs -0 -r sha256sum";
    _cleanup_strbuf_ struct strbuf here = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf there = STRBUF_INIT;
    _cleanup_free_ char *remove = xasprintf("rm -f %s; ", guest_only);
    synckit_sh(p->src, list, &here);
    if (*guest_only)
        synckit_sh(p->to, remove, NULL);
    synckit_sh(p->to, list, &there);
    assert_string_equal(here.buf, there.buf);
}

static void test_only_changes_are_sent(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "changes");
    synckit_sh(p.src, "mkdir -p d/e; echo 1 > a; echo 2 > d/b; echo 3 > d/e/c; ln -s a l", NULL);
    update(&p, 4, 0);
    assert_same(&p, "");
    update(&p, 0, 0);
    synckit_sh(p.src, "echo x > d/b", NULL); /* same size */
    update(&p, 1, 0);
    synckit_sh(p.src, "chmod 755 a; ln -sf d l; echo new > d/e/new", NULL);
    update(&p, 3, 0);
    assert_same(&p, "");
    update(&p, 0, 0);
    pair_close(&p);
}

static void test_deletes_only_what_was_synced(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "deletes");
    synckit_sh(p.src,
               "mkdir -p d/e f/g; echo 1 > a; echo 2 > d/b; echo 3 > d/e/c; echo 4 > f/g/h; "
               "echo 5 > \"$(printf 'q\\n'\"'\"'x')\"",
               NULL);
    update(&p, 5, 0);
    synckit_sh(p.to, "echo mine > f/own", NULL);
    synckit_sh(p.src, "rm -r a d f q*; echo k > keep", NULL);
    update(&p, 1, 5);
    synckit_sh(p.to, "test ! -e d; test ! -e f/g; test ! -e a; test -f f/own", NULL);
    assert_same(&p, "f/own");
    update(&p, 0, 0);
    pair_close(&p);
}

static void test_what_the_guest_changed_is_restored(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "guest");
    synckit_sh(p.src,
               "mkdir -p d/e keep; for i in 1 2 3 4; do echo $i > d/$i; done; echo x > d/e/x;"
               "echo k > keep/k; echo top > top",
               NULL);
    update(&p, 7, 0);
    (void)poll(NULL, 0, 20);
    /* written with the old time, removed, built beside, a directory removed, and replaced */
    synckit_sh(p.to, "t=$(stat -c %y d/1); echo 9 > d/1; touch -d \"$t\" d/1; rm d/2; echo o > d/o",
               NULL);
    update(&p, 2, 0);
    assert_same(&p, "d/o");
    (void)poll(NULL, 0, 20);
    synckit_sh(p.to, "rm -r d/e; mv keep moved; ln -s moved keep", NULL);
    update(&p, 2, 0);
    synckit_sh(p.to, "test -f d/e/x; test ! -L keep; test -f keep/k; rm -r moved", NULL);
    assert_same(&p, "");
    pair_close(&p);
}

/* In the guest a directory of ours was replaced by a symlink out of the work directory: what is
 * deleted or written below its name must not reach there. */
static void test_symlinks_in_the_guest_are_not_followed(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "traps");
    synckit_sh(p.src, "mkdir -p d/e w; echo 1 > d/f; echo 2 > d/e/g; echo 3 > w/x", NULL);
    update(&p, 3, 0);
    (void)poll(NULL, 0, 20);
    synckit_sh(p.to,
               "mkdir -p ../out/e ../out2; echo v > ../out/f; echo v > ../out/e/g; echo v > "
               "../out2/x; rm -r d w; ln -s ../out d; ln -s ../out2 w",
               NULL);
    synckit_sh(p.src, "rm -r d; echo changed > w/x", NULL);
    update(&p, 1, 2);
    synckit_sh(p.to, "cd ..; for f in out/f out/e/g out2/x; do test \"$(cat $f)\" = v; done", NULL);
    synckit_sh(p.to, "test ! -L w; test \"$(cat w/x)\" = changed", NULL);
    pair_close(&p);
}

static void test_files_and_directories_trade_places(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "trade");
    synckit_sh(p.src, "mkdir d; echo 1 > d/x; echo 2 > f; ln -s f l", NULL);
    update(&p, 3, 0);
    synckit_sh(p.src, "rm -r d f l; echo now > d; mkdir f l; echo a > f/a; echo b > l/b", NULL);
    update(&p, 3, 3);
    assert_same(&p, "");
    update(&p, 0, 0);
    pair_close(&p);
}

/* Without the guest's marker or our manifest nothing is assumed. */
static void test_lost_records_mean_everything(void **state)
{
    (void)state;
    struct pair p;
    struct sync_result res;
    pair_open(&p, "lost");
    synckit_sh(p.src, "echo 1 > a; echo 2 > b", NULL);
    update(&p, 2, 0);
    synckit_sh(p.base, "rm -r lease", NULL);
    assert_int_equal(try_update(&p, NULL, &res, NULL), 0);
    assert_true(res.full);
    assert_int_equal(res.n_sent, 2);
    assert_same(&p, "");
    synckit_sh(p.base, "touch -d '1 hour' lease/.crabbox-sync-*; rm lease/*/a", NULL);
    assert_int_equal(try_update(&p, NULL, &res, NULL), 0);
    assert_true(res.full);
    assert_same(&p, "");
    synckit_sh(p.base, "echo garbage > manifest", NULL);
    assert_int_equal(try_update(&p, NULL, &res, NULL), 0);
    assert_true(res.full);
    update(&p, 0, 0);
    pair_close(&p);
}

static void test_mass_deletion_is_refused(void **state)
{
    (void)state;
    struct pair p;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct sync_result res;
    struct error err = ERROR_INIT;
    pair_open(&p, "mass");
    synckit_sh(p.src, "for i in $(seq 250); do echo $i > f$i; done", NULL);
    update(&p, 250, 0);
    synckit_sh(p.src, "rm f*; echo x > x", NULL);
    assert_int_equal(try_update(&p, &limits, &res, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    synckit_sh(p.to, "test -f f250", NULL);
    limits.max_deletes = 0;
    assert_int_equal(try_update(&p, &limits, &res, NULL), 0);
    assert_int_equal(res.n_deleted, 250);
    assert_same(&p, "");
    pair_close(&p);
}

struct interruption {
    int64_t after_bytes;
    int cancel_fd;
};

static void interrupt(void *ctx, size_t files, int64_t bytes)
{
    (void)files;
    struct interruption *i = ctx;
    if (bytes >= i->after_bytes)
        assert_int_equal(write(i->cancel_fd, "x", 1), 1);
}

/* An update that is cancelled when so many bytes are sent; then a new connection, in a guest in
 * which nothing of it goes on. */
static void interrupted_update(struct pair *p, int64_t after_bytes)
{
    int cancel[2];
    struct deadline d = deadline_in_ms(60000);
    _cleanup_(cleanup_sync_list) struct sync_list l = {0};
    struct sync_result res;
    struct error err = ERROR_INIT;
    (void)poll(NULL, 0, 80);
    assert_int_equal(pipe2(cancel, O_CLOEXEC), 0);
    struct interruption at = {after_bytes, cancel[1]};
    d.cancel_fd = cancel[0];
    synckit_scan(p->src, NULL, &l);
    assert_int_equal(sync_update(p->c, &l, p->to, &p->store, NULL, &d, interrupt, &at, &res, &err),
                     -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    (void)close(cancel[0]);
    (void)close(cancel[1]);
    ssh_close(p->c);
    p->c = synckit_connect(&kit);
    (void)poll(NULL, 0, 100); /* the cut off tar in the guest ends */
}

/* An update that dies halfway is finished by the next; what was there before is not resent. */
static void test_interrupted_update_is_resumed(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "resume");
    synckit_sh(p.src, "for i in 1 2 3 4 5; do echo $i > old$i; done; echo bye > gone", NULL);
    update(&p, 6, 0);
    synckit_sh(p.src, "rm gone; for i in 1 2 3; do head -c 20000000 /dev/zero > big$i; done", NULL);
    interrupted_update(&p, 1);
    update(&p, 3, 1); /* the deletion is repeated: that it was done is not known */
    assert_same(&p, "");
    update(&p, 0, 0);
    pair_close(&p);
}

/* A long transfer that dies near its end goes on from there, not from the start; also the first. */
static void test_interrupted_update_goes_on(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "goon");
    synckit_sh(p.src, "for i in 1 2 3 4 5; do head -c 20000000 /dev/zero > big$i; done", NULL);
    interrupted_update(&p, 85000000); /* in the third step: 1 and 2, 3 and 4, 5 */
    update(&p, 1, 0);
    assert_same(&p, "");
    update(&p, 0, 0);
    pair_close(&p);
}

/* All is sent again, and what the guest made is gone: that is what it is for. */
static void test_from_scratch(void **state)
{
    (void)state;
    struct pair p;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct sync_result res;
    struct error err = ERROR_INIT;
    pair_open(&p, "scratch");
    synckit_sh(p.src, "echo a > a; echo b > b", NULL);
    (void)poll(NULL, 0, 80);
    update(&p, 2, 0);
    synckit_sh(p.to, "echo own > own; mkdir -p ../safe; echo x > ../safe/x; ln -s ../safe link",
               NULL);
    limits.from_scratch = true;
    assert_int_equal(try_update(&p, &limits, &res, &err), 0);
    assert_int_equal(res.n_sent, 2);
    synckit_sh(p.to, "test ! -e own -a ! -e link -a -e ../safe/x", NULL);
    assert_same(&p, "");
    update(&p, 0, 0);
    pair_close(&p);
}

static void updates_with(struct pair *p, const struct sync_limits *limits)
{
    struct sync_result res;
    struct error err = ERROR_INIT;
    if (try_update(p, limits, &res, &err) < 0)
        fail_msg("%s", err.msg);
}

/* One of the same name may be synced to the same lease, but not among this one's files. */
static void test_another_tree_is_refused(void **state)
{
    (void)state;
    struct pair p;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct sync_result res;
    struct error err = ERROR_INIT;
    pair_open(&p, "two");
    synckit_sh(p.base, "echo A >src/main; echo A >src/only-a; mkdir -p b/src; echo B >b/src/main",
               NULL);
    update(&p, 2, 0);
    free(p.src);
    p.src = xasprintf("%s/b/src", p.base);
    assert_int_equal(try_update(&p, NULL, &res, &err), -1);
    assert_int_equal(err.kind, ERR_SYNC);
    assert_non_null(strstr(err.msg, "/two/src, which is another tree than "));
    assert_non_null(strstr(err.msg, "; next: --reclaim to empty it"));
    synckit_sh(p.to, "test \"$(cat main)\" = A; echo made >own", NULL);
    limits.reclaim = true;
    updates_with(&p, &limits);
    assert_same(&p, "");
    update(&p, 0, 0); /* it is this one's now */
    pair_close(&p);
}

/* The same directory at another place is the same tree; another one at the same place is not. */
static void test_a_tree_that_moves(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "moves");
    synckit_sh(p.src, "echo 1 >a; echo 2 >b", NULL);
    update(&p, 2, 0);
    (void)poll(NULL, 0, 20);
    synckit_sh(p.to, "echo own >own", NULL);
    synckit_sh(p.base, "mkdir away; mv src away/src; rm away/src/b", NULL);
    free(p.src);
    p.src = xasprintf("%s/away/src", p.base);
    update(&p, 0, 1);
    synckit_sh(p.to, "test -f own", NULL);
    synckit_sh(p.base, "mv away/src old; mkdir away/src; echo new >away/src/c", NULL);
    update(&p, 1, 0);
    assert_same(&p, "");
    pair_close(&p);
}

/* What a command leaves does not stop the next sync. The user of this guest is root, for whom no
 * rights count, so the like of that is done by attributes and mounts, where the kernel has them. */
static void test_what_commands_leave(void **state)
{
    (void)state;
    static const struct {
        const char *guest, *host;
    } cases[] = {
        {"rm a; mkdir -p a/full; echo x >a/full/x", "echo 2 >a"},
        {"rm a; mkdir -p a/full; echo x >a/full/x", ":"},
        {"rm -r d; echo file >d", ":"},
        {"rm -r d; ln -s /etc d", ":"},
        {"rm -r d; mkfifo d; rm a; ln -s /etc/passwd a", ":"},
        {"echo own >d/own", "rm -r d; echo now a file >d"},
        {"mkdir a.own; mount -t tmpfs none a.own; echo x >a.own/x", "rm a; mkdir a; echo 1 >a/b"},
        {"mount -t tmpfs none d; echo x >d/x", ":"},
        {"mkdir 'm m'; mount -t tmpfs none 'm m'; echo x >'m m/x'", "mkdir 'm m'; echo 1 >'m m/f'"},
        {"mkdir ../other; echo o >../other/b; mount --bind ../other d", "echo 3 >d/b"},
        {"mount --bind /etc/hostname a", ":"},
        {"mount -t tmpfs none d", "rm -r d"},
        {"mkdir -p deep/er; mount -t tmpfs none deep/er; echo x >deep/er/x", "echo file >deep"},
        {"mkdir -p ../.crabbox-sync-x; rm ../.crabbox-sync-*\\ to; mkdir \"../.crabbox-sync-it's "
         "to\"",
         "echo 4 >a"},
        {"cd ..; rm -r \"it's to\"; echo file >\"it's to\"", ":"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        _cleanup_free_ char *name = xasprintf("leave%zu", i);
        pair_open(&p, name);
        synckit_sh(p.src, "mkdir d; echo 1 >a; echo 2 >d/b; echo 3 >z", NULL);
        updates_with(&p, NULL);
        (void)poll(NULL, 0, 20);
        synckit_sh(p.to, cases[i].guest, NULL);
        synckit_sh(p.src, cases[i].host, NULL);
        updates_with(&p, NULL);
        assert_same(&p, "a.own/x d/x d/own");
        pair_close(&p);
    }
}

/* What is above the tree is made again, or what is in the way there is named. */
static void test_what_commands_do_above(void **state)
{
    (void)state;
    static const struct {
        const char *guest, *refused; /* NULL: the sync ends as it should */
    } cases[] = {
        {"rm -r work; mkdir -m 0 work", NULL},
        {"mv work w; ln -s w work", NULL},
        {"rm -r work/lease; echo file >work/lease", "is no directory: /"},
        {"rm -r work; ln -s no work", "/work; next: repair it with crabbox-fc run --no-sync -- "},
        {"mount --bind work work; mount -o remount,bind,ro work",
         "Read-only file system; next: the guest's disk takes no writes any more; look at it with"},
        {"rm -r work/*; mount -t tmpfs -o size=4k,nr_inodes=3 none work",
         "next: the guest has no room or no inodes left (df -h, df -i); make room with crab"},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        struct pair p;
        struct sync_result res;
        struct error err = ERROR_INIT;
        struct sync_limits limits = SYNC_LIMITS_DEFAULT;
        _cleanup_free_ char *name = xasprintf("above%zu", i);
        limits.from_scratch = i % 2;
        pair_open(&p, name);
        free(p.to);
        p.to = xasprintf("%s/work/lease/to", p.base);
        synckit_sh(p.src, "mkdir d; echo 1 >a; echo 2 >d/b; head -c 20000 /dev/zero >z", NULL);
        updates_with(&p, NULL);
        synckit_sh(p.base, cases[i / 2].guest, NULL);
        synckit_sh(p.src, "rm d/b; echo new >a", NULL);
        int r = try_update(&p, &limits, &res, &err);
        assert_int_equal(r, cases[i / 2].refused ? -1 : 0);
        if (r == 0)
            assert_same(&p, "");
        else
            assert_non_null(strstr(err.msg, cases[i / 2].refused));
        synckit_sh(p.base, "umount work 2>/dev/null || :", NULL);
        pair_close(&p);
    }
}

static void test_from_scratch_takes_all(void **state)
{
    (void)state;
    struct pair p;
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    pair_open(&p, "takes");
    synckit_sh(p.src, "mkdir d; echo 1 >a; echo 2 >d/b", NULL);
    update(&p, 2, 0);
    synckit_sh(p.to,
               "mkdir -p ro/p t 'm m' ../safe; echo x >ro/p/f; chmod -R a-w ro; echo x >../safe/x\n"
               "mount -t tmpfs none t; mkdir t/in; mount -t tmpfs none t/in; echo x >t/in/x\n"
               "mount --bind ../safe 'm m'",
               NULL);
    limits.from_scratch = true;
    updates_with(&p, &limits);
    assert_same(&p, "");
    synckit_sh(p.to, "test -f ../safe/x; ! grep -q /takes/ /proc/mounts", NULL);
    pair_close(&p);
}

/* A directory of which nothing is sent arrives; in a repository there is none, as for git. */
static void test_empty_directories(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "empty");
    synckit_sh(p.src, "mkdir -p logs/deep src out; echo 1 >src/a; chmod 750 logs/deep", NULL);
    update(&p, 1, 0);
    synckit_sh(p.to, "test \"$(stat -c %a logs/deep)\" = 750; test -d out", NULL);
    update(&p, 0, 0);
    synckit_sh(p.src, "rmdir out; echo x >logs/deep/x; mkdir new", NULL);
    update(&p, 1, 0);
    (void)poll(NULL, 0, 20);
    synckit_sh(p.to, "test ! -e out; test -f logs/deep/x; rmdir new", NULL);
    update(&p, 0, 0);
    synckit_sh(p.to, "test -d new", NULL);
    synckit_sh(p.src, "git init -q", NULL);
    update(&p, 0, 0);
    pair_close(&p);
}

static void test_twenty_thousand_files(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, "many");
    synckit_sh(
        p.src,
        "git init -q; for i in $(seq 20); do mkdir d$i; (cd d$i; seq 1000 | split -l 1 -a 3);"
        "done",
        NULL);
    update(&p, 20000, 0);
    update(&p, 0, 0);
    synckit_sh(p.src, "echo changed > d7/xaaa", NULL);
    update(&p, 1, 0);
    synckit_sh(p.to, "test \"$(cat d7/xaaa)\" = changed", NULL);
    pair_close(&p);
}

/* One tree may be called as the lock of another. */
static void test_the_lock_of_one_is_not_the_record_of_another(void **state)
{
    static const char *const names[] = {"sync-a", "sync-a.lock", "sync-a.lock.lock", "sync-lock.a"};
    (void)state;
    struct pair p;
    pair_open(&p, "names");
    synckit_sh(p.src, "echo 1 >a", NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        p.store.name = names[i];
        update(&p, 1, 0);
        synckit_sh(p.to, "cd ../..; rm -r lease", NULL);
    }
    synckit_sh(p.base, "test \"$(ls -d sync-* | wc -l)\" = 4; test ! -s lock.sync-a", NULL);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lock_of_one_is_not_the_record_of_another),
        cmocka_unit_test(test_only_changes_are_sent),
        cmocka_unit_test(test_deletes_only_what_was_synced),
        cmocka_unit_test(test_what_the_guest_changed_is_restored),
        cmocka_unit_test(test_symlinks_in_the_guest_are_not_followed),
        cmocka_unit_test(test_files_and_directories_trade_places),
        cmocka_unit_test(test_lost_records_mean_everything),
        cmocka_unit_test(test_mass_deletion_is_refused),
        cmocka_unit_test(test_interrupted_update_is_resumed),
        cmocka_unit_test(test_interrupted_update_goes_on),
        cmocka_unit_test(test_from_scratch),
        cmocka_unit_test(test_another_tree_is_refused),
        cmocka_unit_test(test_a_tree_that_moves),
        cmocka_unit_test(test_what_commands_leave),
        cmocka_unit_test(test_what_commands_do_above),
        cmocka_unit_test(test_from_scratch_takes_all),
        cmocka_unit_test(test_empty_directories),
        cmocka_unit_test(test_twenty_thousand_files),
    };
    return cmocka_run_group_tests(tests, synckit_setup, synckit_teardown);
}
