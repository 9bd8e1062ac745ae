#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "guest/guest.h"
#include "guest/rootdir.h"
#include "guest/runfiles.h"
#include "guest/user.h"

struct box {
    char path[64];
    int fd;
};

static void put(const struct box *b, const char *path, const char *text)
{
    struct error err = ERROR_INIT;
    if (root_write(b->fd, path, text, strlen(text), 0644, OWNER_ROOT, &err) < 0)
        fail_msg("%s", err.msg);
}

static char *get(const struct box *b, const char *path)
{
    struct error err = ERROR_INIT;
    struct strbuf sb = STRBUF_INIT;
    if (root_read(b->fd, path, 65536, &sb, &err) < 0)
        fail_msg("%s", err.msg);
    return strbuf_detach(&sb);
}

static void assert_holds(const struct box *b, const char *path, const char *text)
{
    _cleanup_free_ char *all = get(b, path);
    if (!strstr(all, text))
        fail_msg("%s lacks \"%s\": %s", path, text, all);
}

static struct stat stat_of(const struct box *b, const char *path)
{
    struct stat st = {0};
    _cleanup_close_ int fd = root_open(b->fd, path, O_PATH | O_NOFOLLOW, 0);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    return st;
}

/* A root with the account files of a small image. */
static int setup(void **state)
{
    struct error err = ERROR_INIT;
    struct box *b = xcalloc(1, sizeof *b);
    (void)str_copy(b->path, sizeof b->path, "/tmp/crabbox-guest-XXXXXX");
    if (!mkdtemp(b->path))
        return -1;
    b->fd = open(b->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    put(b, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh");
    put(b, "/etc/shadow", "root:*:19000:0:99999:7:::\n");
    put(b, "/etc/group", "root:x:0:\nsudo:x:27:old\nkvm:x:1001:\nold:x:1000:\n");
    put(b, "/bin/bash", "");
    if (root_mkdir(b->fd, "/etc/sudoers.d", 0755, OWNER_ROOT, &err) < 0)
        return -1;
    *state = b;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct box *b = *state;
    (void)close(b->fd);
    (void)nftw(b->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(b);
    return 0;
}

static char key_one[] = "ssh-ed25519 AAAA", shell_bash[] = "/bin/bash", shell_none[] = "/bin/zsh";
static char rule_all[] = "ALL=(ALL) NOPASSWD:ALL";

static struct seed_user crabbox(void)
{
    struct seed_user u = {.name = "crabbox",
                          .shell = shell_bash,
                          .sudo = rule_all,
                          .ngroups = 2,
                          .groups = {"sudo", "absent"},
                          .nkeys = 1,
                          .keys = {key_one}};
    return u;
}

/* A path below the home directory, in a buffer of its own until the next call. */
static const char *home(const struct account *a, const char *name)
{
    static char path[300];
    assert_int_equal(str_format(path, sizeof path, "%s/%s", a->home, name), 0);
    return path;
}

static void adds_the_user_everywhere(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    struct account a;
    struct seed_user u = crabbox();
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    /* 1000 is a user's, 1001 is a group's */
    assert_int_equal(a.owner.uid, 1002);
    assert_string_equal(a.home, "/home/crabbox");
    assert_holds(b, "/etc/passwd",
                 "/home/old:/bin/sh\ncrabbox:x:1002:1002::/home/crabbox:/bin/bash\n");
    assert_holds(b, "/etc/shadow", "\ncrabbox:*:");
    assert_holds(b, "/etc/group", "sudo:x:27:old,crabbox\n");
    assert_holds(b, "/etc/group", "\ncrabbox:x:1002:\n");
    assert_holds(b, home(&a, ".ssh/authorized_keys"), "ssh-ed25519 AAAA\n");
    assert_holds(b, "/etc/sudoers.d/90-crabbox-fc", "crabbox ALL=(ALL) NOPASSWD:ALL\n");
    struct stat st = stat_of(b, home(&a, ".ssh/authorized_keys"));
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_uid, 1002);
    assert_int_equal(stat_of(b, home(&a, ".ssh")).st_mode & 07777, 0700);
    assert_int_equal(stat_of(b, "/etc/shadow").st_mode & 07777, 0640);
    assert_int_equal(stat_of(b, "/etc/sudoers.d/90-crabbox-fc").st_mode & 07777, 0440);
}

static void is_the_same_the_second_time(void **state)
{
    static const char *const files[] = {"/etc/passwd", "/etc/shadow", "/etc/group"};
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    struct account a, again;
    struct seed_user u = crabbox();
    char *before[ARRAY_LEN(files)];
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        before[i] = get(b, files[i]);
    assert_int_equal(user_setup(b->fd, &u, &again, &err), 0);
    assert_int_equal(a.owner.uid, again.owner.uid);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        _cleanup_free_ char *now = get(b, files[i]);
        assert_string_equal(now, before[i]);
        free(before[i]);
    }
}

static void falls_back_to_sh(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    struct account a;
    struct seed_user u = crabbox();
    u.shell = shell_none;
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    assert_holds(b, "/etc/passwd", ":/home/crabbox:/bin/sh\n");
}

static void keeps_a_user_of_the_image(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    struct account a;
    struct seed_user u = crabbox();
    put(b, "/etc/passwd", "crabbox:x:500:600::/srv/crab:/bin/bash\n");
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    assert_int_equal(a.owner.uid, 500);
    assert_int_equal(a.owner.gid, 600);
    assert_int_equal(stat_of(b, "/srv/crab/.ssh/authorized_keys").st_uid, 500);
    put(b, "/etc/passwd", "crabbox:x:many:600::/srv/crab:/bin/bash\n");
    assert_int_equal(user_setup(b->fd, &u, &a, &err), -1);
    assert_non_null(strstr(err.msg, "bad line for crabbox"));
}

/* An image from anywhere: its links must not lead a write out of the root. */
static void links_stay_inside_the_root(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    char outside[] = "/tmp/crabbox-outside-XXXXXX", link_to[128];
    _cleanup_close_ int out = mkstemp(outside);
    assert_true(out >= 0);
    (void)str_format(link_to, sizeof link_to, "%s/etc/resolv.conf", b->path);
    assert_int_equal(symlink(outside, link_to), 0);
    put(b, "/etc/resolv.conf", "inside");
    assert_true(S_ISREG(stat_of(b, "/etc/resolv.conf").st_mode));
    struct stat st;
    assert_int_equal(fstat(out, &st), 0);
    assert_int_equal(st.st_size, 0);
    /* A directory link that is absolute, and one that climbs, land in the root. */
    (void)str_format(link_to, sizeof link_to, "%s/abs", b->path);
    assert_int_equal(symlink("/etc", link_to), 0);
    put(b, "/abs/one", "1");
    assert_holds(b, "/etc/one", "1");
    (void)str_format(link_to, sizeof link_to, "%s/climb", b->path);
    assert_int_equal(symlink("../../../../etc", link_to), 0);
    put(b, "/climb/two", "2");
    assert_holds(b, "/etc/two", "2");
    assert_int_equal(root_write(b->fd, "/etc/one/below", "", 0, 0644, OWNER_ROOT, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_int_equal(unlink(outside), 0);
}

static void reads_no_more_than_asked(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(root_read(b->fd, "/etc/passwd", 10, &sb, &err), -1);
    assert_non_null(strstr(err.msg, "larger than 10"));
    assert_int_equal(root_read(b->fd, "/absent", 10, &sb, &err), 0);
}

static const char guest_user_data[] =
    "#cloud-config\n{\"users\":[{\"name\":\"crabbox\",\"shell\":\"/bin/bash\","
    "\"ssh_authorized_keys\":[\"ssh-ed25519 AAAA\"]}],"
    "\"ssh_keys\":{\"ed25519_private\":\"PRIVATE\\n\",\"ed25519_public\":\"p\"},"
    "\"write_files\":[{\"path\":\"/run/crabbox-fc/nonce\",\"content\":\"77\\n\"},"
    "{\"path\":\"/opt/mine\",\"content\":\"m\",\"permissions\":\"0600\",\"owner\":\"crabbox\"},"
    "{\"path\":\"/run/crabbox-fc/guest.json\",\"content\":\"{\\\"workRoot\\\":\\\"/w/c\\\"}\"}]}";
static const char guest_net[] =
    "{\"version\":2,\"ethernets\":{\"e\":{\"match\":{\"macaddress\":\"02:00:00:00:00:01\"},"
    "\"nameservers\":{\"addresses\":[\"127.0.0.53\",\"192.0.2.53\",\"::1\"]}}}}";
static void makes_a_guest_of_a_root(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    _cleanup_seed_ struct seed s = {0};
    if (seed_parse(guest_user_data, "{\"instance-id\":\"cbx_i\",\"local-hostname\":\"crabbox-a\"}",
                   guest_net, &s, &err) < 0 ||
        guest_setup(b->path, &s, &err) < 0)
        fail_msg("%s", err.msg);
    assert_holds(b, "/etc/hostname", "crabbox-a\n");
    assert_holds(b, "/etc/hosts", "127.0.1.1 crabbox-a\n");
    assert_holds(b, "/run/crabbox-fc/nonce", "77\n");
    _cleanup_free_ char *resolv = get(b, "/etc/resolv.conf");
    assert_non_null(strstr(resolv, "nameserver 192.0.2.53\n"));
    assert_null(strstr(resolv, "127.0.0.53"));
    assert_null(strstr(resolv, "::1"));
    struct stat key = stat_of(b, GUEST_HOSTKEY);
    assert_int_equal(key.st_mode & 07777, 0600);
    assert_holds(b, GUEST_HOSTKEY, "PRIVATE\n");
    assert_int_equal(stat_of(b, "/run/sshd").st_mode & 07777, 0755);
    uid_t uid = stat_of(b, "/home/crabbox").st_uid;
    assert_int_equal(stat_of(b, "/w/c").st_uid, uid);
    assert_int_equal(stat_of(b, "/w/c/cbx_i").st_uid, uid);
    assert_int_equal(stat_of(b, "/w").st_uid, 0);
    assert_int_equal(stat_of(b, "/opt/mine").st_uid, uid);
    assert_int_equal(stat_of(b, "/opt/mine").st_mode & 07777, 0600);
}

/* What programs expect of a distribution that has booted. */
static void makes_what_programs_expect(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    static const struct owner user = {1002, 1003};
    put(b, "/etc/machine-id", "");
    assert_int_equal(runfiles_make(b->fd, user, &err), 0);
    _cleanup_free_ char *id = get(b, "/etc/machine-id");
    assert_int_equal(strlen(id), 33);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    assert_int_equal(stat_of(b, "/run/lock").st_mode & 07777, 01777);
    assert_int_equal(stat_of(b, "/run/utmp").st_mode & 07777, 0664);
    struct stat own = stat_of(b, "/run/user/1002");
    assert_int_equal(own.st_mode & 07777, 0700);
    assert_int_equal(own.st_gid, 1003);
    /* Another guest has another id; one that the image brought stays. */
    put(b, "/etc/machine-id", "");
    assert_int_equal(runfiles_make(b->fd, user, &err), 0);
    _cleanup_free_ char *other = get(b, "/etc/machine-id");
    assert_string_not_equal(id, other);
    assert_int_equal(runfiles_make(b->fd, user, &err), 0);
    assert_holds(b, "/etc/machine-id", other);
}

static void fills_a_new_home(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    struct account a;
    struct seed_user u = crabbox();
    char outside[128];
    put(b, "/etc/skel/.profile", "profile");
    put(b, "/etc/skel/.config/deep/file", "deep");
    put(b, "/etc/subuid", "");
    put(b, "/etc/subgid", "old:100000:65536\n");
    (void)str_format(outside, sizeof outside, "%s/etc/skel/link", b->path);
    assert_int_equal(symlink("/etc/shadow", outside), 0);
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    assert_holds(b, home(&a, ".profile"), "profile");
    assert_holds(b, home(&a, ".config/deep/file"), "deep");
    assert_int_equal(stat_of(b, home(&a, ".config/deep")).st_uid, 1002);
    assert_int_equal(stat_of(b, home(&a, ".profile")).st_gid, 1002);
    assert_false(root_exists(b->fd, home(&a, "link")));
    assert_holds(b, "/etc/subuid", "crabbox:100000:65536\n");
    assert_holds(b, "/etc/subgid", "old:100000:65536\n");
    /* A home that is there is somebody's. */
    put(b, home(&a, ".profile"), "mine");
    assert_int_equal(user_setup(b->fd, &u, &a, &err), 0);
    assert_holds(b, home(&a, ".profile"), "mine");
}

/* A server that makes clients wait is told not to; an older one would not start with that word. */
static void writes_what_the_server_knows(void **state)
{
    const struct box *b = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(sshd_setup(b->fd, "KEY\n", &err), 0);
    _cleanup_free_ char *old = get(b, GUEST_SSHD_CONFIG);
    assert_null(strstr(old, "PerSourcePenalties"));
    put(b, "/usr/lib/openssh/sshd-session", "");
    assert_int_equal(sshd_setup(b->fd, "KEY\n", &err), 0);
    assert_holds(b, GUEST_SSHD_CONFIG, "\nPerSourcePenalties no\n");
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "needs root: it makes files of several owners\n");
        return getenv("CI") ? 1 : 77;
    }
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(adds_the_user_everywhere),   T(is_the_same_the_second_time),
        T(falls_back_to_sh),           T(keeps_a_user_of_the_image),
        T(links_stay_inside_the_root), T(reads_no_more_than_asked),
        T(makes_a_guest_of_a_root),    T(makes_what_programs_expect),
        T(fills_a_new_home),           T(writes_what_the_server_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
