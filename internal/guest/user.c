#include "guest/user.h"

#include <string.h>

#include "guest/skel.h"

#define ACCOUNT_FILE_MAX (1024u * 1024)
#define FIRST_ID         1000u
#define LAST_ID          59999u

/* Field `index` of a colon-separated line of `len` bytes, copied; NULL if there is none. */
static char *field(const char *line, size_t len, unsigned index)
{
    const char *end = line + len;
    for (; index > 0; index--) {
        line = memchr(line, ':', (size_t)(end - line));
        if (!line)
            return NULL;
        line++;
    }
    const char *stop = memchr(line, ':', (size_t)(end - line));
    char *out = strndup(line, (size_t)((stop ? stop : end) - line));
    return out;
}

static size_t line_length(const char *s)
{
    return strcspn(s, "\n");
}

static const char *next_line(const char *s)
{
    s += line_length(s);
    return *s ? s + 1 : s;
}

/* The line whose first field is `name`, or NULL. */
static const char *find_line(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = text; *s; s = next_line(s))
        if (strncmp(s, name, n) == 0 && s[n] == ':')
            return s;
    return NULL;
}

/* Whether field `index` of any line is the number `id`. */
static bool id_taken(const char *text, unsigned index, unsigned id)
{
    for (const char *s = text; *s; s = next_line(s)) {
        _cleanup_free_ char *f = field(s, line_length(s), index);
        uint64_t v;
        if (f && str_to_u64(f, &v) == 0 && v == id)
            return true;
    }
    return false;
}

/* The first id from 1000 on that neither users nor groups have. */
static int free_id(const char *passwd, const char *group, unsigned *out, struct error *err)
{
    for (unsigned id = FIRST_ID; id <= LAST_ID; id++) {
        if (!id_taken(passwd, 2, id) && !id_taken(group, 2, id)) {
            *out = id;
            return 0;
        }
    }
    return error_set(err, ERR_IO, 0, "no free user id in /etc/passwd of the image");
}

static void end_line(struct strbuf *sb)
{
    if (sb->len && sb->buf[sb->len - 1] != '\n')
        strbuf_addc(sb, '\n');
}

/* Whether the comma-separated member list holds `name`. */
static bool list_has(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (*list) {
        size_t len = strcspn(list, ",");
        if (len == n && strncmp(list, name, n) == 0)
            return true;
        list += len;
        list += *list == ',';
    }
    return false;
}

/* Adds `user` to the members of `group` if the group exists. True if the text changed. */
static bool join_group(struct strbuf *text, const char *group, const char *user)
{
    const char *line = find_line(text->buf, group);
    if (!line)
        return false;
    size_t len = line_length(line), at = (size_t)(line - text->buf) + len;
    _cleanup_free_ char *members = field(line, len, 3);
    if (!members || list_has(members, user))
        return false;
    struct strbuf out = STRBUF_INIT;
    strbuf_add(&out, text->buf, at);
    strbuf_addf(&out, "%s%s", *members ? "," : "", user);
    strbuf_adds(&out, text->buf + at);
    strbuf_free(text);
    *text = out;
    return true;
}

/* Takes ids and home from an existing passwd line. */
static int read_account(const char *line, const char *name, struct account *out, struct error *err)
{
    size_t len = line_length(line);
    _cleanup_free_ char *uid = field(line, len, 2);
    _cleanup_free_ char *gid = field(line, len, 3);
    _cleanup_free_ char *home = field(line, len, 5);
    uint64_t u, g;
    if (!uid || !gid || !home || str_to_u64(uid, &u) < 0 || str_to_u64(gid, &g) < 0 ||
        u > UINT32_MAX || g > UINT32_MAX || *home != '/' ||
        str_copy(out->home, sizeof out->home, home) < 0)
        return error_set(err, ERR_IO, 0, "/etc/passwd of the image has a bad line for %s", name);
    out->owner = (struct owner){(uid_t)u, (gid_t)g};
    return 0;
}

/* Appends the user's own lines where they are missing. */
static int add_lines(int root, const struct seed_user *user, struct strbuf *passwd,
                     struct strbuf *shadow, struct strbuf *group, struct account *out,
                     struct error *err)
{
    unsigned id;
    const char *line = find_line(passwd->buf, user->name);
    if (line)
        return read_account(line, user->name, out, err);
    if (free_id(passwd->buf, group->buf, &id, err) < 0)
        return -1;
    const char *shell = root_exists(root, user->shell) ? user->shell : "/bin/sh";
    if (str_format(out->home, sizeof out->home, "/home/%s", user->name) < 0)
        return error_set(err, ERR_IO, 0, "home directory of %s has too long a name", user->name);
    out->owner = (struct owner){id, id};
    end_line(passwd);
    strbuf_addf(passwd, "%s:x:%u:%u::%s:%s\n", user->name, id, id, out->home, shell);
    if (!find_line(shadow->buf, user->name)) {
        end_line(shadow);
        strbuf_addf(shadow, "%s:*:19000:0:99999:7:::\n", user->name);
    }
    if (!find_line(group->buf, user->name)) {
        end_line(group);
        strbuf_addf(group, "%s:x:%u:\n", user->name, id);
    }
    return 0;
}

