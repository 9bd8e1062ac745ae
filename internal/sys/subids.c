#include "sys/subids.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/program.h"

#define ENTRY_SIZE 16384 /* of a user's entry */
#define COUNT_MIN  1000  /* fewer hold no guest's users */
#define COUNT_MAX  65535 /* more are of no use here */

bool subids_parse(char *line, const char **user, uint64_t *first, uint64_t *count)
{
    *user = strsep(&line, ":");
    const char *from = strsep(&line, ":");
    return from && line && str_to_u64(from, first) == 0 && str_to_u64(line, count) == 0;
}

static bool is_range_of(char *line, const char *name, const char *number, struct subids *out)
{
    uint64_t first, count;
    const char *who;
    if (!subids_parse(line, &who, &first, &count) ||
        !(str_eq(who, number) || (name && str_eq(who, name))))
        return false;
    if (first == 0 || first > INT32_MAX || count > INT32_MAX)
        return false;
    *out = (struct subids){(uint32_t)first, (uint32_t)(count < COUNT_MAX ? count : COUNT_MAX)};
    return true;
}

static bool find_in(const char *path, struct subids *out)
{
    char number[24];
    struct passwd entry, *pw = NULL;
    _cleanup_free_ char *strings = xcalloc(1, ENTRY_SIZE);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    (void)getpwuid_r(getuid(), &entry, strings, ENTRY_SIZE, &pw);
    *out = (struct subids){0, 0};
    (void)str_format(number, sizeof number, "%u", (unsigned)getuid());
    if (file_read_at(AT_FDCWD, path, SUBIDS_FILE_MAX, &text, NULL) < 0)
        return false;
    char *rest = text.buf;
    for (char *line; (line = strsep(&rest, "\n"));) {
        struct subids s;
        if (is_range_of(line, pw ? pw->pw_name : NULL, number, &s) && s.count > out->count)
            *out = s;
    }
    return out->count >= COUNT_MIN;
}

int subids_find(struct subids *uids, struct subids *gids, struct error *err)
{
    char path[PATH_MAX];
    if (!find_in(SUBIDS_UIDS, uids) || !find_in(SUBIDS_GIDS, gids))
        return error_set(err, ERR_ENV, 0,
                         "you have no ids of your own in /etc/subuid and /etc/subgid; next: as "
                         "root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
                         "\"$USER\"");
    if (program_locate(SUBIDS_NEWUIDMAP, "program", NULL, path, NULL) < 0 ||
        program_locate(SUBIDS_NEWGIDMAP, "program", NULL, path, NULL) < 0)
        return error_set(err, ERR_ENV, 0,
                         "newuidmap is not installed; next: as root: apt-get install uidmap");
    return 0;
}
