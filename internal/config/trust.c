/* trust.c: the trust store's file, and the verb's operations on it. */
#include "config/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/text.h"
#include "config/source.h"
#include "config/values.h"
#include "config/yaml.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/lock.h"

#define STORE_NAME   CONFIG_TRUST_NAME
#define LOCK_NAME    "trust.lock"
#define LOCK_WAIT_MS 5000

enum { VALUE_SHOWN_MAX = 1000 }; /* bytes of one value: a long one must not scroll others away */

static void cleanup_source(struct source_file *f)
{
    strbuf_free(&f->text);
}

/* Reads the store's file, after checking that nobody else can write it. A missing file is an empty
 * store. */
static int read_store(const char *dir, const char *const *envp, struct trust_store *out,
                      struct error *err)
{
    char path[PATH_MAX];
    *out = (struct trust_store)TRUST_STORE_INIT;
    if (str_format(path, sizeof path, "%s/" STORE_NAME, dir) < 0)
        return error_set(err, ERR_TRUST, ENAMETOOLONG, "%s/" STORE_NAME, SHOWN(dir));
    _cleanup_(cleanup_source) struct source_file file = SOURCE_FILE_INIT;
    if (source_read(SRC_USER, path, "", envp, &file, err) < 0)
        return -1;
    if (!file.found)
        return 0;
    if (trust_store_parse(file.text.buf, file.text.len, SHOWN(path), out, err) == 0)
        return 0;
    return error_append(err, "; next: fix the file or remove it, and trust again what it named");
}

/* Finds the store's directory. It is refused here if the next config_load would refuse it; `change`
 * makes this stricter. */
static int find_store(const char *const *envp, bool change, char dir[static PATH_MAX],
                      struct error *err)
{
    if (source_user_dir(envp, dir, err) < 0)
        return -1;
    if (!*dir)
        return error_set(err, ERR_TRUST, 0,
                         "no place for the trust store: neither XDG_CONFIG_HOME nor HOME is set");
    const char *xdg = env_get(envp, "XDG_CONFIG_HOME");
    if (change && !(xdg && *xdg) && dir_check_home(env_get(envp, "HOME"), err) < 0)
        return error_add_next(err, "set HOME to your own");
    return source_check_user_dir(dir, ".", change, envp, err);
}

static struct trust_entry *find_entry(const struct trust_store *s, const char *path)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->entries[i].path, path))
            return &s->entries[i];
    return NULL;
}

int trust_check(const char *const *envp, const char *path, const char *sha256, bool *trusted,
                int64_t *other_at, struct error *err)
{
    char dir[PATH_MAX];
    _cleanup_(trust_store_free) struct trust_store store = TRUST_STORE_INIT;
    *trusted = false;
    *other_at = -1;
    if (source_user_dir(envp, dir, err) < 0)
        return -1;
    if (!*dir)
        return 0;
    if (read_store(dir, envp, &store, err) < 0)
        return -1;
    const struct trust_entry *e = find_entry(&store, path);
    *trusted = e && str_eq(e->sha256, sha256);
    if (e && !*trusted)
        *other_at = e->added;
    return 0;
}

int trust_list(const char *const *envp, struct trust_store *out, struct error *err)
{
    char dir[PATH_MAX];
    *out = (struct trust_store)TRUST_STORE_INIT;
    if (find_store(envp, false, dir, err) < 0)
        return -1;
    return read_store(dir, envp, out, err);
}

/* Refuses a path through a link of a tree: such a link could choose which file is meant. */
static int check_typed(const char *path, struct error *err)
{
    struct worktree_tops tops;
    struct stat st;
    char link[PATH_MAX];
    _cleanup_free_ char *in = xasprintf("%s/" CONFIG_REPO_NAME, path);
    if (source_tops(".", &tops, err) < 0)
        return -1;
    if (worktree_look(in, &tops, &st, link) >= 0 || !*link)
        return 0;
    return error_set(err, ERR_USAGE, 0,
                     "%s: %s is a symbolic link in the working tree, and such a link may lead "
                     "anywhere; next: name the real path",
                     SHOWN(path), SHOWN(link));
}

