/* gitpush.c: the repository of the synced tree gets into the guest, where the tree is already.
 *
 * The guest's .git has a file `crabbox-fc` with the name of what it was made from (gitseed.h).
 * While that is the same, nothing is done. A .git without this file was made by the guest, and
 * stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/gitseed.h"
#include "sync/push.h"
#include "sys/file.h"

#define WORK "git-work"
#define OUT  "git-out"

enum { SAID_MAX = 256, BUILD_MS = 600000 };

/* Whether the guest has git, and no .git of its own. */
static int is_wanted(struct ssh_conn *c, const char *remote_dir, const struct deadline *d,
                     bool *wanted, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    io.mark = SSH_MARK_BEFORE;
    struct ssh_status st;
    strbuf_adds(&command, "command -v git >/dev/null && cd -- ");
    strbuf_add_shell_quoted(&command, remote_dir);
    strbuf_adds(&command, " && { [ -f .git/crabbox-fc ] || ! { [ -e .git ] || [ -L .git ]; }; } && "
                          "echo yes");
    io.out = &said;
    io.out_max = SAID_MAX;
    if (ssh_exec(c, command.buf, &io, d, &st, err) < 0)
        return error_prefix(err, "sync");
    *wanted = str_eq(said.buf, "yes\n");
    if (!*wanted)
        log_info("the guest has no git, or a .git of its own: it gets none");
    return 0;
}

static int make_dir(int dirfd, const char *name, struct error *err)
{
    if (dir_remove_tree(dirfd, name, err) < 0)
        return -1;
    int fd = mkdirat(dirfd, name, 0755) < 0
                 ? -1
                 : openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_set(err, ERR_IO, errno, "make the directory %s in the lease's", name)
                  : fd;
}

/* Complete beside the tree first. */
static int deliver(struct ssh_conn *c, const struct gitseed *s, int out_fd, const char *remote_dir,
                   const struct deadline *d, struct error *err)
{
    struct sync_list list = {0};
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    const char *name = strrchr(remote_dir, '/') + 1;
    _cleanup_free_ char *beside = xasprintf("%.*s.crabbox-git-%s", (int)(name - remote_dir),
                                            remote_dir, name);
    _cleanup_strbuf_ struct strbuf script = STRBUF_INIT;
    strbuf_adds(&script, "new=");
    strbuf_add_shell_quoted(&script, beside);
    strbuf_addf(&script,
                "\np=objects/pack/pack-%.40s\ncd -- \"$new\" || exit\n"
                "if [ -f $p.pack ]; then\n"
                "    GIT_DIR=. git index-pack $p.pack >/dev/null || exit\n%s"
                "fi\n"
                "[ -f index ] || ! GIT_DIR=. git rev-parse -q --verify HEAD >/dev/null || "
                "GIT_DIR=. git read-tree HEAD || exit\n"
                "cd -- \"$top\" || exit\nzap ./.git\nmine .\nmv -- \"$new\" .git\n",
                s->id, s->how == SYNC_GIT_SHALLOW ? "    : >$p.promisor\n" : "");
    if (push_run(c, remote_dir, "rm -rf -- \"$top/../.crabbox-git-${top##*/}\"\n",
                 "prepare a repository in", d, err) < 0 ||
        sync_walk(out_fd, &limits, d, &list, err) < 0)
        return -1;
    int r = sync_push(c, &list, beside, d, NULL, NULL, err);
    sync_list_free(&list);
    return r < 0 ? -1 : push_run(c, remote_dir, script.buf, "make the repository in", d, err);
}

static int build_and_deliver(struct ssh_conn *c, const struct gitseed *s, const char *remote_dir,
                             const struct sync_store *store, const struct deadline *d,
                             struct error *err)
{
    bool wanted = false;
    if (is_wanted(c, remote_dir, d, &wanted, err) < 0)
        return -1;
    if (!wanted)
        return 0;
    _cleanup_close_ int work_fd = make_dir(store->dirfd, WORK, err);
    _cleanup_close_ int out_fd = work_fd < 0 ? -1 : make_dir(store->dirfd, OUT, err);
    struct deadline build = deadline_sub(d, BUILD_MS);
    int r = out_fd < 0 ? -1 : gitseed_build(s, store, work_fd, out_fd, &build, err);
    if (r == 0)
        r = deliver(c, s, out_fd, remote_dir, d, err);
    (void)dir_remove_tree(store->dirfd, WORK, NULL);
    (void)dir_remove_tree(store->dirfd, OUT, NULL);
    return r;
}

enum sync_git sync_git_named(const char *word)
{
    return str_eq(word, "full")      ? SYNC_GIT_FULL
           : str_eq(word, "shallow") ? SYNC_GIT_SHALLOW
                                     : SYNC_GIT_NONE;
}

/* Whether files that the user holds back would go with it. */
static bool is_withheld(const struct sync_list *l, enum sync_git how)
{
    if (!l->git || !l->held_back || how != SYNC_GIT_SHALLOW)
        return false;
    log_warn("the guest gets no repository (.git), which would have the files that sync.exclude, "
             "sync.include or .crabboxignore hold back; next: --git none, or --git full if the "
             "guest may have them");
    return true;
}

/* The files are there, which is what most commands need. */
static void say_none(struct error *e)
{
    (void)error_add_next(e, "--git none, if it needs none");
    log_warn("the guest gets no repository (.git): %s", e->msg);
}

char *sync_git_plan(const struct sync_list *l, enum sync_git how)
{
    struct error e = ERROR_INIT;
    _cleanup_(repo_free) struct repo repo = REPO_INIT;
    _cleanup_(gitseed_free) struct gitseed seed = GITSEED_INIT;
    if (is_withheld(l, how) || !l->git || how == SYNC_GIT_NONE)
        return NULL;
    if (repo_find(l->root_fd, &repo, &e) < 0 || gitseed_read(&repo, how, &seed, &e) < 0) {
        say_none(&e);
        return NULL;
    }
    return xstrdup(repo.git_dir);
}

int sync_git(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
             const struct sync_store *store, enum sync_git how, const struct sync_result *last,
             const struct deadline *d, struct error *err)
{
    struct error e = ERROR_INIT;
    _cleanup_(repo_free) struct repo repo = REPO_INIT;
    _cleanup_(gitseed_free) struct gitseed seed = GITSEED_INIT;
    if (is_withheld(l, how) || !l->git || how == SYNC_GIT_NONE)
        return *last->git_id ? push_run(c, remote_dir, "zap \"$top/.git\"\n",
                                        "remove the repository in", d, err)
                             : 0;
    int r = repo_find(l->root_fd, &repo, &e);
    if (r == 0)
        r = gitseed_read(&repo, how, &seed, &e);
    if (r == 0 && !str_eq(seed.id, last->git_id))
        r = build_and_deliver(c, &seed, remote_dir, store, d, &e);
    if (r == 0)
        return 0;
    if (e.kind != ERR_SYNC && e.kind != ERR_ENV && e.kind != ERR_TRUST) {
        *err = e;
        return -1;
    }
    say_none(&e);
    return 0;
}
