/* reach.h: opens a directory by an absolute path from a repository's files, without starting
 * anything by looking for it. Looking for a name below an automounter's directory would mount what
 * the name refers to, which may be another machine's disk. On some network and FUSE filesystems
 * each name is another machine's place (/afs/CELL, /ipfs/CID).
 */
#ifndef CRABBOX_SYNC_REACH_H
#define CRABBOX_SYNC_REACH_H

/* `path` seen from the absolute path `dir`, without ".", ".." and repeated slashes. By the text
 * alone: nothing is looked at. The caller frees it. */
char *reach_name(const char *dir, const char *path);

/* Opens the directory (O_PATH), to which no symlink may lead. `name` is from reach_name. -1 with
 * errno: ELOOP, EREMOTE where the automounter would have to mount something first, EREMOTEIO on a
 * network or FUSE filesystem that the directory `from` is not on, those of openat. */
int reach_dir(const char *name, const char *from);

#endif
