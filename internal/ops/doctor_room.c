/* doctor's checks of whether the host can carry one more lease now, by the sums of admission.c:
 * what warmup would refuse is never called ready. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ops/doctor_check.h"
#include "sys/file.h"

/* A field of /proc/meminfo in MiB, or -1. */
static int64_t meminfo_mib(const char *text, const char *field)
{
    unsigned long long kib;
    const char *p = strstr(text, field);
    if (!p || sscanf(p + strlen(field), " %llu", &kib) != 1)
        return -1;
    return (int64_t)(kib / 1024);
}

void doctor_memory(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error err = ERROR_INIT;
    int64_t guest = ctx->need.memory_mib, need = admission_memory_mib(&ctx->need);
    int64_t available = ctx->room.memory_mib;
    if (file_read_at(AT_FDCWD, "/proc/meminfo", 16384, &text, &err) < 0) {
        check_fail(c, CLASS_ENV, "%s", err.msg);
        check_mend(c, "mount -t proc proc /proc");
        return;
    }
    int64_t total = meminfo_mib(text.buf, "MemTotal:");
    check_detail(c, "availableMiB", "%lld", (long long)available);
    check_detail(c, "totalMiB", "%lld", (long long)total);
    check_detail(c, "guestMiB", "%lld", (long long)guest);
    check_detail(c, "needMiB", "%lld", (long long)need);
    check_detail(c, "swapMiB", "%lld", (long long)meminfo_mib(text.buf, "SwapTotal:"));
    if (total > 0 && need > total) {
        check_fail(c, CLASS_CONFIG, "a lease takes %lld MiB, but the host has only %lld MiB",
                   (long long)need, (long long)total);
        check_mend(c, "set firecracker.memoryMiB below %lld", (long long)(total - (need - guest)));
    } else if (available < need) {
        check_fail(c, CLASS_ENV,
                   "a lease takes %lld MiB, but only %lld MiB are free: warmup refuses",
                   (long long)need, (long long)available);
        check_mend(c, "crabbox-fc stop a lease (see crabbox-fc list), or lower "
                      "firecracker.memoryMiB");
    } else {
        check_ok(c, "%lld MiB free, a lease takes %lld MiB", (long long)available, (long long)need);
    }
}

static void limit_detail(struct doctor_check *c, const char *key, int64_t n)
{
    if (n == HOST_NO_LIMIT)
        check_detail(c, key, "no limit");
    else
        check_detail(c, key, "%lld", (long long)n);
}

void doctor_limits(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    struct host_room room = ctx->room;
    limit_detail(c, "openFiles", room.files);
    limit_detail(c, "descriptors", room.own_fds);
    limit_detail(c, "processes", room.tasks);
    room.memory_mib = room.disk_mib = room.inodes = HOST_NO_LIMIT; /* checks of their own */
    if (admission_look(ctx->state_dir, &ctx->need, &room, &err) == 0) {
        check_ok(c, "open files, descriptors and processes are enough for a lease");
        return;
    }
    /* The message ends with what to do. */
    char *next = strstr(err.msg, "; next: ");
    check_mend(c, "%s", next ? next + strlen("; next: ") : "raise it");
    if (next)
        *next = '\0';
    check_fail(c, CLASS_ENV, "%s", err.msg);
}
