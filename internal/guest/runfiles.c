#include "guest/runfiles.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define UTMP_GID 43 /* of Debian and its derivatives, for ever */

/* 32 hex digits; one that the image has is kept. The file has to be there, since nothing else makes
 * it: D-Bus and others refuse to start without. */
static int make_machine_id(int root, struct error *err)
{
    static const char path[] = "/etc/machine-id";
    _cleanup_strbuf_ struct strbuf now = STRBUF_INIT;
    uint8_t raw[16];
    char text[sizeof raw * 2 + 2];
    if (root_read(root, path, 4096, &now, err) < 0)
        return -1;
    if (now.len >= sizeof raw * 2)
        return 0;
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return error_set(err, ERR_IO, errno, "make a machine id");
    str_hex(raw, sizeof raw, text);
    text[sizeof raw * 2] = '\n';
    return root_write(root, path, text, sizeof raw * 2 + 1, 0444, OWNER_ROOT, err);
}

int runfiles_make(int root, struct owner user, struct error *err)
{
    static const struct owner utmp = {0, UTMP_GID};
    char own[64];
    (void)str_format(own, sizeof own, "/run/user/%u", (unsigned)user.uid);
    if (root_mkdir(root, "/run/lock", 01777, OWNER_ROOT, err) < 0 ||
        root_mkdir(root, own, 0700, user, err) < 0 ||
        root_write(root, "/run/utmp", "", 0, 0664, utmp, err) < 0)
        return -1;
    return make_machine_id(root, err);
}