int trust_find(const char *cwd, const char *arg, char out[static PATH_MAX], struct error *err)
{
    _cleanup_(source_repo_free) struct source_repo repo = SOURCE_REPO_INIT;
    struct stat st;
    char path[PATH_MAX], dir[PATH_MAX];
    if (!arg) {
        if (source_find_repo(cwd, &repo, err) < 0)
            return -1;
        if (!*repo.file)
            return error_set(err, ERR_NOT_FOUND, 0, "no " CONFIG_REPO_NAME " here (%s)",
                             SHOWN(repo.here));
        (void)str_copy(out, PATH_MAX, repo.file);
        return 0;
    }
    if (str_format(path, sizeof path, "%s%s%s", *arg == '/' ? "" : cwd, *arg == '/' ? "" : "/",
                   arg) < 0)
        return error_set(err, ERR_NOT_FOUND, ENAMETOOLONG, "%s", arg);
    if (check_typed(path, err) < 0)
        return -1;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    char *slash = strrchr(path, '/');
    if (!is_dir && !str_eq(slash + 1, CONFIG_REPO_NAME))
        return error_set(err, ERR_NOT_FOUND, 0,
                         "%s: only files named " CONFIG_REPO_NAME " are ever trusted", SHOWN(arg));
    if (!is_dir)
        slash[slash == path ? 1 : 0] = '\0';
    /* A directory that no longer exists has no real path. Its file can still be revoked by the path
     * as written. */
    if (!realpath(path, dir))
        (void)str_copy(dir, sizeof dir, path);
    if (str_format(out, PATH_MAX, "%s/" CONFIG_REPO_NAME, str_eq(dir, "/") ? "" : dir) < 0)
        return error_set(err, ERR_NOT_FOUND, ENAMETOOLONG, "%s", arg);
    return 0;
}

/* ---- changing the store ---- */

/* The store's directory (made if necessary), its lock, and the current content of the store. */
struct open_store {
    int dirfd;
    int lock;
    struct trust_store store;
    struct caller_before before; /* if root changes a store of the sudo caller */
};

static void close_store(struct open_store *s)
{
    cleanup_close(&s->lock);
    cleanup_close(&s->dirfd);
    trust_store_free(&s->store);
    caller_back(&s->before);
}

static int open_store(const char *const *envp, struct open_store *s, struct error *err)
{
    char dir[PATH_MAX];
    struct deadline d = deadline_in_ms(LOCK_WAIT_MS);
    if (find_store(envp, true, dir, err) < 0 || source_check_dir(dir, envp, err) < 0 ||
        source_as_caller(dir, &s->before, err) < 0 || dir_make_all(dir, 0700, err) < 0)
        return -1;
    s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dirfd < 0)
        return error_set(err, ERR_TRUST, errno, "open %s", SHOWN(dir));
    s->lock = lock_wait(s->dirfd, LOCK_NAME, true, &d, err);
    if (s->lock < 0)
        return -1;
    return read_store(dir, envp, &s->store, err);
}

static int write_store(const struct open_store *s, struct error *err)
{
    _cleanup_free_ char *text = trust_store_print(&s->store);
    return file_write_atomic(s->dirfd, STORE_NAME, text, strlen(text), 0600, err);
}

/* Adds or replaces the entry of a path. */
static int put_entry(struct trust_store *s, const char *path, const char *sha256, struct error *err)
{
    struct trust_entry *e = find_entry(s, path);
    if (!e) {
        if (s->n >= TRUST_ENTRIES_MAX)
            return error_set(err, ERR_TRUST, 0, "the trust store is full: revoke some entries");
        s->entries = xrealloc(s->entries, (s->n + 1) * sizeof *s->entries);
        e = &s->entries[s->n++];
        e->path = xstrdup(path);
    }
    (void)str_copy(e->sha256, sizeof e->sha256, sha256);
    e->added = clock_unix_s();
    return 0;
}

