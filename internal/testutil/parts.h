/* parts.h: looks at processes without rights (sys/fenced.h) while they work. */
#ifndef CRABBOX_TESTUTIL_PARTS_H
#define CRABBOX_TESTUTIL_PARTS_H

#include <sys/types.h>

/* The part of this name that a process has started, or 0. */
pid_t part_of(pid_t parent, const char *name);

/* Waits until there is one and it has settled, and fails the running test (cmocka) unless it really
 * has no rights: its user, capabilities, no_new_privs and filter of system calls. */
pid_t part_check(pid_t parent, const char *name);

#endif
