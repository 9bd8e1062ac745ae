/* unfinished.h: what earlier runs have left running in the guest because they were killed here, or
 * lost the connection for good.
 *
 * The lease's directory has a file with the ids of the runs whose command has begun, a line each.
 * An id goes when its command has ended. So whoever has the lease's turn next, and finds others,
 * ends those commands. An id whose command could not be ended stays for the run after that.
 * Best effort: without that file (a full disk) the command is only not found.
 */
#ifndef CRABBOX_RUN_UNFINISHED_H
#define CRABBOX_RUN_UNFINISHED_H

#include "ops/session.h"

/* Both for whoever has the turn. */
void unfinished_note(const struct session *s, const char *run_id);
void unfinished_forget(const struct session *s, const char *run_id);

/* Ends what earlier runs left, and says so. The session has the turn and is connected. */
int unfinished_end(const struct session *s, struct error *err);

#endif
