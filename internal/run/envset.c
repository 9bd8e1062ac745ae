/* envset.c: collects the variables for a command, and writes them as a script.
 *
 * Entries are stored as "NAME=VALUE"; a later one of the same name replaces the earlier. A file may
 * have plain lines, quoted values or NUL-separated records (`env -0`). Values are wiped before
 * their memory is freed, and messages name only the variable.
 */
#include "run/envset.h"

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/beneath.h"
#include "sys/file.h"

/* Names are looked up one by one, so that their number is the time that a line takes. */
enum { FILE_MAX = 1024 * 1024, NAME_LEN_MAX = 255, NAMES_MAX = 1000, SHOW_MAX = 60 };

/* What a shell can't be given: bash refuses to set some and makes up the value of others. */
static const char *const bash_names[] = {
    "BASHOPTS", "BASH_VERSINFO", "DIRSTACK",  "EUID", "FUNCNAME",
    "GROUPS",   "PPID",          "SHELLOPTS", "UID",  "_"};
static const char *const run_names[] = {"CRABBOX_LEASE_ID", "CRABBOX_RUN_ID", "CRABBOX_SLUG"};

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void env_set_free(struct env_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        wipe(s->entries[i]);
    free(s->entries);
    *s = (struct env_set)ENV_SET_INIT;
}

static bool name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static size_t name_length(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && name_char(s[n], n == 0))
        n++;
    return n;
}

static bool among(const char *const *names, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return true;
    return false;
}

static int check_name(const char *name, size_t len, const char *what, struct error *err)
{
    int show = (int)(len < SHOW_MAX ? len : SHOW_MAX);
    if (len > NAME_LEN_MAX)
        return error_set(err, ERR_USAGE, 0, "%s: %.*s...: a name of %zu bytes is too long", what,
                         show, name, len);
    if (among(run_names, ARRAY_LEN(run_names), name, len))
        return error_set(err, ERR_USAGE, 0, "%s: %.*s is set by each run itself", what, show, name);
    if (among(bash_names, ARRAY_LEN(bash_names), name, len))
        return error_set(err, ERR_USAGE, 0, "%s: %.*s belongs to the shell and can't be set", what,
                         show, name);
    return 0;
}

/* Index of the entry of this name, or n. */
static size_t find(const struct env_set *s, const char *name, size_t len)
{
    size_t i = 0;
    while (i < s->n && (strncmp(s->entries[i], name, len) != 0 || s->entries[i][len] != '='))
        i++;
    return i;
}

/* Takes the entry over ("NAME=VALUE"), also where it fails. */
static int put(struct env_set *s, char *entry, size_t name_len, const char *what, struct error *err)
{
    size_t i = find(s, entry, name_len);
    if (i < s->n) {
        wipe(s->entries[i]);
        s->entries[i] = entry;
        return 0;
    }
    if (s->n == NAMES_MAX) {
        wipe(entry);
        return error_set(err, ERR_USAGE, 0,
                         "%s: a run passes at most %d variables to the guest; next: leave "
                         "some out",
                         what, NAMES_MAX);
    }
    if (s->n == s->alloc) {
        s->alloc = s->alloc ? 2 * s->alloc : 16;
        s->entries = xrealloc(s->entries, s->alloc * sizeof *s->entries);
    }
    s->entries[s->n++] = entry;
    return 0;
}

static int put_value(struct env_set *s, const char *name, size_t name_len, const char *value,
                     size_t value_len, const char *what, struct error *err)
{
    char *entry = xcalloc(name_len + value_len + 2, 1);
    memcpy(entry, name, name_len);
    entry[name_len] = '=';
    memcpy(entry + name_len + 1, value, value_len);
    return put(s, entry, name_len, what, err);
}

