/* init.h: the parts of PID 1 that only a real guest needs (crabbox-init, static).
 *
 * init_main.c calls them in this order: console, modules (init_modules.c), drives
 * (init_drives.c), mounts (init_mounts.c), warm-up (init_warm.c), guest.h, then the loop
 * (init_power.c). Failure of any step is fatal: init says why on the console and ends the VM.
 */
#ifndef CRABBOX_GUEST_INIT_H
#define CRABBOX_GUEST_INIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "guest/clock.h"

/* One line on the console, "crabbox-init: " before it. */
void console(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds since the kernel started its clock. */
int64_t boot_ms(void);

/* The value of `name=` on the kernel's command line, copied; -1 if it is not there. */
int cmdline_value(const char *name, char *out, size_t size);

/* modules.list in the initrd: lines of "<stage> <file>", loaded in order within a stage.
 * `dir` is a descriptor of the directory that holds list and files. */
int modules_load(int dir, const char *stage, struct error *err);

/* The drives by what is on them, not by their order. Descriptors are open read-only. */
struct drives {
    char root[32];   /* device path; empty if there is none */
    char fstype[16]; /* of root */
    char upper[32];  /* ext4 labelled crabbox-upper; empty: writes go to memory */
    int seed_fd;     /* ISO9660 labelled cidata, or -1 */
};

#define UPPER_LABEL "crabbox-upper"

int drives_find(struct drives *out, struct error *err);
void drives_close(struct drives *d);

#define MOUNT_LOWER "/lower"

/* What the kernel lends before anything else works: /dev, /proc. */
int mounts_early(struct error *err);
/* The read-only root at MOUNT_LOWER and what takes the writes at /upper. */
int mounts_root(const struct drives *d, const char *tmpfs_size, struct error *err);
/* Overlay over both, the kernel's filesystems into it, then it becomes "/". */
int mounts_switch(struct error *err);
/* The settings of the kernel that systemd makes; failure means nothing. */
void mounts_tune(void);
/* At the end: nothing may be left unwritten on an upper drive. */
void mounts_finish(void);

/* Runs the server and the shell of the image once, idle, in a child: their pages are in the
 * cache (and translated, under emulation) when the first login needs them. Only where a
 * second CPU would be idle; failure means nothing. */
void warm_start(void);

/* Blocks the signals that the loop takes; before the first fork. */
void power_block_signals(void);
/* What a child undoes before exec. */
void power_unblock_signals(void);
/* Starts the SSH server of the image; -1 if even fork fails. */
pid_t power_start_server(void);
/* Reaps, restarts the server a few times, keeps the clock (NULL: none), until someone asks for the
 * end. */
void power_loop(pid_t server, int modules_dir, struct guest_clock *clock);
/* Ends the VM; never returns. */
void power_off(void) __attribute__((noreturn));

#endif
