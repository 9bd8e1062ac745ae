/* unfinished.h: what an earlier run has left running in the guest because it was killed here, or
 * lost the connection for good.
 *
 * The lease's directory has a file with the id of the run whose command has begun. It goes when
 * that command has ended. So whoever has the lease's turn next, and finds it, ends that command.
 * Best effort: without that file (a full disk) the command is only not found.
 */
#ifndef CRABBOX_RUN_UNFINISHED_H
#define CRABBOX_RUN_UNFINISHED_H

#include "ops/session.h"

void unfinished_note(const struct session *s, const char *run_id);
void unfinished_forget(const struct session *s);

/* Ends what an earlier run left, and says so. The session has the turn and is connected. */
int unfinished_end(const struct session *s, struct error *err);

#endif
