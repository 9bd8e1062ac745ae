/* rules.c: the rules of single values. What passes here ends up in argument vectors, in the guest's
 * seed and in file names, so each rule allows what is known to be safe and nothing else. */
#include "config/rules.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/cgroup.h"
#include "sys/pathwalk.h"
#include "sys/uids.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

#define LIST_MAX 1024 /* each item costs time, for each file or variable */

#define DNS_MAX 3 /* NET_DNS_MAX of net/net.h, which this module can't include */

/* The whole of `s` is made of `set`. */
static bool all_of(const char *s, const char *set)
{
    return s[strspn(s, set)] == '\0';
}

static const char *check_program(const char *s)
{
    if (strlen(s) > 255 || !all_of(s, LOWER UPPER DIGITS "._+-") || s[0] == '-' || s[0] == '.')
        return "not the name of a program; write a path from / or ~/";
    return NULL;
}

static const char *check_user(const char *s)
{
    if (strlen(s) > 32 || !all_of(s, LOWER DIGITS "_-") || !strchr(LOWER "_", s[0]))
        return "not a user name ([a-z_][a-z0-9_-]*, at most 32 characters)";
    return NULL;
}

/* Trees are written below this directory, and the guest's user becomes its owner. So it must not be
 * one that anything else in the guest uses. */
static const char *check_guest_dir(const char *s)
{
    static const char *const whole[] = {"/bin",   "/boot",  "/dev",    "/etc",  "/lib",
                                        "/lib32", "/lib64", "/libx32", "/proc", "/run",
                                        "/sbin",  "/sys",   "/usr"};
    static const char *const itself[] = {"/home", "/media", "/mnt", "/opt",    "/root",
                                         "/srv",  "/tmp",   "/var", "/var/lib"};
    if (s[0] != '/')
        return "not an absolute path in the guest";
    if (strlen(s) > 200 || !all_of(s, LOWER UPPER DIGITS "/._+@-"))
        return "not a plain path (letters, digits and . _ + @ - only, at most 200 characters)";
    if (!s[1])
        return "the root of the guest; name a directory of its own";
    if (strstr(s, "//") || strstr(s, "/./") || strstr(s, "/../") || str_has_suffix(s, "/") ||
        str_has_suffix(s, "/.") || str_has_suffix(s, "/.."))
        return "not normalised (no //, /./, /../ or / at the end)";
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (path_is_below(s, whole[i]))
            return "in a system directory of the guest";
    for (size_t i = 0; i < ARRAY_LEN(itself); i++)
        if (str_eq(s, itself[i]))
            return "a system directory of the guest; name one below it";
    return NULL;
}

static const char *check_env_name(const char *s, unsigned index)
{
    if (index >= LIST_MAX)
        return "one name too many (at most 1024)";
    if (strlen(s) > 255 || !all_of(s, LOWER UPPER DIGITS "_") || strchr(DIGITS, s[0]))
        return "not the name of an environment variable";
    return NULL;
}

static const char *check_address(const char *s, unsigned index)
{
    unsigned char addr[16];
    if (index >= DNS_MAX)
        return "one address too many (at most 3)";
    if (inet_pton(AF_INET, s, addr) != 1 && inet_pton(AF_INET6, s, addr) != 1)
        return "not an IP address";
    return NULL;
}

static const char *check_pattern(const char *s, unsigned index)
{
    if (index >= LIST_MAX)
        return "one pattern too many (at most 1024)";
    return strlen(s) > 1024 ? "longer than 1024 bytes" : NULL;
}

static const char *check_word(const char *s)
{
    if (strlen(s) > 255 || !all_of(s, LOWER UPPER DIGITS "._-") || s[0] == '-' || s[0] == '.')
        return "not a name (letters, digits, . _ and -)";
    return NULL;
}

static const char *check_uids(const char *s)
{
    struct uid_range range;
    struct error err = ERROR_INIT;
    return uid_range_parse(s, &range, &err) == 0
               ? NULL
               : "not a range of user ids from 65536 to 2147483645, such as 1900000000-1900065535";
}

static const char *check_sha256(const char *s)
{
    if (strlen(s) != 64 || !all_of(s, DIGITS "abcdef"))
        return "not a SHA-256 (64 lower-case hex digits, as sha256sum prints them)";
    return NULL;
}

const char *rule_check(enum config_rule rule, const char *text, unsigned index)
{
    switch (rule) {
    case RULE_PROGRAM:
        return check_program(text);
    case RULE_GUEST_USER:
        return check_user(text);
    case RULE_GUEST_DIR:
        return check_guest_dir(text);
    case RULE_ENV_NAMES:
        return check_env_name(text, index);
    case RULE_ADDRESSES:
        return check_address(text, index);
    case RULE_SHA256:
        return check_sha256(text);
    case RULE_WORD:
        return check_word(text);
    case RULE_UIDS:
        return check_uids(text);
    case RULE_CGROUP:
        return strlen(text) < CGROUP_PARENT_MAX ? cgroup_name_check(text) : "too long";
    case RULE_PATTERNS:
    case RULE_INCLUDES:
    case RULE_GLOBS:
        return check_pattern(text, index);
    case RULE_NONE:
        return NULL;
    }
    return NULL;
}
