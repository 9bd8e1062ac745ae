/* place.h: whether a state directory may be believed: it is in no tree, and this program made it.
 *
 * The records there name processes, files and programs, and they are acted upon, often as root. A
 * clone or an archive can bring along a whole state directory, of which HOME, XDG_STATE_HOME or
 * CRABBOX_FC_STATE_DIR makes ours. Whoever unpacked it owns it, so owners tell nothing.
 *
 * So the program leaves a mark in what it makes, the file `origin`: the directory's inode and the
 * second of its birth, which a copy does not have. A directory that has content and another mark or
 * none is refused, with the command that marks it. It is marked without asking if it is where state
 * is by default, in a home that the system knows, or below /var/lib/crabbox-fc: state of earlier
 * versions, which had no mark, or restored from a backup.
 *
 * Where a directory was open to others for a while, any of them could write the right mark. So
 * whatever counts has to belong to us, too: the marks, the directories and each of their entries.
 *
 * Each lease's directory is marked as well, by a link of that name: an archive that is unpacked
 * where we have made state already may add leases to it. Leases that were there when an unmarked
 * directory was taken over are marked then.
 *
 * In an archive without a .git even a new directory may be somebody else's choice: with HOME there,
 * a link that came along says where it is made. So no link is followed that lies below the highest
 * directory in which an archive around the working directory, or that of --dir, may have been
 * unpacked (worktree.h).
 * A directory of ours there is believed nevertheless: nobody but us can have marked it, and whoever
 * keeps HOME, state and work side by side in one directory can go on.
 */
#ifndef CRABBOX_LEASE_PLACE_H
#define CRABBOX_LEASE_PLACE_H

#include <stdbool.h>

#include "base/error.h"

#define PLACE_MARK "origin"

/* ERR_TRUST if the path leads through a working tree, or through the working directory, that
 * of --dir or a link of an archive around either unless that is on the way to such a place too, or
 * if that can't be told. */
int place_check(const char *path, struct error *err);

/* Whether leases may be there, as far as can be seen without following a link of a tree. */
bool place_may_have_leases(const char *path);

/* ERR_TRUST if others can write to the directory of this path and it has content: closing it then
 * does not undo what they may have put there. */
int place_check_closed(const char *path, struct error *err);

/* ERR_TRUST if the directory, open as `fd`, or anything in it belongs to another user, or others
 * can write to it. */
int place_check_dir(int fd, const char *path, struct error *err);

/* ERR_TRUST if the directory, open as `fd`, has content and we did not make it, or some of its
 * content is another user's. With `mark` it is
 * marked where that is due, with all leases that it has. Without, 1 says that this would be due:
 * its leases are believed without a mark. To be called before anything is made in it. */
int place_claim(int fd, const char *path, bool mark, struct error *err);

/* Marks the directory of a lease, before its record is written. */
int place_mark_lease(int dirfd, struct error *err);
/* ERR_TRUST if the directory of a lease, which `path` names in the message, has no such mark. */
int place_check_lease(int dirfd, const char *path, struct error *err);

#endif
