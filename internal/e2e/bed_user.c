/* bed_user.c: the bed of a user who is not root: no capability, subordinate ids as a distribution
 * gives them, a tun device that is open to all as on most hosts, and the build where that user can
 * read it. All of it is in the bed's mount namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "e2e/bed.h"
#include "e2e/bed_internal.h"

#define NOBODY 65534
#define PLACE  "/mnt" /* of the bed's own mounts: nothing that is removed lies below it */

static void must(int r, const char *what)
{
    if (r < 0)
        fail_msg("test bed: %s: %s", what, strerror(errno));
}

static void append(const char *path, const char *line)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        fail_msg("test bed: write %s: %s", path, strerror(errno));
}

/* A layer over /etc as a whole: single files mounted there could not be hidden from a guest of the
 * stand-in. */
static void give_ids(const struct bed *b)
{
    _cleanup_free_ char *user = xasprintf("beduser:x:%u:%u::%s:/bin/sh\n", (unsigned)b->user.uid,
                                          (unsigned)b->user.gid, b->home);
    _cleanup_free_ char *ids = xasprintf("%u:%u:65536\n", (unsigned)b->user.uid, BED_SUBIDS);
    must(mkdir(PLACE "/upper", 0755), "make a directory");
    must(mkdir(PLACE "/work", 0755), "make a directory");
    must(mount("etc", "/etc", "overlay", 0,
               "lowerdir=/etc,upperdir=" PLACE "/upper,workdir=" PLACE "/work"),
         "lay over /etc");
    if (b->user.uid != NOBODY)
        append("/etc/passwd", user);
    (void)unlink("/etc/subuid");
    (void)unlink("/etc/subgid");
    append("/etc/subuid", ids);
    append("/etc/subgid", ids);
}

static void open_tun(void)
{
    must(mknod(PLACE "/tun", S_IFCHR | 0666, makedev(10, 200)), "make a tun device");
    must(chmod(PLACE "/tun", 0666), "open the tun device");
    must(mount(PLACE "/tun", "/dev/net/tun", NULL, MS_BIND, NULL), "mount the tun device");
}

/* A checkout may lie where only its owner gets to. */
static void move_build(struct bed *b)
{
    must(mkdir(PLACE "/build", 0755), "make a directory");
    must(mount(b->build, PLACE "/build", NULL, MS_BIND, NULL), "mount the build");
    (void)str_copy(b->build, sizeof b->build, PLACE "/build");
    (void)str_format(b->program, sizeof b->program, "%s/crabbox-fc", b->build);
}

static void give(const struct bed *b, const char *path)
{
    must(chown(path, b->user.uid, b->user.gid), "give the bed to its user");
}

void bed_be_user(struct bed *b)
{
    struct stat st;
    must(stat(b->program, &st), "look at the program");
    /* Whose programs the user can trust: root's, or the user's own. */
    uid_t owner = st.st_uid ? st.st_uid : NOBODY;
    b->user = (struct caller){owner, owner};
    must(mount("bed", PLACE, "tmpfs", 0, "mode=0755"), "mount " PLACE);
    open_tun();
    move_build(b);
    give_ids(b);
    give(b, b->dir);
    give(b, b->image);
    give(b, b->work);
    give(b, b->home);
    bed_setenv(b, "USER", "beduser");
    bed_clear_faults(b);
    bed_rebase(b);
}
