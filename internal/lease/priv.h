/* priv.h: names in the state directory that more than one file of this module uses. */
#ifndef CRABBOX_LEASE_PRIV_H
#define CRABBOX_LEASE_PRIV_H

#define LOCK    "lock"
#define NEW_DIR ".new-" /* a lease's directory that is being made */
#define DEL_DIR ".del-" /* a directory that is being removed */

#endif
