/* lib.h: shared libraries that are loaded when first used instead of at every start.
 *
 * libcurl and libarchive bring forty further libraries; loading those costs each command about
 * 8 ms, though most commands use neither. The module that owns such a library has a file of
 * forwarders: functions with the library's own names and types (its header is included, so the
 * compiler compares them) that load it on their first call:
 *
 *     static struct lib curl = {"libcurl.so.4", "libcurl4", NULL};
 *     FORWARD(&curl, void, curl_easy_cleanup, (CURL * easy), (easy))
 *
 * Callers don't notice. A function without a forwarder still works, but then the program is linked
 * with the library as usual and loads it at every start. Loaded libraries stay loaded.
 */
#ifndef CRABBOX_SYS_LIB_H
#define CRABBOX_SYS_LIB_H

#include <string.h>

#include "base/error.h"

struct lib {
    const char *soname;
    const char *package; /* Debian's, for the message */
    void *handle;        /* NULL until loaded */
};

/* Loads it now; ERR_ENV names the package to install. For callers that can report an error. */
int lib_load(struct lib *l, struct error *err);

/* Finds a function of the library, and loads the library first if necessary. If that fails, it ends
 * the process with a message, as the dynamic linker does at the start of a program. */
void *lib_symbol(struct lib *l, const char *name);

#define FORWARD(lib, type, name, params, args)                                                     \
    type name params                                                                               \
    {                                                                                              \
        static __typeof__(name) *real;                                                             \
        if (!real) {                                                                               \
            void *found = lib_symbol((lib), #name);                                                \
            memcpy(&real, &found, sizeof real);                                                    \
        }                                                                                          \
        return real args;                                                                          \
    }

#endif
