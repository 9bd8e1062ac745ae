/* delete.c: taking away in the guest what an earlier sync has put there, and what stands in the way
 * of the next one.
 *
 * The guest's shell reads a script from its standard input, so that neither the number nor the
 * names of the files are limited by an argument list. Each directory is entered with `cd -P` and
 * left alone if that leads elsewhere than its name says: then something on the way is a symlink.
 *
 * Commands in the guest leave files of root's, directories without rights, immutable files and
 * mounts. The plain way comes first; only what it leaves is taken by force: with rights, with sudo
 * if the guest allows it, without attributes, and unmounted. What still stays is named.
 */
#include <string.h>

#include "base/cleanup.h"
#include "sync/push.h"
#include "sync/survey.h"

enum { NAMES_A_CALL = 100 };

/* ---- the guest's side ---- */

/* root COMMAND...: as root. mounts DIR: the mount points at or below it, as the kernel writes them,
 * the deepest first. zap PATH: removes it, whatever it is, with all below it. reach DIR: makes it
 * and all above it directories that can be entered. mine DIR: makes it one that its user can use.
 */
static const char by_force[] =
    "root() { if [ \"$(id -u)\" = 0 ]; then \"$@\"; else sudo -n -- \"$@\"; fi; }\n"
    "there() { [ -e \"$1\" ] || [ -L \"$1\" ]; }\n"
    "plain() { printf %b \"$(printf '%s\\n' \"$1\" | sed 's/\\\\/\\\\0/g')\"; }\n"
    "mounts() { while read -r _ _ _ _ m _; do\n"
    "        case $m in *\\\\*) p=$(plain \"$m\") ;; *) p=$m ;; esac\n"
    "        case $p in \"$1\" | \"$1\"/*) printf '%s\\n' \"$m\" ;; esac\n"
    "    done </proc/self/mountinfo | sort -r; }\n"
    "unmount() { root umount -- \"$1\" 2>/dev/null || root umount -l -- \"$1\"; }\n"
    "zap() {\n"
    "    there \"$1\" || return 0\n"
    "    if [ -d \"$1\" ] && [ ! -L \"$1\" ]; then\n"
    "        full=$(cd -P -- \"$1\" 2>/dev/null && pwd -P) || "
    "full=$(cd -P -- \"${1%/*}\" && pwd -P)/${1##*/}\n"
    "    else full=$(cd -P -- \"${1%/*}\" && pwd -P)/${1##*/}; fi\n"
    "    if [ \"$(mounts \"$full\")\" ]; then\n"
    "        mounts \"$full\" | while read -r m; do unmount \"$(plain \"$m\")\"; done\n"
    /* what is mounted is not the tree's to remove */
    "        [ ! \"$(mounts \"$full\")\" ] || { printf \"can't be unmounted: %s\\n\" \"$full\" "
    ">&2; "
    "exit 1; }\n"
    "    fi\n"
    "    rm -rf -- \"$1\" 2>/dev/null; there \"$1\" || return 0\n"
    "    chmod -R u+rwX -- \"$1\" 2>/dev/null; rm -rf -- \"$1\" 2>/dev/null\n"
    "    there \"$1\" || return 0\n"
    "    { root chattr -f -i -a -- \"${1%/*}\"; root chattr -f -R -i -a -- \"$1\"; } "
    ">/dev/null 2>&1\n"
    "    root rm -rf -- \"$1\" >&2; there \"$1\" || return 0\n"
    "    printf \"can't be removed: %s\\n\" \"$full\" >&2\n"
    "    exit 1\n"
    "}\n"
    /* of what is above the lease's own directory nothing is removed */
    "reach() {\n"
    "    case $1 in */?*) [ \"${1%/*}\" = '' ] || reach \"${1%/*}\" ;; esac\n"
    "    if [ ! -d \"$1\" ]; then\n"
    "        ! there \"$1\" || { printf 'is no directory: %s\\n' \"$1\" >&2; exit 1; }\n"
    "        mkdir -- \"$1\" 2>/dev/null || { root mkdir -- \"$1\" && "
    "root chown -- \"$(id -u):$(id -g)\" \"$1\"; } || "
    "{ printf \"can't be made: %s\\n\" \"$1\" >&2; exit 1; }\n"
    "    fi\n"
    "    [ -x \"$1\" ] || chmod u+rwx -- \"$1\" 2>/dev/null\n"
    "    [ -x \"$1\" ] || root chmod a+rx -- \"$1\" || "
    "{ printf \"can't be entered: %s\\n\" \"$1\" >&2; exit 1; }\n"
    "}\n"
    "usable() { [ -r \"$1\" ] && [ -w \"$1\" ] && [ -x \"$1\" ]; }\n"
    "mine() {\n"
    "    usable \"$1\" && return\n"
    "    chmod u+rwx -- \"$1\" 2>/dev/null; usable \"$1\" && return\n"
    "    { root chattr -f -i -a -- \"$1\"; root chown -- \"$(id -u):$(id -g)\" \"$1\"; "
    "chmod u+rwx -- \"$1\"; } >/dev/null 2>&1\n"
    "    usable \"$1\" && return\n"
    "    unmount \"$1\" && chmod u+rwx -- \"$1\" && usable \"$1\" && return\n"
    "    printf \"can't be written to: %s\\n\" \"$1\" >&2\n"
    "    touch -c -- \"$1\" >&2\n" /* says why, as on a disk that is read-only */
    "    exit 1\n"
    "}\n";

