/* provider_suite.h: what every provider of leases has to pass, whatever its machines are.
 *
 * The tests drive the whole program in a bed: a lease's life and sudden deaths (provider_suite.c),
 * what a command gets and gives (provider_suite_run.c), files on their way there and back
 * (provider_suite_files.c). A provider's test program names the program that has it and says how to
 * kill a machine of it:
 *
 *     static const struct suite suite = {.program = "crabbox-fc", .provider = "firecracker",
 *                                        .kill_machine = kill_vmm};
 *     int main(void)
 *     {
 *         return provider_suite(&suite);
 *     }
 *
 * What only its machines can do is tested in files of its own, not here.
 */
#ifndef CRABBOX_E2E_PROVIDER_SUITE_H
#define CRABBOX_E2E_PROVIDER_SUITE_H

#include "e2e/e2e.h"

struct suite {
    const char *program;  /* below the build directory */
    const char *provider; /* as list --json names it */
    /* The machine of a lease dies, as if somebody had pulled its plug. */
    void (*kill_machine)(const char *slug);
};

/* All of it; the number of failures, to be a program's exit code. */
int provider_suite(const struct suite *s);

/* ---- for its files, and for groups of a provider's own ---- */

extern const struct suite *suite_of;
/* e2e_open and e2e_open_box with the program under test. */
int suite_open(void **state);
int suite_open_box(void **state);

int suite_life(void);
int suite_run(void);
int suite_files(void);

#endif