/* The value of the name in envp, or NULL. */
static const char *look_up(const char *const *envp, const char *name, size_t len)
{
    for (; envp && *envp; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    return NULL;
}

static int put_from(struct env_set *s, const char *name, size_t len, const char *const *envp,
                    const char *what, struct error *err)
{
    const char *value = look_up(envp, name, len);
    if (!value)
        return error_set(err, ERR_USAGE, 0,
                         "%s: %.*s is not set here; set it, or give its value as NAME=VALUE", what,
                         (int)len, name);
    return put_value(s, name, len, value, strlen(value), what, err);
}

int env_set_allow(struct env_set *s, const char *names, const char *const *envp, struct error *err)
{
    while (*names) {
        size_t len = strcspn(names, ",");
        const char *value = look_up(envp, names, len);
        if (len && value) {
            if (check_name(names, len, "run.allowEnv", err) < 0 ||
                put_value(s, names, len, value, strlen(value), "run.allowEnv", err) < 0)
                return -1;
        }
        names += len;
        names += *names == ',';
    }
    return 0;
}

/* "NAME=VALUE" or "NAME" of this length. The value is never shown. */
static int put_record(struct env_set *s, const char *text, size_t len, const char *const *envp,
                      const char *what, struct error *err)
{
    size_t name = name_length(text, len);
    if (!name || (name < len && text[name] != '='))
        return error_set(err, ERR_USAGE, 0,
                         "%s: not NAME=VALUE or NAME, where a name is made of "
                         "letters, digits and _",
                         what);
    if (check_name(text, name, what, err) < 0)
        return -1;
    if (name == len)
        return put_from(s, text, name, envp, what, err);
    return put_value(s, text, name, text + name + 1, len - name - 1, what, err);
}

int env_set_option(struct env_set *s, const char *text, const char *const *envp, struct error *err)
{
    return put_record(s, text, strlen(text), envp, "--env", err);
}

/* ---- files ---- */

/* A file while it is read. */
struct reader {
    const char *at, *end;
    unsigned line;
    const char *what, *allow;
    const char *const *envp;
};

static int bad_line(const struct reader *r, unsigned line, const char *why, struct error *err)
{
    return error_set(err, ERR_USAGE, 0, "%s:%u: %s", r->what, line, why);
}

/* What a backslash and this character stand for within double quotes; 0 if nothing. */
static char escaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '"':
    case '\\':
    case '$':
        return c;
    default:
        return '\0';
    }
}

/* The text between quotes; r->at is behind the opening one, and then behind the closing one. */
static int take_quoted(struct reader *r, char quote, struct strbuf *out, struct error *err)
{
    unsigned start = r->line;
    for (; r->at < r->end; r->at++) {
        char c = *r->at;
        if (c == quote) {
            r->at++;
            return 0;
        }
        r->line += c == '\n';
        if (c == '\\' && quote == '"') {
            c = ++r->at < r->end ? escaped(*r->at) : '\0';
            if (!c)
                return bad_line(r, r->line, "after \\ must come one of n t r \" \\ $", err);
        }
        strbuf_addc(out, c);
    }
    return bad_line(r, start, "a quote without end", err);
}

static const char *line_end(const struct reader *r)
{
    const char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
    return nl ? nl : r->end;
}

/* The rest of a line must be blank; goes to the next. */
static int finish_line(struct reader *r, struct error *err)
{
    const char *end = line_end(r);
    for (; r->at < end; r->at++)
        if (!strchr(" \t\r", *r->at))
            return bad_line(r, r->line, "text behind the closing quote", err);
    if (r->at < r->end)
        r->at++;
    r->line++;
    return 0;
}

static int read_quoted_entry(struct env_set *s, struct reader *r, const char *name, size_t len,
                             const char *where, struct error *err)
{
    struct strbuf value = STRBUF_INIT;
    char quote = *r->at++;
    int ok = take_quoted(r, quote, &value, err);
    if (ok == 0)
        ok = put_value(s, name, len, value.buf, value.len, where, err);
    explicit_bzero(value.buf, value.len);
    strbuf_free(&value);
    return ok < 0 ? -1 : finish_line(r, err);
}

