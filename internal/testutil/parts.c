#include "testutil/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/confine.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/uids.h"

static bool is_part(pid_t pid, const char *name)
{
    char path[64];
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (file_read_at(AT_FDCWD, path, 4096, &line, NULL) < 0 || !line.len)
        return false;
    const char *second = line.buf + strlen(line.buf) + 1;
    return second < line.buf + line.len && str_eq(second, name);
}

pid_t part_of(pid_t parent, const char *name)
{
    pid_t found = 0;
    _cleanup_closedir_ DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && proc_parent(pid) == parent && is_part(pid, name))
            found = pid;
    }
    return found;
}

pid_t part_check(pid_t parent, const char *name)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    struct deadline d = deadline_in_ms(30000);
    struct error err = ERROR_INIT;
    pid_t pid;
    while ((pid = part_of(parent, name)) == 0 || confine_filters(pid, NULL) < 1) {
        assert_false(deadline_passed(&d));
        (void)nanosleep(&pause, NULL);
    }
    if (geteuid() == 0 && confine_verify_user(pid, UID_NOBODY, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(confine_filters(pid, &err), 1);
    return pid;
}
