/* seed.h: what a lease tells its guest, read from the seed drive.
 *
 * The drive is a NoCloud one (ISO9660, label cidata) that a stock cloud-init accepts too:
 * user-data is "#cloud-config\n" and JSON, meta-data and network-config are JSON. The
 * writer is internal/image/seed.c; docs/GUEST.md has the format.
 *
 * Ownership: seed_read() and seed_parse() fill a struct seed that seed_free() (or
 * _cleanup_seed_) releases; on error it is left empty. Nothing here touches the system.
 *
 * Errors: ERR_NOT_FOUND if the descriptor holds no cidata volume, ERR_IO or ERR_STATE with
 * the file and the member at fault otherwise. Sizes and numbers are capped throughout.
 */
#ifndef CRABBOX_GUEST_SEED_H
#define CRABBOX_GUEST_SEED_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"

#define SEED_LABEL       "cidata"
#define SEED_FILE_MAX    (256u * 1024) /* bytes of user-data, meta-data, network-config */
#define SEED_FILES_MAX   32u           /* entries of write_files */
#define SEED_KEYS_MAX    16u           /* authorized keys */
#define SEED_GROUPS_MAX  8u
#define SEED_ADDRS_MAX   8u
#define SEED_ROUTES_MAX  8u
#define SEED_SERVERS_MAX 4u
#define SEED_NAME_MAX    64u

/* An IPv4 or IPv6 address with a prefix length. */
struct seed_addr {
    int family; /* AF_INET or AF_INET6 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
        uint8_t bytes[16];
    };
    uint8_t prefix;
};

struct seed_route {
    struct seed_addr to;
    struct seed_addr via;
};

/* One Ethernet interface, found by its MAC and renamed. */
struct seed_net {
    char name[16];
    uint8_t mac[6];
    unsigned naddrs, nroutes, nservers;
    struct seed_addr addrs[SEED_ADDRS_MAX];
    struct seed_route routes[SEED_ROUTES_MAX];
    struct seed_addr servers[SEED_SERVERS_MAX]; /* DNS; the prefix is unused */
};

struct seed_file {
    char *path; /* absolute */
    char *content;
    mode_t mode;
    bool root_owned; /* else the user's */
};

struct seed_user {
    char name[33];
    char *shell;
    char *sudo; /* rule after the name, or NULL */
    unsigned ngroups, nkeys;
    char groups[SEED_GROUPS_MAX][33];
    char *keys[SEED_KEYS_MAX];
};

struct seed {
    char instance_id[SEED_NAME_MAX];
    char hostname[SEED_NAME_MAX];
    struct seed_user user;
    char *host_private; /* OpenSSH text of the ed25519 host key */
    char *host_public;  /* one line */
    unsigned nfiles;
    struct seed_file files[SEED_FILES_MAX];
    bool has_net;
    struct seed_net net;
    char *work_root;  /* directory to make for the user, or NULL */
    char upper[16];   /* size option of a tmpfs upper, e.g. "50%"; "" for the default */
    bool clock_known; /* the host's clock when it wrote the seed */
    struct timespec clock;
};

/* Reads and parses the drive behind `fd` with pread. */
int seed_read(int fd, struct seed *out, struct error *err);

/* Parses the three texts; network_config may be NULL. */
int seed_parse(const char *user_data, const char *meta_data, const char *network_config,
               struct seed *out, struct error *err);

/* "<seconds>" or "<seconds>.<fraction>", up to nine digits of which count; -1 if it is not that. */
int seed_clock_parse(const char *text, struct timespec *out);

void seed_free(struct seed *seed);

#define _cleanup_seed_ _cleanup_(seed_free)

#endif