/* Another user's file may pass on only variables that may go anyway. */
static int check_bare(const struct reader *r, const char *text, size_t len, struct error *err)
{
    const char *name = r->allow;
    if (!name || name_length(text, len) < len)
        return 0;
    while (*name) {
        size_t n = strcspn(name, ",");
        if (n == len && memcmp(name, text, n) == 0)
            return 0;
        name += n + (name[n] == ',');
    }
    int show = (int)(len < SHOW_MAX ? len : SHOW_MAX);
    return error_set(err, ERR_USAGE, 0,
                     "%.200s:%u: %.*s without a value would pass this host's variable to the "
                     "guest, and others can write to this file; next: --env %.*s if you mean to "
                     "pass it on",
                     r->what, r->line, show, text, show, text);
}

static int read_entry(struct env_set *s, struct reader *r, struct error *err)
{
    const char *end = line_end(r);
    char where[SHOW_MAX * 5];
    while (r->at < end && strchr(" \t", *r->at))
        r->at++;
    if (end - r->at > 7 && memcmp(r->at, "export ", 7) == 0)
        r->at += 7;
    const char *stop = end > r->at && end[-1] == '\r' ? end - 1 : end;
    if (r->at >= stop || *r->at == '#') {
        r->at = end;
        return finish_line(r, err);
    }
    (void)str_format(where, sizeof where, "%.200s:%u", r->what, r->line);
    size_t len = name_length(r->at, (size_t)(stop - r->at));
    if (len && stop - r->at > (ptrdiff_t)len + 1 && r->at[len] == '=' &&
        strchr("'\"", r->at[len + 1])) {
        const char *name = r->at;
        if (check_name(name, len, where, err) < 0)
            return -1;
        r->at += len + 1;
        return read_quoted_entry(s, r, name, len, where, err);
    }
    if (check_bare(r, r->at, (size_t)(stop - r->at), err) < 0 ||
        put_record(s, r->at, (size_t)(stop - r->at), r->envp, where, err) < 0)
        return -1;
    r->at = end;
    return finish_line(r, err);
}

/* What `env -0` prints. */
static int parse_records(struct env_set *s, const char *text, size_t len, const char *what,
                         struct error *err)
{
    const char *end = text + len;
    while (text < end) {
        size_t n = strnlen(text, (size_t)(end - text));
        if (n && put_record(s, text, n, NULL, what, err) < 0)
            return -1;
        text += n + 1;
    }
    return 0;
}

int env_set_parse(struct env_set *s, const char *text, size_t len, const char *what,
                  const char *allow, const char *const *envp, struct error *err)
{
    struct reader r = {text, text + len, 1, what, allow, envp};
    if (memchr(text, '\0', len))
        return parse_records(s, text, len, what, err);
    while (r.at < r.end)
        if (read_entry(s, &r, err) < 0)
            return -1;
    return 0;
}

int env_set_file(struct env_set *s, const char *path, const char *allow, const char *const *envp,
                 const struct deadline *d, struct error *err)
{
    bool others;
    struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int fd = beneath_input("--env-file", path, &others, err);
    if (fd < 0)
        return -1;
    int r = fd_read_all_by(fd, FILE_MAX, path, d, &text, err);
    if (r == 0)
        r = env_set_parse(s, text.buf, text.len, path, others ? allow : NULL, envp, err);
    explicit_bzero(text.buf, text.len);
    strbuf_free(&text);
    return r;
}

/* ---- use ---- */

void env_set_script(const struct env_set *s, struct strbuf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *eq = strchr(s->entries[i], '=');
        strbuf_addf(out, "export %.*s=", (int)(eq - s->entries[i]), s->entries[i]);
        strbuf_add_shell_quoted(out, eq + 1);
        strbuf_adds(out, " || exit\n");
    }
}

const char *env_set_get(const struct env_set *s, const char *name)
{
    size_t len = strlen(name), i = find(s, name, len);
    return i < s->n ? s->entries[i] + len + 1 : NULL;
}
