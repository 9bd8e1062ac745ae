/* Fuzz target: a whole seed drive, from the volume descriptor to the parsed seed. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct error err = ERROR_INIT;
    struct seed seed;
    if (fd < 0)
        fd = memfd_create("seed", MFD_CLOEXEC);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (seed_read(fd, &seed, &err) == 0)
        seed_free(&seed);
    return 0;
}