/* at DIR: goes there, and only there. way DIR HOW: makes each directory on the way one that can be
 * entered; where one is none, it fails, or with HOW removes what is there instead. */
static const char in_tree[] =
    "at() { cd -P -- \"$top/$1\" 2>/dev/null && [ \"$(pwd -P)\" = \"$top${1:+/$1}\" ]; }\n"
    "way() {\n"
    "    w=$top rest=$1\n"
    "    mine \"$w\"\n"
    "    while [ \"$rest\" ]; do\n"
    "        w=$w/${rest%%/*}\n"
    "        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac\n"
    "        if [ -d \"$w\" ] && [ ! -L \"$w\" ]; then mine \"$w\"\n"
    "        elif [ \"$2\" ]; then zap \"$w\"; return\n"
    "        else return 1; fi\n"
    "    done\n"
    "}\n"
    "del() {\n"
    "    at \"$1\" || { way \"$1\" && at \"$1\"; } || return 0\n"
    "    shift\n"
    "    rm -f -- \"$@\" 2>/dev/null && return\n"
    "    for f; do\n"
    "        rm -f -- \"$f\" 2>/dev/null && continue\n"
    "        if [ ! -d \"$f\" ] || [ -L \"$f\" ]; then zap \"$f\"\n"
    "        else rmdir -- \"$f\" 2>/dev/null; fi\n"
    "    done\n"
    "}\n"
    "gone() { if at \"$1\"; then at '' && rmdir -- \"./$1\" 2>/dev/null; fi; }\n"
    "put() {\n"
    "    way \"$1\" force; at \"$1\" || return 0\n"
    "    shift\n"
    "    rm -f -- \"$@\" 2>/dev/null && return\n"
    "    for f; do rm -f -- \"$f\" 2>/dev/null || zap \"$f\"; done\n"
    "}\n";

static int run_script(struct ssh_conn *c, struct strbuf *s, const char *what, const char *remote,
                      const struct deadline *d, struct error *err)
{
    _cleanup_free_ char *doing = xasprintf("%s the guest's %s", what, remote);
    struct ssh_text text = {s->buf, s->len};
    struct ssh_io io = SSH_IO_INIT;
    io.source = ssh_text_next;
    io.source_ctx = &text;
    int r = ssh_command(c, "exec sh -s", &io, d, ERR_SYNC, doing, err);
    strbuf_free(s);
    if (r == 0 || !err || err->kind != ERR_SYNC)
        return r;
    return push_add_next(err, "repair it with crabbox-fc run --no-sync -- COMMAND or crabbox-fc "
                              "ssh, or take another lease");
}

/* ---- lists of files ---- */

/* Length of the directory part, 0 for a file at the top. */
static size_t dir_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* One call of `verb` for runs of files in the same directory; paths come sorted. */
static void add_calls(struct strbuf *s, const char *verb, const char *const *paths, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = dir_length(paths[i]);
        _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, paths[i]);
        strbuf_addf(s, "%s ", verb);
        strbuf_add_shell_quoted(s, dir);
        for (size_t k = 0; k < NAMES_A_CALL && i < n && dir_length(paths[i]) == len &&
                           memcmp(paths[i], paths[i - k], len) == 0;
             k++, i++) {
            strbuf_adds(s, " ./");
            strbuf_add_shell_quoted(s, paths[i] + len + (len != 0));
        }
        strbuf_addc(s, '\n');
    }
}

