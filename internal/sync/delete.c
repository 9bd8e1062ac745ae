/* delete.c: taking away in the guest what an earlier sync has put there.
 *
 * The guest's shell reads a script from its standard input, so that neither the number nor the
 * names of the files are limited by an argument list. Each directory is entered with `cd -P` and
 * left alone if that leads elsewhere than its name says: then something on the way is a symlink.
 */
#include <string.h>

#include "base/cleanup.h"
#include "sync/push.h"

enum { NAMES_A_CALL = 100 };

/* Length of the directory part, 0 for a file at the top. */
static size_t dir_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

static void add_dir(struct strbuf *s, const char *path, size_t len)
{
    _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, path);
    strbuf_adds(s, "del ");
    strbuf_add_shell_quoted(s, dir);
}

/* One call of `del` for runs of files in the same directory; paths come sorted. */
static void add_deletes(struct strbuf *s, const char *const *paths, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = dir_length(paths[i]);
        add_dir(s, paths[i], len);
        for (size_t k = 0; k < NAMES_A_CALL && i < n && dir_length(paths[i]) == len &&
                           memcmp(paths[i], paths[i - k], len) == 0;
             k++, i++) {
            strbuf_addc(s, ' ');
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

static void make_script(struct strbuf *s, const char *remote, const char *const *paths, size_t n)
{
    strbuf_adds(s, "cd -P -- ");
    strbuf_add_shell_quoted(s, remote);
    strbuf_adds(s, " || exit 0\n"
                   "top=$(pwd -P)\n"
                   /* at DIR: go there, and only there */
                   "at() { cd -P -- \"$top/$1\" 2>/dev/null && "
                   "[ \"$(pwd -P)\" = \"$top${1:+/$1}\" ]; }\n"
                   "del() { if at \"$1\"; then shift; for f; do rm -f -- \"./$f\" "
                   "2>/dev/null; done; fi; }\n"
                   "gone() { if at \"$1\"; then at '' && rmdir -- \"./$1\" 2>/dev/null; fi; "
                   "}\n");
    add_deletes(s, paths, n);
    add_rmdirs(s, paths, n);
    strbuf_adds(s, "exit 0\n");
}

int push_clear(struct ssh_conn *c, const char *remote_dir, const struct deadline *d,
               struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_free_ char *what = xasprintf("empty the guest's %s", remote_dir);
    struct ssh_io io = SSH_IO_INIT;
    strbuf_adds(&command, "exec rm -rf -- ");
    strbuf_add_shell_quoted(&command, remote_dir);
    return ssh_command(c, command.buf, &io, d, ERR_SYNC, what, err);
}

int push_deletes(struct ssh_conn *c, const char *remote_dir, const char *const *paths, size_t n,
                 const struct deadline *d, struct error *err)
{
    _cleanup_strbuf_ struct strbuf script = STRBUF_INIT;
    _cleanup_free_ char *what = xasprintf("delete files in the guest's %s", remote_dir);
    struct ssh_io io = SSH_IO_INIT;
    make_script(&script, remote_dir, paths, n);
    struct ssh_text source = {script.buf, script.len};
    io.source = ssh_text_next;
    io.source_ctx = &source;
    return ssh_command(c, "exec sh -s", &io, d, ERR_SYNC, what, err);
}
