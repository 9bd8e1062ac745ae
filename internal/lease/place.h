/* place.h: whether a state directory can be trusted: it is not in a tree, and this program made it.
 *
 * The records in it name processes, files and programs, and this program acts on them, often as
 * root. A clone or an archive can contain a whole state directory, and HOME, XDG_STATE_HOME or
 * CRABBOX_FC_STATE_DIR may point there. Whoever unpacked it owns it, so owners don't help to tell.
 *
 * So the program writes a mark into each directory that it makes: the file `origin`, with the
 * directory's inode and its time of birth in seconds. A copy has other values. A directory that has
 * content but no mark, or a wrong one, is refused; the message has the command that marks it. It is
 * marked without asking if it is the default place for state in a home that the system has on
 * record, or lies below /var/lib/crabbox-fc. Such state comes from earlier versions, which had no
 * mark, or from a backup.
 *
 * If a directory was open to others for a while, any of them could have written the right mark. So
 * the marks, the directories and each of their entries have to belong to us, too.
 *
 * The directory of each lease is marked as well, by a link of the same name, because an archive
 * that is unpacked over an existing state directory could add leases to it. When an unmarked
 * directory is taken over, the leases in it are marked, too.
 *
 * In an archive without a .git, even the place of a new directory may be somebody else's choice: if
 * HOME is there, a link in the archive decides where the directory is made. So no link is followed
 * that lies below the highest directory in which an archive around the working directory, or that
 * of --dir, may have been unpacked (worktree.h). A directory there that we have marked is trusted
 * nevertheless, because nobody else can have marked it. So it is possible to keep HOME, state and
 * work side by side in one directory.
 */
#ifndef CRABBOX_LEASE_PLACE_H
#define CRABBOX_LEASE_PLACE_H

#include <stdbool.h>

#include "base/error.h"

#define PLACE_MARK "origin"

/* ERR_TRUST if the path leads through a working tree, through a link of an archive, or through the
 * working directory or that of --dir. These two are no obstacle for a known place (the default
 * state directory, or below /var/lib/crabbox-fc). Also ERR_TRUST if it can't be found out. */
int place_check(const char *path, struct error *err);

/* Whether leases may be there, judged without following any link of a tree. */
bool place_may_have_leases(const char *path);

/* ERR_TRUST if others can write to the directory of this path and it has content. Closing it now
 * would not remove what they may have put there. */
int place_check_closed(const char *path, struct error *err);

/* ERR_TRUST if the directory, open as `fd`, or anything in it belongs to another user, or others
 * can write to it. */
int place_check_dir(int fd, const char *path, struct error *err);

/* ERR_TRUST if the directory, open as `fd`, has content and we did not make it, or if some of its
 * content belongs to another user. With `mark`, a directory that needs a mark gets one, and so do
 * all leases in it. Without `mark`, 1 means that it would be marked; until then its leases are
 * trusted without marks. Call this before anything is made in the directory. */
int place_claim(int fd, const char *path, bool mark, struct error *err);

/* Marks the directory of a lease, before its record is written. */
int place_mark_lease(int dirfd, struct error *err);
/* ERR_TRUST if the directory of a lease, which `path` names in the message, has no such mark. */
int place_check_lease(int dirfd, const char *path, struct error *err);

#endif
