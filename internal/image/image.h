/* image.h: the files that a guest boots from: kernel, initrd, root filesystem, disks, seed drive.
 *
 * Two kinds of guest (docs/GUEST.md):
 *   ours  an image directory with image.json: kernel, initrd with our init, read-only root that all
 *         leases share; writes go to a sparse per-lease disk;
 *   stock firecracker.kernel and firecracker.rootfs: a writable clone of the root as first drive,
 *         real cloud-init reads the seed.
 *
 * This module is the only user of libext2fs.
 */
#ifndef CRABBOX_IMAGE_IMAGE_H
#define CRABBOX_IMAGE_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "config/config.h"
#include "sys/deadline.h"
#include "sys/pinned.h"

enum image_kind { IMAGE_OURS, IMAGE_STOCK };
enum image_file { IMAGE_KERNEL, IMAGE_INITRD, IMAGE_ROOTFS, IMAGE_FILES };

struct image {
    enum image_kind kind;
    char dir[PATH_MAX]; /* "" for stock */
    char kernel[PATH_MAX];
    const char *kernel_format; /* static: "elf-x86_64", "arm64"; NULL until known */
    bool kernel_pvh;           /* it has the PVH entry that QEMU needs */
    char initrd[PATH_MAX];     /* "" when there is none */
    char rootfs[PATH_MAX];
    char rootfs_type[16];    /* "ext4", "squashfs", "erofs", "xfs", "btrfs" from the magic */
    char kernel_release[64]; /* "" when unknown */
    /* By enum image_file: the pins of image.json and the configuration, and the open files (owned;
     * -1: there is none). */
    struct pinned pins[IMAGE_FILES];
    int fds[IMAGE_FILES];
    /* Path to the open file, for this process and for a child that has the descriptor; "" for
     * none. */
    char open_at[IMAGE_FILES][32];
};

#define IMAGE_INIT                                                                                 \
    {                                                                                              \
        .fds = { -1, -1, -1 }                                                                      \
    }

/* Finds and checks the files: present, regular, not empty, kernel an ELF vmlinux (or arm64 Image),
 * root a filesystem we know, manifest strict. ERR_ENV if a file is missing or can't be read,
 * ERR_CONFIG if it is not what it should be. The message has the next step (build the image with
 * scripts/build-image.sh, set firecracker.kernel …). Reads headers only.
 *
 * Each file is opened here, once, by the rules of sys/beneath.h; everything after that (hashing,
 * cloning, the VMM) uses the descriptor, so nobody can put another file in its place in between.
 */
int image_load(const struct config *cfg, struct image *out, struct error *err);
void image_close(struct image *img);

/* The four parts of image_load, to be called in this order. The list of preconditions has a row for
 * each. `img` begins as IMAGE_INIT, and the caller closes it, also after an error. */
int image_locate(const struct config *cfg, struct image *img, struct error *err);
int image_open_kernel(struct image *img, struct error *err);
int image_open_rootfs(struct image *img, struct error *err);
int image_open_rest(const struct config *cfg, struct image *img, struct error *err);

/* The path of a file; "" if the image has none. */
const char *image_path(const struct image *img, enum image_file f);

/* Compares every pinned file with its pin (pinned.h: whole files are read, or remembered in the
 * directory `cache_fd`) and notes the files' sizes and times of change. */
int image_check_pins(struct image *img, int cache_fd, const struct deadline *d, struct error *err);

/* Call this after the VMM has opened the files: checks that they have not changed since
 * image_check_pins. */
int image_unchanged(const struct image *img, struct error *err);

/* How a file was duplicated; shown to the user. */
enum clone_how { CLONE_REFLINK, CLONE_SPARSE, CLONE_COPY };
const char *clone_how_name(enum clone_how how);

/* Writable copy of the open file `in` as `name` below dirfd (0600), at least size_mib large (grown
 * sparse, never truncated smaller). FICLONE first, else only the data extents. No fsync. `src` is
 * the path of `in`, for messages. Ends at the deadline; nothing is left then. */
int image_clone(int in, const char *src, int dirfd, const char *name, int64_t size_mib,
                const struct deadline *d, enum clone_how *how, struct error *err);
/* How image_clone would copy between the two directories, by the type of their filesystems. Creates
 * nothing. ERR_IO if the type is unknown. */
int image_clone_probe(const char *src_dir, const char *dst_dir, enum clone_how *how,
                      struct error *err);

/* Makes a sparse file with an empty ext4 filesystem, by libext2fs in this process. Takes a few ms
 * for any size. */
int image_make_disk(int dirfd, const char *name, int64_t size_mib, const char *label,
                    struct error *err);

/* The content of the seed drive. Strings are borrowed. */
struct seed_spec {
    const char *lease_id;
    const char *hostname;
    const char *user;
    const char *work_root;
    const char *authorized_key;   /* public line */
    const char *host_key_private; /* OpenSSH PEM */
    const char *host_key_public;
    const char *nonce; /* hex; the guest returns it, which proves that it read this seed */
    const char *guest_mac;
    const char *guest_addr; /* without prefix; /30 */
    const char *gateway;
    const char *const *dns;
    unsigned n_dns;
    const char *dns_search;  /* domains, with blanks between them; "": none */
    const char *dns_options; /* the same for options of resolv.conf */
    bool stock;              /* real cloud-init: also runcmd for the work root */
};

#define SEED_NONCE_PATH "/run/crabbox-fc/nonce"

/* Writes a NoCloud drive: ISO9660 with Rock Ridge names, label cidata, files user-data, meta-data,
 * network-config (JSON, which is YAML). Mode 0400, because it has the guest's private host key, and
 * no VMM may write it. */
int image_write_seed(int dirfd, const char *name, const struct seed_spec *spec, struct error *err);

#endif
