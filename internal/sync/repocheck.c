/* repocheck.c: the words are git's own. What the installed git can do does not count: an extension
 * that any released git knows is accepted, because what is read here is the same with it.
 */
#include "sync/repocheck.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/gitconfig.h"
#include "sync/tree.h"

enum {
    VERSION_MAX = 1, /* of the format of a repository */
    CONFIG_MAX = 4 * 1024 * 1024,
    HEAD_MAX = 64 * 1024,
    NAMES_SHOWN_MAX = 200, /* bytes of the names of extensions in a message */
};

#define REFS "refs/"

static int reject(const struct repo *r, const char *words, struct error *err)
{
    return error_set(err, ERR_SYNC, 0,
                     "git does not accept %s: fatal: %s; next: repair it if you trust the "
                     "repository, or --no-git to copy all files as if it were not there, or "
                     "--no-sync",
                     r->git_dir, words);
}

/* ---- whether it is a git directory ---- */

static int no_repository(const struct repo *r, const char *why, struct error *err)
{
    _cleanup_free_ char *words = xasprintf("not a git repository: %s", why);
    return reject(r, words, err);
}

static bool is_object_name(const char *text)
{
    return strspn(text, "0123456789abcdefABCDEF") >= 40;
}

static bool names_ref(const char *head)
{
    if (!str_has_prefix(head, "ref:"))
        return is_object_name(head);
    head += strlen("ref:");
    return str_has_prefix(head + strspn(head, " \t\n\v\f\r"), REFS);
}