/* Writes back what grew. */
static int write_back(int root, const char *path, const struct strbuf *text, size_t old_len,
                      mode_t mode, struct error *err)
{
    if (text->len == old_len)
        return 0;
    return root_write(root, path, text->buf, text->len, mode, OWNER_ROOT, err);
}

static int update_accounts(int root, const struct seed_user *user, struct account *out,
                           struct error *err)
{
    _cleanup_strbuf_ struct strbuf passwd = STRBUF_INIT, shadow = STRBUF_INIT, group = STRBUF_INIT;
    if (root_read(root, "/etc/passwd", ACCOUNT_FILE_MAX, &passwd, err) < 0 ||
        root_read(root, "/etc/shadow", ACCOUNT_FILE_MAX, &shadow, err) < 0 ||
        root_read(root, "/etc/group", ACCOUNT_FILE_MAX, &group, err) < 0)
        return -1;
    size_t passwd_len = passwd.len, shadow_len = shadow.len, group_len = group.len;
    if (add_lines(root, user, &passwd, &shadow, &group, out, err) < 0)
        return -1;
    for (unsigned i = 0; i < user->ngroups; i++)
        (void)join_group(&group, user->groups[i], user->name);
    if (write_back(root, "/etc/group", &group, group_len, 0644, err) < 0 ||
        write_back(root, "/etc/shadow", &shadow, shadow_len, 0640, err) < 0)
        return -1;
    return write_back(root, "/etc/passwd", &passwd, passwd_len, 0644, err);
}

static int write_keys(int root, const struct seed_user *user, const struct account *a,
                      struct error *err)
{
    _cleanup_strbuf_ struct strbuf keys = STRBUF_INIT;
    _cleanup_free_ char *dir = xasprintf("%s/.ssh", a->home);
    _cleanup_free_ char *path = xasprintf("%s/authorized_keys", dir);
    for (unsigned i = 0; i < user->nkeys; i++)
        strbuf_addf(&keys, "%s\n", user->keys[i]);
    if (root_mkdir(root, dir, 0700, a->owner, err) < 0)
        return -1;
    return root_write(root, path, keys.buf, keys.len, 0600, a->owner, err);
}

static int write_sudoers(int root, const struct seed_user *user, struct error *err)
{
    _cleanup_strbuf_ struct strbuf rule = STRBUF_INIT;
    if (!user->sudo || !root_exists(root, "/etc/sudoers.d"))
        return 0;
    strbuf_addf(&rule, "%s %s\n", user->name, user->sudo);
    return root_write(root, "/etc/sudoers.d/90-crabbox-fc", rule.buf, rule.len, 0440, OWNER_ROOT,
                      err);
}

/* The ids that the user may give to processes of its containers, where the image has such files: as
 * useradd does. */
static int add_subids(int root, const char *path, const char *name, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (!root_exists(root, path))
        return 0;
    if (root_read(root, path, ACCOUNT_FILE_MAX, &text, err) < 0)
        return -1;
    if (text.len) /* the image's own: ours might overlap */
        return 0;
    strbuf_addf(&text, "%s:100000:65536\n", name);
    return root_write(root, path, text.buf, text.len, 0644, OWNER_ROOT, err);
}

static int make_home(int root, const struct account *a, struct error *err)
{
    if (root_exists(root, a->home))
        return 0;
    if (root_mkdir(root, a->home, 0755, a->owner, err) < 0)
        return -1;
    return skel_copy(root, a->home, a->owner, err);
}

int user_setup(int root, const struct seed_user *user, struct account *out, struct error *err)
{
    *out = (struct account){0};
    if (update_accounts(root, user, out, err) < 0 || make_home(root, out, err) < 0)
        return -1;
    if (add_subids(root, "/etc/subuid", user->name, err) < 0 ||
        add_subids(root, "/etc/subgid", user->name, err) < 0)
        return -1;
    if (write_keys(root, user, out, err) < 0)
        return -1;
    return write_sudoers(root, user, err);
}
