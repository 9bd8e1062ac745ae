#include "sync/survey.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A guest in which more has changed is synced as a whole. The number of names counts by itself:
 * they can be one byte long, and each costs a pointer and its part in the sorting. */
enum {
    ANSWER_MAX = 16 << 20,
    NAMES_MAX = 1 << 18,
    MOUNTS_MAX = 1000,
    ANSWER_LARGE = 64 * 1024,
};

void survey_marker(struct strbuf *out, const char *remote)
{
    const char *slash = strrchr(remote, '/');
    const char *name = slash ? slash + 1 : remote;
    strbuf_add(out, remote, (size_t)(name - remote));
    strbuf_addf(out, ".crabbox-sync-%s", name);
}

/* Three lists of names, each ended by an empty one: what changed, what is in the directories that
 * changed, and where something is mounted. Then what .git was made from. No marker of ours, one
 * from the future (somebody has set the clock back), or a find without -cnewer: nothing is known.
 * The kernel writes a blank in the name of a mount point as \040. */
static void survey_command(struct strbuf *out, const struct manifest *m)
{
    _cleanup_strbuf_ struct strbuf marker = STRBUF_INIT;
    survey_marker(&marker, m->remote);
    strbuf_adds(out, "m=");
    strbuf_add_shell_quoted(out, marker.buf);
    strbuf_addf(out, "; [ \"$(cat \"$m\" 2>/dev/null)\" = %s ] && cd -- ", m->id);
    strbuf_add_shell_quoted(out, m->remote);
    strbuf_adds(out,
                " && [ ! \"$m\" -nt /proc/$$ ]"
                " && find \"$m\" -cnewer \"$m\" >/dev/null 2>&1 || exit 1; "
                "{ find . -path ./.git -prune -o -cnewer \"$m\" -print0; printf '\\0'; "
                "find . -path ./.git -prune -o -type d -cnewer \"$m\" -exec sh -c 'exec find "
                "\"$@\" -mindepth 1 "
                "-maxdepth 1 -print0' sh {} +; printf '\\0'; top=$(pwd -P); "
                "while read -r _ _ _ _ p _; do case $p in *\\\\*) p=$(printf %b "
                "\"$(printf '%s\\n' \"$p\" | sed 's/\\\\/\\\\0/g')\") ;; esac; "
                "case $p in \"$top\"/*) printf '%s\\0' \"${p#\"$top\"/}\" ;; esac; "
                "done </proc/self/mountinfo; printf '\\0'; cat .git/crabbox-fc; } 2>/dev/null; :");
}

void survey_names_free(struct survey_names *s)
{
    free(s->text);
    free(s->v);
    *s = (struct survey_names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_have(const struct survey_names *s, const char *name)
{
    return s->n && bsearch(&name, s->v, s->n, sizeof *s->v, by_name);
}

/* Takes the names up to the empty one; false if there are too many. "." is the work directory
 * itself: "". */
static bool names_read(struct survey_names *s, const char **at, const char *end)
{
    size_t alloc = 0;
    while (*at < end) {
        const char *name = *at;
        size_t len = strnlen(name, (size_t)(end - name));
        *at = name + len + 1;
        if (len == 0 || name + len == end)
            break;
        if (str_has_prefix(name, "./"))
            name += 2;
        else if (str_eq(name, "."))
            name += 1;
        if (s->n == NAMES_MAX)
            return false;
        if (s->n == alloc) {
            alloc = alloc ? 2 * alloc : 64;
            s->v = xrealloc(s->v, alloc * sizeof *s->v);
        }
        s->v[s->n++] = name;
    }
    if (s->n)
        qsort(s->v, s->n, sizeof *s->v, by_name);
    return true;
}

/* Whether the path, or a directory on the way to it, is one of the names. `path` is cut up and
 * restored. */
static bool names_cover(const struct survey_names *s, char *path)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool hit = names_have(s, path);
        *slash = '/';
        if (hit)
            return true;
    }
    return names_have(s, path);
}

/* Whether the path, or a directory on the way to it, has gone from a directory that changed. `path`
 * is cut up and restored. */
static bool is_missing(const struct survey_names *changed, const struct survey_names *present,
                       char *path)
{
    for (size_t above = 0;;) {
        char *slash = strchr(path + above + (above != 0), '/');
        char saved = path[above];
        path[above] = '\0';
        bool above_changed = names_have(changed, path);
        path[above] = saved;
        if (slash)
            *slash = '\0';
        bool gone = above_changed && !names_have(present, path);
        if (slash)
            *slash = '/';
        if (gone || !slash)
            return gone;
        above = (size_t)(slash - path);
    }
}

bool survey_apply(struct manifest *m, const char *answer, size_t len, struct survey_said *said)
{
    struct survey_names *mounts = &said->mounts;
    _cleanup_(survey_names_free) struct survey_names changed = {0};
    _cleanup_(survey_names_free) struct survey_names present = {0};
    const char *at = answer;
    if (!names_read(&changed, &at, answer + len) || !names_read(&present, &at, answer + len) ||
        !names_read(mounts, &at, answer + len) || mounts->n > MOUNTS_MAX)
        return false;
    size_t left = at < answer + len ? (size_t)(answer + len - at) : 0;
    (void)str_format(said->git_id, sizeof said->git_id, "%.*s", (int)(left < 64 ? left : 64), at);
    if (!changed.n && !mounts->n)
        return true;
    for (size_t i = 0; i < m->n; i++) {
        struct manifest_entry *e = &m->entries[i];
        if (!e->dirty)
            e->dirty = names_have(&changed, e->file.path) || names_cover(mounts, e->file.path) ||
                       is_missing(&changed, &present, e->file.path);
    }
    return true;
}

int survey_guest(struct ssh_conn *c, struct manifest *m, const struct deadline *d,
                 struct survey_said *said, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    struct strbuf answer = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    io.mark = SSH_MARK_BEFORE;
    struct ssh_status st;
    survey_command(&command, m);
    io.out = &answer;
    io.out_max = ANSWER_MAX;
    int r = ssh_exec(c, command.buf, &io, d, &st, err);
    const size_t len = answer.len;
    said->mounts.text = strbuf_detach(&answer); /* it borrows names of it */
    if (r < 0)
        return error_prefix(err, "sync");
    if (!st.exited || st.code || len >= ANSWER_MAX ||
        !survey_apply(m, said->mounts.text, len, said))
        return SURVEY_LOST;
    return len >= ANSWER_LARGE ? SURVEY_LARGE : SURVEY_DONE;
}
