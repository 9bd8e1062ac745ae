/* Hostile images: the manifest's text, and the headers of kernels and root filesystems. The first
 * byte of the input chooses which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/manifest.h"
#include "image/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory = -1; /* one file in memory, rewritten for each input */

static void fill(const uint8_t *data, size_t size)
{
    if (memory < 0)
        memory = memfd_create("fuzz", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, 0) < 0 || pwrite(memory, data, size, 0) != (ssize_t)size)
        abort();
}

/* A failure has to say something. */
static void check(int r, const struct error *err)
{
    if (r != 0 && (r != -1 || !error_is_set(err) || err->msg[0] == '\0'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct manifest m;
    struct kernel_info kernel;
    struct rootfs_info root;
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 'm':
        check(image_manifest_parse((const char *)data + 1, size - 1, "image.json", &m, &err), &err);
        break;
    case 'k':
        fill(data + 1, size - 1);
        check(probe_kernel(memory, "vmlinux", &kernel, &err), &err);
        break;
    case 'r': {
        /* Most superblocks lie far in: the second byte moves the input there. */
        static const unsigned char zero[1];
        static const long at[] = {0, 1024, 65536, 257, 32769};
        if (size < 2)
            return 0;
        fill(zero, 0);
        size_t body = size - 2;
        if (pwrite(memory, data + 2, body, at[data[1] % 5]) != (ssize_t)body)
            abort();
        check(probe_rootfs(memory, "rootfs", 1 << 20, &root, &err), &err);
        break;
    }
    default:
        break;
    }
    return 0;
}
