/* unfinished.h: what earlier runs have left running in the guest because they were killed here, or
 * lost the connection for good.
 *
 * The lease's directory has a file with the ids of the runs whose command has begun, one in each
 * line. An id is removed when its command has ended. So the next run that has the lease's turn ends
 * the commands of the ids that it finds there. If a command could not be ended, its id stays for
 * the run after that. Best effort: if the file could not be written (a full disk), the command is
 * not found.
 */
#ifndef CRABBOX_RUN_UNFINISHED_H
#define CRABBOX_RUN_UNFINISHED_H

#include "ops/session.h"

/* Call both only while this run has the lease's turn. */
void unfinished_note(const struct session *s, const char *run_id);
void unfinished_forget(const struct session *s, const char *run_id);

/* Ends what earlier runs left, with a message. The session has the turn and is connected. */
int unfinished_end(const struct session *s, struct error *err);

#endif