/* The value of `key` in the user's or the system's file; owned. NULL if the file does not set it or
 * can't be read. That is no error here: config_load reports it, and this has to work when
 * config_load refuses. */
static char *value_in(const char *path, const struct config_key *key, const char *const *envp)
{
    const struct value_ctx ctx = {.home = env_get(envp, "HOME"), .cwd = NULL};
    _cleanup_(cleanup_source) struct source_file file = SOURCE_FILE_INIT;
    _cleanup_(config_doc_free) struct config_doc doc = {.n_entries = 0};
    if (source_read(SRC_USER, path, "", envp, &file, NULL) < 0 || !file.found ||
        config_parse_yaml(path, file.text.buf, file.text.len, true, &ctx, &doc, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < doc.n_entries; i++)
        if (doc.entries[i].key == key)
            return xstrdup(doc.entries[i].value);
    return NULL;
}

/* Adds the user's patterns that have no effect any more, because the patterns of a trusted file
 * replace them. */
static void add_replaced(struct strbuf *keys, const struct config_entry *e, const char *const *envp)
{
    char dir[PATH_MAX];
    const char *sep = "; no longer left out by yours: ";
    if (source_user_dir(envp, dir, NULL) < 0)
        return;
    _cleanup_free_ char *path = xasprintf("%s/" CONFIG_USER_NAME, dir);
    _cleanup_free_ char *own = *dir ? value_in(path, e->key, envp) : NULL;
    if (!own)
        own = value_in(CONFIG_SYSTEM_FILE, e->key, envp);
    for (const char *at = own ? own : ""; *at;) {
        const char *end = strchrnul(at, e->key->separator);
        size_t n = (size_t)(end - at);
        _cleanup_free_ char *item = xasprintf("%.*s", (int)n, at);
        if (!value_has_item(e->key, e->value, at, n)) {
            strbuf_adds(keys, sep);
            text_add(keys, item);
            sep = ", ";
        }
        at = *end ? end + 1 : end;
    }
}

/* Adds one line for the key, whatever its value contains: the user decides by these lines. */
static void add_key(struct strbuf *keys, const struct config_entry *e, const char *const *envp)
{
    char shown[VALUE_SHOWN_MAX];
    _cleanup_strbuf_ struct strbuf whole = STRBUF_INIT;
    text_add(&whole, e->value);
    text_copy(shown, sizeof shown, e->value);
    strbuf_addf(keys, "%s = %s", e->key->name, shown);
    if (whole.len >= sizeof shown) /* the rest is for the user to judge, too */
        strbuf_addf(keys, " (%zu bytes in all: read the file)", whole.len);
    strbuf_addf(keys, " (line %zu)", e->line);
    if (e->key->rule == RULE_PATTERNS)
        add_replaced(keys, e, envp);
    strbuf_addc(keys, '\n');
}

/* Lists the keys that need trust, for the user to read. */
static int describe(const char *path, const struct source_file *file, const char *const *envp,
                    struct strbuf *keys, struct error *err)
{
    const struct value_ctx ctx = {.home = env_get(envp, "HOME"), .cwd = NULL};
    _cleanup_(config_doc_free) struct config_doc doc;
    if (config_parse_yaml(path, file->text.buf, file->text.len, false, &ctx, &doc, err) < 0)
        return -1;
    for (size_t i = 0; i < doc.n_entries; i++) {
        const struct config_entry *e = &doc.entries[i];
        if (config_key_is_judged(e->key))
            add_key(keys, e, envp);
    }
    return 0;
}

/* Opens the directory of the file `path` and checks that this is still its real path, so that the
 * entry names the file that is read. The owner of a directory above could have replaced it. */
static int open_dir_of(const char *path, struct error *err)
{
    _cleanup_free_ char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (!slash)
        return error_set(err, ERR_INTERNAL, 0, "%s is not absolute", SHOWN(path));
    slash[slash == dir] = '\0';
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(err, ERR_NOT_FOUND, 0, "no such file: %s", SHOWN(path));
    _cleanup_free_ char *name = fd < 0 ? NULL : fd_path(fd);
    if (!name)
        return error_set(err, ERR_TRUST, errno, "open %s", SHOWN(dir));
    if (!str_eq(name, dir))
        return error_set(err, ERR_TRUST, 0,
                         "%s was moved or replaced while it was read; next: find out by whom, then "
                         "try again",
                         SHOWN(dir));
    return TAKE_FD(fd);
}

int trust_add(const char *const *envp, const char *path, const char *expected,
              struct trust_report *out, struct error *err)
{
    _cleanup_(cleanup_source) struct source_file file = SOURCE_FILE_INIT;
    _cleanup_(close_store) struct open_store s = {.dirfd = -1, .lock = -1};
    _cleanup_close_ int dir_fd = open_dir_of(path, err);
    if (dir_fd < 0 || source_read_repo(dir_fd, path, envp, &file, err) < 0)
        return -1;
    if (!file.found)
        return error_set(err, ERR_NOT_FOUND, 0, "no such file: %s", SHOWN(path));
    (void)str_copy(out->path, sizeof out->path, path);
    memcpy(out->sha256, file.sha256, sizeof out->sha256);
    if (expected && !str_eq(expected, file.sha256))
        return error_set(err, ERR_TRUST, 0,
                         "%s has the sha256 %s, not the one you gave; it changed "
                         "since you read it, or you read another file",
                         SHOWN(path), file.sha256);
    if (describe(path, &file, envp, &out->keys, err) < 0 || open_store(envp, &s, err) < 0 ||
        put_entry(&s.store, path, file.sha256, err) < 0)
        return -1;
    return write_store(&s, err);
}

int trust_revoke(const char *const *envp, const char *path, bool *removed, struct error *err)
{
    _cleanup_(close_store) struct open_store s = {.dirfd = -1, .lock = -1};
    *removed = false;
    if (open_store(envp, &s, err) < 0)
        return -1;
    struct trust_entry *e = find_entry(&s.store, path);
    if (!e)
        return 0;
    free(e->path);
    *e = s.store.entries[--s.store.n];
    *removed = true;
    return write_store(&s, err);
}

/* ---- showing it ---- */

const char *trust_entry_state(const struct trust_entry *e)
{
    static const char *const no_env[] = {NULL};
    _cleanup_(cleanup_source) struct source_file file = SOURCE_FILE_INIT;
    if (source_read(SRC_REPO, e->path, "", no_env, &file, NULL) < 0)
        return "unreadable";
    if (!file.found)
        return "missing";
    return str_eq(file.sha256, e->sha256) ? "trusted" : "changed";
}

void trust_list_text(const struct trust_store *s, struct strbuf *out)
{
    char when[STR_UTC_SIZE];
    for (size_t i = 0; i < s->n; i++) {
        const struct trust_entry *e = &s->entries[i];
        char shown[512];
        text_copy(shown, sizeof shown, e->path);
        str_utc(e->added, when);
        strbuf_addf(out, "%-10s  %.12s  %s  %s\n", trust_entry_state(e), e->sha256, when, shown);
    }
}

cJSON *trust_list_json(const struct trust_store *s)
{
    char when[STR_UTC_SIZE];
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < s->n; i++) {
        const struct trust_entry *e = &s->entries[i];
        cJSON *j = cJSON_CreateObject();
        str_utc(e->added, when);
        (void)cJSON_AddStringToObject(j, "path", e->path);
        (void)cJSON_AddStringToObject(j, "sha256", e->sha256);
        (void)cJSON_AddStringToObject(j, "added", when);
        (void)cJSON_AddStringToObject(j, "state", trust_entry_state(e));
        (void)cJSON_AddItemToArray(list, j);
    }
    return list;
}

void trust_report_text(const struct trust_report *r, struct strbuf *out)
{
    char shown[512];
    text_copy(shown, sizeof shown, r->path);
    strbuf_addf(out, "trusted %s\nsha256 %s\n", shown, r->sha256);
    strbuf_adds(out, r->keys.len ? r->keys.buf : "it sets no key that needs trust\n");
}
