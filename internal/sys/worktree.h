/* worktree.h: which directories came with somebody's code: the one rule for all who have to know.
 *
 * Whoever clones a repository or unpacks an archive works among files that anybody may have
 * written. A program, a link, a configuration or a state directory there is not the user's word.
 *
 * - A directory with an entry .git is the top of a working tree, whatever that entry is and whoever
 *   owns it. Of trees within each other the outermost counts: the inner ones may have come with it.
 * - Without a .git anywhere above, an archive may have been unpacked in any directory from the
 *   working directory upwards, so the highest of them counts. Directories that users of a host
 *   share by convention (/tmp, /srv, ...) are not taken for an archive's, unless one is the working
 *   directory itself.
 *   Where there is a .git further down, this rule does not ask how far an archive reaches: it ends
 * at the outermost .git, and whoever made the archive chose where that is. What lies beside it
 * counts as the user's (docs/RUN.md says so). Otherwise ~/src/tools would be foreign to whoever
 * works in the repository ~/src/project.
 * - A directory that holds the home of the user or of the sudo caller, or the host's programs
 *   (PROGRAM_PATH_LOCAL, so /usr/local too), is the user's own even with a .git in it, and so is
 *   all above. The home is the one that the system knows; HOME is not asked, because in many a job
 *   of a CI it is the tree.
 *
 * `run --dir` works with the files of another directory than the one it stands in. It is set once,
 * before anything is asked, and then counts wherever the working directory does.
 *
 *   worktree_tops           programs in PATH, links, configuration, the trust store
 *   worktree_on_way         what is named for once and for all working directories, so that it must
 *                           be in no tree whatever: state, plugins, a HOME that is not
 *                           the user's home
 *
 * An owner makes no tree harmless. sync and config ask on their own whether a .git of another user
 * is good enough to say what is sent, or whose settings count.
 */
#ifndef CRABBOX_SYS_WORKTREE_H
#define CRABBOX_SYS_WORKTREE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/* 1 if the directory (may be O_PATH) has a .git, which `git` (may be NULL) describes; 0; -1 with
 * errno if that can't be seen. */
int worktree_has_git(int dirfd, struct stat *git);

/* Replaces the descriptor with one of the directory above (O_PATH). 1, 0 at the top of the host
 * where it stays as it is, -1 with errno. By the kernel's "..": the name of a directory above may
 * lead elsewhere by now. */
int worktree_go_up(int *dirfd);

/* Opens the top of all that may have come with code around the directory `cwd` ("." or a path);
 * `out` (may be NULL) gets its path. -1 with errno 0: there is none, cwd is the user's own. -1 with
 * another errno: that can't be told, as where the top was removed (ENOENT). Then nothing counts as
 * the user's own. */
int worktree_open_around(const char *cwd, char *out);

/* The same as a path, "" if there is none. 0, or -1 with errno. */
int worktree_around(const char *cwd, char out[static PATH_MAX]);

/* From now on the open directory counts as the working directory does; -1: none. `fd` is borrowed.
 * 0, or -1 with errno. */
int worktree_set_dir(int fd);
/* A path that leads to it, whatever has its name by now; NULL: there is none. */
const char *worktree_dir(void);

/* worktree_around the directory `cwd` and around the one that was set; "" for none. One more is the
 * caller's to fill. */
enum { WORKTREE_TOPS = 3, WORKTREE_OTHER = 2 };
struct worktree_tops {
    char of[WORKTREE_TOPS][PATH_MAX];
};
/* 0, or -1 with errno if one of them can't be told. */
int worktree_tops(const char *cwd, struct worktree_tops *out);

/* The first of the tops that the path leads through or into, step by step through every link and
 * under whatever name; one of them, maybe "", also if it can't be followed; else NULL. No link that
 * lies in any of them is followed. What is missing leads nowhere. A mount of a part of the tree
 * elsewhere is not seen to be one. */
const char *worktree_leads_through_top(const char *path, const struct worktree_tops *tops);

/* The first directory on the way of `path`, step by step through every link, that is the top of a
 * tree by its .git, or is `top` (a real path, "" for none). 1; 0 if there is none; -1 with errno if
 * the path can't be followed. What is missing leads nowhere. */
int worktree_on_way(const char *path, const char *top, char out[static PATH_MAX]);

/* What is at `path`, seen without following any link that may have come with code: one that lies in
 * one of the tops, or further down than the top of any tree. Such a link leads where its author
 * likes, to another machine by an automounter too. The last component is not followed at all. 1
 * with `st`; 0 where there is nothing; -1 with errno: ELOOP with the path of such a link, or with
 * "" in `link`. */
int worktree_look(const char *path, const struct worktree_tops *tops, struct stat *st,
                  char link[static PATH_MAX]);

/* The first link on the way of `pwd`, the shell's name for the working directory, that may have
 * come with code and chosen where one stands: 1; 0 if there is none, or the name is another
 * directory's; -1 with errno. It has chosen nothing that did not come along if it leads further
 * down from where it lies, or stays in its working tree. A link beside no .git that leads to a
 * working tree counts as the user's, who keeps repositories in another place. */
int worktree_pwd_link(const char *pwd, char link[static PATH_MAX]);

#endif