static int check_head(const struct repo *r, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    char target[sizeof REFS];
    struct stat st;
    if (fstatat(r->git_fd, "HEAD", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return no_repository(r, "it has no HEAD", err);
    if (S_ISLNK(st.st_mode)) { /* as the first versions of git made it */
        ssize_t n = readlinkat(r->git_fd, "HEAD", target, sizeof target);
        return n >= (ssize_t)strlen(REFS) && memcmp(target, REFS, strlen(REFS)) == 0
                   ? 0
                   : no_repository(r, "its HEAD is a link that leads to no ref", err);
    }
    if (!S_ISREG(st.st_mode))
        return no_repository(r, "its HEAD is not a file", err);
    if (tree_read(r->git_fd, "HEAD", r->git_dir, HEAD_MAX, &text, err) < 0)
        return -1;
    if (!text.len)
        return no_repository(r, "its HEAD is empty", err);
    return names_ref(text.buf) ? 0 : no_repository(r, "its HEAD names no ref and no commit", err);
}

static int check_dir(const struct repo *r, const char *name, struct error *err)
{
    struct stat st;
    const char *why = NULL;
    if (fstatat(r->common_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        why = errno == ENOENT ? "it has no directory" : "there is no way to look at its";
    else if (S_ISLNK(st.st_mode))
        return 0;
    else if (!S_ISDIR(st.st_mode))
        why = "this is not a directory in it:";
    else if (faccessat(r->common_fd, name, X_OK, AT_EACCESS) < 0)
        why = "you may not enter its directory";
    if (!why)
        return 0;
    _cleanup_free_ char *text = xasprintf("%s %s", why, name);
    return no_repository(r, text, err);
}

/* Else git would take the objects, refs and patterns of another one. */
static int check_common(const struct repo *r, struct error *err)
{
    struct stat st;
    if (r->kind == REPO_WORKTREE || fstatat(r->git_fd, "commondir", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return no_repository(
        r, "it has a commondir, which only the git directory of a linked worktree may have", err);
}

/* ---- whether its format is known ---- */

struct format {
    const char *file; /* that is read */
    intmax_t version; /* -1: it has none */
    bool bare;
    bool worktree_config;
    struct strbuf unknown, v1_only; /* names of extensions */
    char *words;                    /* why a value is refused; owned */
};

static void cleanup_format(struct format *f)
{
    strbuf_free(&f->unknown);
    strbuf_free(&f->v1_only);
    free(f->words);
}

/* A number with a unit. 0, or errno: EINVAL, ERANGE. */
static int read_int(const char *text, intmax_t *out)
{
    static const char units[] = "kmg";
    char *end;
    errno = 0;
    intmax_t n = strtoimax(text, &end, 0);
    if (errno || end == text)
        return errno == ERANGE ? ERANGE : EINVAL;
    if (*end) {
        const char *unit = strchr(units, *end | 0x20);
        if (!unit || end[1])
            return EINVAL;
        for (const char *u = units; u <= unit; u++)
            n = n > INT_MAX || n < INT_MIN ? n : n * 1024;
    }
    *out = n;
    return n > INT_MAX || n < INT_MIN ? ERANGE : 0;
}

static int take_version(struct format *f, const char *name, const char *value)
{
    int bad = read_int(value ? value : "", &f->version);
    if (!bad)
        return 0;
    f->words = xasprintf("bad numeric config value '%s' for '%s' in file %s: %s",
                         value ? value : "", name, f->file,
                         bad == ERANGE ? "out of range" : "invalid unit");
    return -1;
}

static int take_bool(struct format *f, const char *name, const char *value, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on"};
    static const char *const no[] = {"false", "no", "off", ""};
    intmax_t n = 0;
    *out = !value;
    if (!value)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcasecmp(value, yes[i]) == 0) {
            *out = true;
            return 0;
        }
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (strcasecmp(value, no[i]) == 0)
            return 0;
    if (read_int(value, &n) == 0) {
        *out = n != 0;
        return 0;
    }
    f->words = xasprintf("bad boolean config value '%s' for '%s'", value, name);
    return -1;
}

static int take_word(struct format *f, const char *name, const char *value, const char *const *of)
{
    if (!value) {
        f->words = xasprintf("missing value for '%s' in file %s", name, f->file);
        return -1;
    }
    while (*of && !str_eq(*of, value))
        of++;
    if (*of)
        return 0;
    f->words = xasprintf("invalid value for '%s': '%s' in file %s", name, value, f->file);
    return -1;
}

static void add_name(struct strbuf *names, const char *name)
{
    if (names->len < NAMES_SHOWN_MAX)
        strbuf_addf(names, " %s", name);
}

static int take_extension(struct format *f, const char *name, const char *extension,
                          const char *value)
{
    static const char *const hashes[] = {"sha1", "sha256", NULL};
    static const char *const stores[] = {"files", "reftable", NULL};
    static const struct {
        const char *name;
        bool v1_only;
        bool is_bool;
        const char *const *words;
    } known[] = {
        {"noop", false, false, NULL},
        {"preciousobjects", false, true, NULL},
        {"partialclone", false, false, NULL},
        {"worktreeconfig", false, true, NULL},
        {"noop-v1", true, false, NULL},
        {"objectformat", true, false, hashes},
        {"compatobjectformat", true, false, hashes},
        {"refstorage", true, false, stores},
        {"relativeworktrees", true, true, NULL},
        {"submodulepathconfig", true, true, NULL},
    };
    size_t i = 0;
    bool set = false;
    while (i < ARRAY_LEN(known) && !str_eq(known[i].name, extension))
        i++;
    if (i == ARRAY_LEN(known)) {
        add_name(&f->unknown, extension);
        return 0;
    }
    if (known[i].v1_only)
        add_name(&f->v1_only, extension);
    if (known[i].words)
        return take_word(f, name, value, known[i].words);
    if (known[i].is_bool && take_bool(f, name, value, &set) < 0)
        return -1;
    if (str_eq(extension, "worktreeconfig"))
        f->worktree_config = set;
    return 0;
}

static int take_bare(void *ctx, const char *name, const char *value)
{
    struct format *f = ctx;
    return str_eq(name, "core.bare") ? take_bool(f, name, value, &f->bare) : 0;
}

static int take_setting(void *ctx, const char *name, const char *value)
{
    static const char section[] = "extensions.";
    if (str_eq(name, "core.repositoryformatversion"))
        return take_version(ctx, name, value);
    if (str_has_prefix(name, section))
        return take_extension(ctx, name, name + sizeof section - 1, value);
    return take_bare(ctx, name, value);
}

/* No such file is one without settings. */
static int read_config(struct repo *r, int dirfd, const char *name, gitconfig_fn *take,
                       struct format *f, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s/%s", r->git_dir, name);
    _cleanup_free_ char *words = NULL;
    f->file = path;
    if (tree_read(dirfd, name, r->git_dir, CONFIG_MAX, &text, err) < 0)
        return -1;
    r->config_bytes += text.len;
    int line = gitconfig_read(text.buf, text.len, take, f);
    if (line == 0)
        return 0;
    if (line > 0)
        words = xasprintf("bad config line %d in file %s", line, path);
    return reject(r, words ? words : f->words, err);
}

static int check_format(const struct repo *r, const struct format *f, struct error *err)
{
    _cleanup_free_ char *words = NULL;
    if (f->version > VERSION_MAX)
        words = xasprintf("Expected git repo version <= %d, found %jd", VERSION_MAX, f->version);
    else if (f->version == 1 && f->unknown.len)
        words = xasprintf("unknown repository extension found:%s", f->unknown.buf);
    else if (f->version == 0 && f->v1_only.len)
        words = xasprintf("repo version is 0, but v1-only extension found:%s", f->v1_only.buf);
    return words ? reject(r, words, err) : 0;
}

int repo_check(struct repo *r, struct error *err)
{
    _cleanup_(cleanup_format) struct format f = {
        .version = -1, .unknown = STRBUF_INIT, .v1_only = STRBUF_INIT};
    r->config_bytes = 0;
    if (check_head(r, err) < 0 || check_common(r, err) < 0 || check_dir(r, "objects", err) < 0 ||
        check_dir(r, "refs", err) < 0 ||
        read_config(r, r->common_fd, "config", take_setting, &f, err) < 0 ||
        check_format(r, &f, err) < 0)
        return -1;
    /* Without a version git takes no setting for its format. That of all worktrees tells about a
     * linked one only where each has its own, too. */
    if (f.version == -1 || (r->kind == REPO_WORKTREE && !f.worktree_config))
        return 0;
    if (f.worktree_config && read_config(r, r->git_fd, "config.worktree", take_bare, &f, err) < 0)
        return -1;
    return f.bare ? reject(r, "this operation must be run in a work tree (core.bare is true)", err)
                  : 0;
}
