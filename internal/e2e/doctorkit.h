/* doctorkit.h: a host for the tests of doctor: namespaces of its own, a made-up image, made-up
 * programs.
 *
 * doctorkit_open in the group's setup, doctorkit_close in its teardown. Below one directory,
 * doctorkit_dir, are img/, bin/firecracker and bin/qemu, and whatever a test adds; state/ is not
 * there yet. A test is then a row of lines like
 *
 *     doctorkit_expect(SOUND IMG, "binary", DOCTOR_OK, "", "Firecracker 1.16.1");
 *     doctorkit_expect("firecracker:\n  binary: %/bin/absent\n" IMG, "binary", DOCTOR_FAILED, ENV,
 *                      "absent");
 *
 * All of it fails the running test by cmocka.
 */
#ifndef CRABBOX_E2E_DOCTORKIT_H
#define CRABBOX_E2E_DOCTORKIT_H

#include "doctor/doctor.h"
#include "testutil/config_dir.h"

/* Pieces of a user file; every % stands for the directory. */
#define SOUND                                                                                      \
    "firecracker:\n  network: nat\n  binary: %/bin/firecracker\n  memoryMiB: 256\n  diskMiB: "     \
    "256\n"
#define IMG  "image:\n  dir: %/img\n"
#define QEMU "vmm: qemu\nqemu:\n  binary: %/bin/qemu\n  accel: tcg\n"

/* The classes of a failed check. */
#define ENV    "environment_blocked"
#define CONFIG "configuration_incomplete"

extern struct config_dir doctorkit_dir;
extern const struct provider *const doctorkit_providers[]; /* what doctor_run() takes */

int doctorkit_open(void **state);
int doctorkit_close(void **state);

/* Absolute path of `rel`, in one of a few static buffers. */
const char *doctorkit_path(const char *rel);
/* A file that can be run. */
void doctorkit_program(const char *rel, const char *text);

/* Loads the user file made of `yaml` and judges it; doctor_free() is the caller's. */
struct doctor_report doctorkit_judge(const char *yaml, const char *provider);
const struct doctor_check *doctorkit_find(const struct doctor_report *r, const char *name);
const char *doctorkit_detail(const struct doctor_check *c, const char *key);

/* One check of one configuration: status, class ("" for none) and a part of the message. What
 * failed has to say how to fix it. */
void doctorkit_expect(const char *yaml, const char *check, enum doctor_status status,
                      const char *class, const char *part);

#endif
