/* cgroup.h: a control group for all processes of one lease.
 *
 *   cgroup_make → cgroup_enter (a held child, spawn.h) → cgroup_verify → … → cgroup_end
 *
 * A group has a name, "crabbox-fc/cbx_0123456789ab", which is a path below the root of each
 * hierarchy. It is the same directory in all of them: in version 2, and in those of version 1 that
 * have the controllers for memory, processes and processor time. A host with both (hybrid) has it
 * in both. Nothing but the name is needed to find it again.
 *
 * The directories above the last one are made as well and stay, empty, until the host starts anew.
 * So limits for all leases together can be set there.
 *
 * What a host can't give is an error, or, where the caller accepts that, words that say what is
 * missing.
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
    uint64_t memory;      /* bytes, with the page cache that it fills; none is swapped out */
    uint64_t tasks;       /* processes and threads */
    uint64_t cpu_percent; /* of one processor; 0: no limit */
};

/* NULL where the text is the name of a group: words of [A-Za-z0-9_.-] with '/' between them, none
 * of which begins with a dot. Else the end of a sentence. */
const char *cgroup_name_check(const char *name);

/* Makes it with limits. ERR_ENV names what the host can't give; with `lacks` that is added there
 * instead, and what the host can give is made. ERR_STATE where there is one of that name. */
int cgroup_make(const char *name, const struct cgroup_limits *limits, struct strbuf *lacks,
                struct error *err);

/* What cgroup_make would miss below `parent`, as far as that can be told without making anything.
 * ERR_ENV, or words in `lacks`. */
int cgroup_look(const char *parent, struct strbuf *lacks, struct error *err);

/* Puts a process into it. One that was just forked and is held has no memory yet that is charged
 * elsewhere. */
int cgroup_enter(const char *name, pid_t pid, struct error *err);

/* Whether the process is in it, in each hierarchy that has it: what is, not what was asked for.
 * ERR_ENV if not. */
int cgroup_verify(const char *name, pid_t pid, struct error *err);

/* Kills all that is in it, waits for their end, and removes it. Absent is a success. */
int cgroup_end(const char *name, const struct deadline *d, struct error *err);

#endif