static int by_name_falling(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

/* Every directory above the files, children before parents; one that is not empty stays. */
static void add_rmdirs(struct strbuf *s, const char *const *paths, size_t n)
{
    char **dirs = NULL;
    size_t n_dirs = 0;
    for (size_t i = 0; i < n; i++) {
        const char *last = i ? paths[i - 1] : "";
        for (const char *slash = strchr(paths[i], '/'); slash; slash = strchr(slash + 1, '/')) {
            size_t len = (size_t)(slash - paths[i]);
            if (strncmp(last, paths[i], len + 1) == 0)
                continue; /* seen with the file before */
            dirs = xrealloc(dirs, (n_dirs + 1) * sizeof *dirs);
            dirs[n_dirs++] = xasprintf("%.*s", (int)len, paths[i]);
        }
    }
    if (n_dirs)
        qsort(dirs, n_dirs, sizeof *dirs, by_name_falling);
    for (size_t i = 0; i < n_dirs; i++) {
        strbuf_adds(s, "gone ");
        strbuf_add_shell_quoted(s, dirs[i]);
        strbuf_addc(s, '\n');
        free(dirs[i]);
    }
    free(dirs);
}

static void add_set(struct strbuf *s, const char *variable, const char *value)
{
    strbuf_addf(s, "%s=", variable);
    strbuf_add_shell_quoted(s, value);
    strbuf_addc(s, '\n');
}

/* What every script begins with: the directory and its marker. */
static void begin_script(struct strbuf *s, const char *remote)
{
    _cleanup_strbuf_ struct strbuf marker = STRBUF_INIT;
    survey_marker(&marker, remote);
    strbuf_adds(s, by_force);
    strbuf_adds(s, in_tree);
    add_set(s, "top", remote);
    add_set(s, "marker", marker.buf);
}

int push_run(struct ssh_conn *c, const char *remote_dir, const char *script, const char *what,
             const struct deadline *d, struct error *err)
{
    struct strbuf s = STRBUF_INIT;
    begin_script(&s, remote_dir);
    strbuf_adds(&s, script);
    return run_script(c, &s, what, remote_dir, d, err);
}

int push_clear(struct ssh_conn *c, const char *remote_dir, const struct deadline *d,
               struct error *err)
{
    return push_run(c, remote_dir,
                    "reach \"${top%/*}\"\nmine \"${top%/*}\"\n"
                    "zap \"$marker\"\nzap \"$top\"\nexit 0\n",
                    "empty", d, err);
}

int push_deletes(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err)
{
    struct strbuf s = STRBUF_INIT;
    begin_script(&s, remote_dir);
    strbuf_adds(&s, "reach \"${top%/*}\"\n[ -d \"$top\" ] || exit 0\nmine \"$top\"\n"
                    "cd -P -- \"$top\" || exit\ntop=$(pwd -P)\n");
    add_calls(&s, "del", paths, n);
    add_rmdirs(&s, paths, n);
    strbuf_adds(&s, "exit 0\n");
    return run_script(c, &s, "delete files in", remote_dir, d, err);
}

int push_make_way(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
                  const struct deadline *d, struct error *err)
{
    struct strbuf s = STRBUF_INIT;
    _cleanup_free_ const char **files = xcalloc(l->n_files + 1, sizeof *files);
    size_t n = 0;
    begin_script(&s, remote_dir);
    strbuf_adds(&s, "reach \"${top%/*}\"\nmine \"${top%/*}\"\n"
                    "[ -f \"$marker\" ] && [ -w \"$marker\" ] || zap \"$marker\"\n"
                    "[ -d \"$top\" ] || zap \"$top\"\n"
                    "mkdir -p -- \"$top\" && mine \"$top\" && cd -P -- \"$top\" || exit 1\n"
                    "top=$(pwd -P)\n");
    for (size_t i = 0; i < l->n_files; i++) {
        const struct sync_file *f = &l->files[i];
        if (!S_ISDIR(f->mode)) {
            files[n++] = f->path;
            continue;
        }
        strbuf_adds(&s, "way ");
        strbuf_add_shell_quoted(&s, f->path);
        strbuf_adds(&s, " force\n");
    }
    add_calls(&s, "put", files, n);
    strbuf_adds(&s, "exit 0\n");
    return run_script(c, &s, "make way for files in", remote_dir, d, err);
}

int push_unmount(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err)
{
    struct strbuf s = STRBUF_INIT;
    begin_script(&s, remote_dir);
    strbuf_adds(&s, "cd -P -- \"$top\" || exit 0\ntop=$(pwd -P)\n");
    for (size_t i = n; i-- > 0;) { /* the deepest first */
        strbuf_adds(&s, "unmount \"$top\"/");
        strbuf_add_shell_quoted(&s, paths[i]);
        strbuf_adds(&s, " || exit\n");
    }
    strbuf_adds(&s, "exit 0\n");
    return run_script(c, &s, "unmount what covers files in", remote_dir, d, err);
}
