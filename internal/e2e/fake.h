/* fake.h: a provider for tests whose machines are no VMMs of this host, and have no address.
 *
 * build/tools/crabbox-fc-fake is the whole program with this provider instead of its own
 * (fake_provider.c). A machine of it (fake-machine_main.c) is a process with namespaces of its own,
 * without a network, in which a real sshd serves one connection each. It is reached by an
 * abstract unix socket that is named after the lease, and that is all that a lease knows of it: as
 * with a machine elsewhere, there is no process to look at and nothing of it in the record.
 *
 * A file FAKE_UNKNOWN in the lease's directory makes the provider say that it can't tell whether
 * the machine is there. CRABBOX_STANDIN_MARK and CRABBOX_STANDIN_GUEST=deaf mean what they mean to
 * the stand-in.
 */
#ifndef CRABBOX_E2E_FAKE_H
#define CRABBOX_E2E_FAKE_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"

#define FAKE_SEED    "seed.iso" /* what the machine is told, in its working directory */
#define FAKE_UNKNOWN "unknown"

/* The first byte of a connection. */
enum fake_call {
    FAKE_NOTHING, /* none: whether somebody answers */
    FAKE_SSH = 's',
    FAKE_WATCH = 'w', /* stays open until the machine ends */
    FAKE_END = 'e',   /* the machine ends at once */
};

/* A connection (non-blocking; the caller closes it), or -1 with ERR_SSH: ECONNREFUSED where there
 * is no such machine. */
int fake_call(const char *lease_id, enum fake_call what, struct error *err);

#endif
