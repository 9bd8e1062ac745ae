/* reach.h: a directory by an absolute path that a repository has written down, without anything
 * being started by looking for it. Below a directory of the automounter's, looking for a name
 * mounts what that name stands for, which may be another machine's disk.
 */
#ifndef CRABBOX_SYNC_REACH_H
#define CRABBOX_SYNC_REACH_H

/* `path` seen from the absolute path `dir`, without ".", ".." and repeated slashes. By the text
 * alone: nothing is looked at. The caller frees it. */
char *reach_name(const char *dir, const char *path);

/* Opens the directory (O_PATH), to which no symlink may lead. `name` is from reach_name. -1 with
 * errno: ELOOP, EREMOTE where the automounter would have to mount something first, those of openat.
 */
int reach_dir(const char *name);

#endif
