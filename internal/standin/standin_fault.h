/* standin_fault.h: misbehaviour that a test asks for.
 *
 * A VMM gets no environment of ours, so what a test sets goes through a file, which the stand-in
 * looks for when it starts: in its working directory, the lease's, and a few directories up. The
 * bed keeps it for the variables that bed_setenv() sets; other tests call faults_write().
 *
 *   CRABBOX_STANDIN_VERSION=1.13.1       another version; fields newer than it are unknown
 *   CRABBOX_STANDIN_EXIT=148             exit with this code at once
 *   CRABBOX_STANDIN_NO_SOCKET=1          live on, but never make the API socket
 *   CRABBOX_STANDIN_HANG='PUT /actions'  read that request, never answer
 *   CRABBOX_STANDIN_REFUSE='PUT /drives/seed'  answer 400
 *   CRABBOX_STANDIN_UNREADABLE='PUT /serial'  answer 400 as to a request that is not HTTP
 *   CRABBOX_STANDIN_GARBAGE='GET /'      answer with bytes that are no HTTP
 *   CRABBOX_STANDIN_DIE='PUT /drives/seed'  die by SIGKILL at that request
 *   CRABBOX_STANDIN_ALTER='machine-config.vcpu_count=7'  a lie in GET /vm/config; without '='
 *                                        the field is left out; numbers in a path index arrays
 *   CRABBOX_STANDIN_MARK=path            make this file when a HANG or NO_SOCKET is reached, or the
 *                                        guest runs: a test can wait for it
 *   CRABBOX_STANDIN_IGNORE_SHUTDOWN=1    accept SendCtrlAltDel, do nothing
 *   CRABBOX_STANDIN_NO_FILTER=1          run the guest without a filter of system calls
 *   CRABBOX_STANDIN_GUEST=word           silent: no link; deaf: network but no SSH server;
 *                                        hostkey: another host key; nonce: another nonce;
 *                                        ignore-seed: a guest that never read its seed;
 *                                        panic: ends at once; chatty: 10 MB on the console
 *
 *   CRABBOX_STANDIN_SERVER=dropbear      the guest's SSH server, as stock images may have it
 *   CRABBOX_STANDIN_SLEEPER=tar          the guest's program of this name sleeps and does nothing
 *
 * A request matches by method and path prefix.
 */
#ifndef CRABBOX_STANDIN_STANDIN_FAULT_H
#define CRABBOX_STANDIN_STANDIN_FAULT_H

#include <stdbool.h>

#include "base/json.h"
#include "standin/standin_http.h"

/* Puts the CRABBOX_STANDIN_* of an environment block into effect for stand-ins that start below
 * `dir` from now on, and takes others away. */
int faults_write(const char *dir, const char *const *env, struct error *err);

/* The value of CRABBOX_STANDIN_<name>, or NULL. */
const char *fault_get(const char *name);
bool fault_is(const char *name, const char *value);
/* Whether CRABBOX_STANDIN_<name> names this request. */
bool fault_hits(const char *name, const struct request *r);
/* Applies CRABBOX_STANDIN_ALTER to a copy of the configuration. */
void fault_alter(cJSON *config);
/* The moment that CRABBOX_STANDIN_MARK waits for is here. */
void fault_mark(void);

#endif
