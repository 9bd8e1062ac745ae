#include "sys/lib.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int lib_load(struct lib *l, struct error *err)
{
    if (!l->handle)
        l->handle = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
    if (l->handle)
        return 0;
    const char *why = dlerror();
    return error_set(err, ERR_ENV, 0, "load %s: %s; next: install the package %s", l->soname,
                     why ? why : "no reason given", l->package);
}

void *lib_symbol(struct lib *l, const char *name)
{
    struct error err = ERROR_INIT;
    void *found = lib_load(l, &err) == 0 ? dlsym(l->handle, name) : NULL;
    if (found)
        return found;
    const char *why = error_is_set(&err) ? NULL : dlerror();
    if (!error_is_set(&err))
        error_fill(&err, ERR_ENV, 0, "%s", why ? why : name);
    (void)fprintf(stderr, "crabbox-fc: %s\n", err.msg);
    abort();
}
