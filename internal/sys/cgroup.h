/* cgroup.h: a control group for all processes of one lease.
 *
 *   cgroup_make → cgroup_enter (a held child, spawn.h) → cgroup_verify → … → cgroup_end
 *
 * A group has a name such as "crabbox-fc/cbx_0123456789ab", which is a path below the root of each
 * hierarchy. The path is the same in version 2 and in the hierarchies of version 1 that have the
 * controllers for memory, processes and processor time. A host with both versions (hybrid) has the
 * group in both. The name is enough to find the group again.
 *
 * The directories above the last one are made as well. They stay, empty, until the host is
 * restarted, so an administrator can set limits for all leases together there.
 *
 * If the host can't give a limit, that is an error. If the caller accepts that, it is a text about
 * what is missing instead.
 */
#ifndef CRABBOX_SYS_CGROUP_H
#define CRABBOX_SYS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/deadline.h"

#define CGROUP_PARENT     "crabbox-fc"
#define CGROUP_PARENT_MAX 128
#define CGROUP_NAME_SIZE  160 /* parent, '/', a lease's id, NUL */

struct cgroup_limits {
    uint64_t memory;      /* bytes, including the page cache that the group fills; nothing is
                           * swapped out */
    uint64_t tasks;       /* processes and threads */
    uint64_t cpu_percent; /* of one processor; 0: no limit */
};

/* NULL if the text is a valid name of a group: words of [A-Za-z0-9_.-] with '/' between them, none
 * of which begins with a dot. Otherwise the end of a sentence about what is wrong. */
const char *cgroup_name_check(const char *name);

/* Makes the group with its limits. ERR_ENV names what the host can't give. With `lacks`, that is
 * added there instead, and the rest is made. ERR_STATE if a group of that name exists. */
int cgroup_make(const char *name, const struct cgroup_limits *limits, struct strbuf *lacks,
                struct error *err);

/* Finds what cgroup_make would miss below `parent`, as far as possible without making anything.
 * ERR_ENV, or a text in `lacks`. */
int cgroup_look(const char *parent, struct strbuf *lacks, struct error *err);

/* Puts a process into the group. Best called for a held child right after the fork, which has no
 * memory yet that counts elsewhere. */
int cgroup_enter(const char *name, pid_t pid, struct error *err);

/* Checks that the process really is in the group, in each hierarchy; `partly`: only in those that
 * have the group. ERR_ENV if not. */
int cgroup_verify(const char *name, pid_t pid, bool partly, struct error *err);

/* Kills all processes in the group, waits for their end, and removes the group. Success also if
 * there is no such group. */
int cgroup_end(const char *name, const struct deadline *d, struct error *err);

#endif
