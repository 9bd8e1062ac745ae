/* worktree.h: decides which directories may have come with somebody's code. All modules use this
 * rule.
 *
 * A user who clones a repository or unpacks an archive works among files that anybody may have
 * written. So a program, a link, a configuration or a state directory there does not express what
 * the user wants.
 *
 * - A directory with an entry .git is the top of a working tree, whatever that entry is and whoever
 *   owns it. If trees are inside each other, the outermost counts, because the inner ones may have
 *   come with it.
 * - Without a .git anywhere above, an archive may have been unpacked in any directory from the
 *   working directory upwards, so the highest of them counts. Directories that the users of a host
 *   share by convention (/tmp, /srv, ...) don't count, except the working directory itself.
 *   If there is a .git, this rule does not apply: the tree ends at the outermost .git, and whoever
 *   made an archive chose where that is. Files beside it count as the user's (docs/RUN.md warns of
 *   that). Otherwise ~/src/tools would not count as the user's for work in the repository
 *   ~/src/project.
 * - A directory that contains the home of the user or of the sudo caller, or the host's programs
 *   (PROGRAM_PATH_LOCAL, so /usr/local too), is the user's own even with a .git in it, and so are
 *   all directories above it. The home is the one that the system has on record. HOME does not
 *   matter, because in many CI jobs it is the tree.
 *
 * `run --dir` works with the files of another directory than the working directory. That directory
 * is set once, before any question is asked, and then counts in the same way as the working
 * directory.
 *
 *   worktree_tops           programs in PATH, links, configuration, the trust store
 *   worktree_on_way         what is named for once and for all working directories, so that it must
 *                           be in no tree whatever: state, plugins, a HOME that is not
 *                           the user's home
 *
 * A tree is not harmless because of its owner. sync and config decide on their own whether a .git
 * of another user may determine what is sent or whose settings count.
 */
#ifndef CRABBOX_SYS_WORKTREE_H
#define CRABBOX_SYS_WORKTREE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/* 1 if the directory (may be O_PATH) has a .git, which `git` (may be NULL) then describes; 0 if
 * not; -1 with errno if it can't be found out. */
int worktree_has_git(int dirfd, struct stat *git);

/* Replaces the descriptor by one of the directory above (O_PATH). 1; 0 at the host's root, where it
 * does not change; -1 with errno. It uses the kernel's "..", because the name of a directory above
 * may lead elsewhere by now. */
int worktree_go_up(int *dirfd);

/* Opens the top of everything that may have come with code around the directory `cwd` ("." or a
 * path). `out` (may be NULL) gets its path. -1 with errno 0: there is none, cwd is the user's own.
 * -1 with another errno: it can't be found out, for example because the top was removed (ENOENT).
 * Then nothing counts as the user's own. */
int worktree_open_around(const char *cwd, char *out);

/* The same as a path, "" if there is none. 0, or -1 with errno. */
int worktree_around(const char *cwd, char out[static PATH_MAX]);

/* From now on, this open directory counts like the working directory; -1: none. `fd` is borrowed.
 * 0, or -1 with errno. */
int worktree_set_dir(int fd);
/* A path that leads to that directory even if another has its name by now; NULL: there is none. */
const char *worktree_dir(void);

/* The results of worktree_around for `cwd` and for the directory that was set; "" for none. The
 * caller may fill in one more. */
enum { WORKTREE_TOPS = 3, WORKTREE_OTHER = 2 };
struct worktree_tops {
    char of[WORKTREE_TOPS][PATH_MAX];
};
/* 0, or -1 with errno if one of them can't be found out. */
int worktree_tops(const char *cwd, struct worktree_tops *out);

/* The first of the tops that the path leads through or into, followed step by step through every
 * link, also if a top has another name there. If the path can't be followed, it returns one of the
 * tops, which may be "". Otherwise NULL. No link that lies in any of them is followed. A missing
 * component ends the path. If a part of a tree is mounted elsewhere, it is not recognised. */
const char *worktree_leads_through_top(const char *path, const struct worktree_tops *tops);

/* The first directory on `path`, followed step by step through every link, that has a .git or is
 * `top` (a real path, "" for none). 1; 0 if there is none; -1 with errno if the path can't be
 * followed. A missing component ends the path. */
int worktree_on_way(const char *path, const char *top, char out[static PATH_MAX]);

/* Looks at `path` without following any link that may have come with code: a link in one of the
 * tops, or below the top of any tree. Such a link leads wherever its author likes, even to another
 * machine by an automounter. The last component is never followed. 1 with `st`; 0 if nothing is
 * there; -1 with errno. With ELOOP, `link` gets the path of such a link, or "". */
int worktree_look(const char *path, const struct worktree_tops *tops, struct stat *st,
                  char link[static PATH_MAX]);

/* Looks for a link on `pwd`, the shell's name for the working directory, that may have come with
 * code and led the user to this directory. 1 with the first such link; 0 if there is none or if the
 * name belongs to another directory; -1 with errno. A link is harmless if it leads to a place below
 * its own directory, or stays in its working tree. A link outside of any working tree that leads
 * into one counts as the user's, who may keep repositories in another place. */
int worktree_pwd_link(const char *pwd, char link[static PATH_MAX]);

#endif
