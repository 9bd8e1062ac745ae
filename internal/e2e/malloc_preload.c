/* A library that is preloaded into crabbox-fc: its Nth allocation returns NULL (nth.h).
 *
 * It counts from its constructor, which is the last before main, and counts an allocation only
 * where it comes from a place (the addresses on its stack) that none came from before: libraries
 * make thousands from each, and one that fails is like the next. With NTH_ENV_KEEPER it counts
 * nothing and goes on into the keeper, whose environment crabbox-fc makes afresh.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "e2e/nth.h"

#define DEPTH 10

static struct nth_report *report; /* NULL: nothing is counted */
static unsigned long long nth;
static pid_t owner;
static char env_keeper[4][PATH_MAX]; /* what the keeper's environment gets */

/* The next definition of a function: the C library's, or the sanitizer's. */
#define NEXT(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) next_;                                                            \
        if (!next_)                                                                                \
            *(void **)&next_ = dlsym(RTLD_NEXT, #name);                                            \
        next_;                                                                                     \
    })

static _Thread_local bool spared;

/* Whether no allocation has come from here yet. */
static bool is_new_place(void)
{
    static atomic_ullong places[1u << 16]; /* hashes, open addressing */
    void *stack[DEPTH];
    int depth = backtrace(stack, DEPTH);
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < depth; i++)
        hash = (hash ^ (uintptr_t)stack[i]) * 1099511628211u;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        unsigned long long free_place = 0;
        size_t at = (hash >> 20) + i;
        if (atomic_compare_exchange_strong(&places[at % ARRAY_LEN(places)], &free_place, hash))
            return true;
        if (free_place == hash)
            return false;
    }
    return false;
}

/* "malloc of nft_ctx_new in libnftables.so.1": the first on the stack that is not the C library's.
 */
static void tell_place(const char *what, struct nth_report *r)
{
    void *stack[DEPTH];
    int depth = backtrace(stack, DEPTH);
    Dl_info d = {0};
    const char *file = NULL;
    for (int i = 0; i < depth; i++) {
        file = dladdr(stack[i], &d) && d.dli_fname ? strrchr(d.dli_fname, '/') : NULL;
        if (file && !strstr(file, "/malloc_preload") && !strstr(file, "/libc.so") &&
            !strstr(file, "/libasan"))
            break;
    }
    (void)snprintf(r->failed, sizeof r->failed, "%s of %s in %s", what,
                   d.dli_sname ? d.dli_sname : "?", file ? file + 1 : "?");
}

/* Whether this allocation is the one. */
static bool fails(const char *what)
{
    struct nth_report *r = report;
    if (!r || spared || getpid() != owner)
        return false;
    spared = true; /* what looks at the stack may allocate */
    bool is_new = is_new_place();
    spared = false;
    if (!is_new || atomic_fetch_add(&r->calls, 1) + 1 != nth)
        return false;
    spared = true;
    tell_place(what, r);
    spared = false;
    errno = ENOMEM;
    return true;
}

static struct nth_report *map_report(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = mmap(NULL, sizeof(struct nth_report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

__attribute__((constructor)) static void arm(void)
{
    const char *n = getenv(NTH_ENV_N), *path = getenv(NTH_ENV_REPORT);
    if (!n || !path)
        return;
    static const char *const passed[] = {"LD_PRELOAD", NTH_ENV_N, NTH_ENV_REPORT, "ASAN_OPTIONS"};
    for (size_t i = 0; getenv(NTH_ENV_KEEPER) && i < ARRAY_LEN(passed); i++)
        (void)snprintf(env_keeper[i], sizeof env_keeper[i], "%s=%s", passed[i], getenv(passed[i]));
    nth = strtoull(n, NULL, 10);
    owner = getpid();
    (void)is_new_place(); /* its first use loads a library */
    if (!getenv(NTH_ENV_KEEPER))
        report = map_report(path);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv(NTH_ENV_N);
    (void)unsetenv(NTH_ENV_REPORT);
    (void)unsetenv(NTH_ENV_KEEPER);
}

void *malloc(size_t size)
{
    return fails("malloc") ? NULL : NEXT(malloc)(size);
}

void *calloc(size_t n, size_t size)
{
    return fails("calloc") ? NULL : NEXT(calloc)(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails("realloc") ? NULL : NEXT(realloc)(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return fails("aligned_alloc") ? NULL : NEXT(aligned_alloc)(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    return fails("posix_memalign") ? ENOMEM : NEXT(posix_memalign)(out, align, size);
}

/* glibc's own search for users ends in a null pointer or an assertion where memory is out (2.36,
 * nss_database.c). Nothing here could keep it from that. */
#define SPARE(call)                                                                                \
    ({                                                                                             \
        spared = true;                                                                             \
        int r_ = call;                                                                             \
        spared = false;                                                                            \
        r_;                                                                                        \
    })

int getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t size, struct passwd **out)
{
    return SPARE(NEXT(getpwuid_r)(uid, pw, buf, size, out));
}

int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **out)
{
    return SPARE(NEXT(getpwnam_r)(name, pw, buf, size, out));
}

int getgrgid_r(gid_t gid, struct group *gr, char *buf, size_t size, struct group **out)
{
    return SPARE(NEXT(getgrgid_r)(gid, gr, buf, size, out));
}

/* The sanitizer's own, which ends the process where it fails. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
    return SPARE(NEXT(pthread_getattr_np)(thread, attr));
}

/* Called between fork and exec: nothing but what is safe there. */
int execve(const char *path, char *const argv[], char *const envp[])
{
    char *env[BED_ENV_MAX];
    size_t n = 0;
    bool keeper = *env_keeper[0] && argv[0] && argv[1] && strcmp(argv[1], "keeper") == 0;
    if (!keeper)
        return NEXT(execve)(path, argv, envp);
    while (envp[n] && n + ARRAY_LEN(env_keeper) + 1 < ARRAY_LEN(env)) {
        env[n] = envp[n];
        n++;
    }
    for (size_t i = 0; i < ARRAY_LEN(env_keeper); i++)
        env[n++] = env_keeper[i];
    env[n] = NULL;
    return NEXT(execve)(path, argv, env);
}
