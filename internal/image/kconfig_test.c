/* Kernel options out of an embedded .config: found wherever it lies, capped, and absent rather than
 * wrong when it is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>
#include <sys/mman.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "image/kconfig.h"

static const char sample[] = "# a comment\nCONFIG_VIRTIO_BLK=y\nCONFIG_ISO9660_FS=m\n"
                             "# CONFIG_VFAT_FS is not set\nCONFIG_VIRTIO_BLK_MORE=y\n";

static size_t gzip(const char *text, size_t len, uint8_t *out, size_t size)
{
    size_t used = 0;
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
    assert_int_equal(archive_write_set_bytes_in_last_block(a, 1), ARCHIVE_OK);
    assert_int_equal(archive_write_open_memory(a, out, size, &used), ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, text, len), (la_ssize_t)len);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_entry_free(e);
    archive_write_free(a);
    return used;
}

/* A "kernel": zeros up to `at`, then mark, archive, end mark. */
static int kernel_with(const char *text, size_t len, off_t at, size_t cut)
{
    _cleanup_free_ uint8_t *packed = malloc(4u << 20);
    size_t n = gzip(text, len, packed, 4u << 20);
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "IKCFG_ST", 8, at), 8);
    assert_int_equal(pwrite(fd, packed, n - cut, at + 8), (ssize_t)(n - cut));
    assert_int_equal(pwrite(fd, "IKCFG_ED trailing", 17, at + 8 + (off_t)(n - cut)), 17);
    return fd;
}

static void found_at_any_offset(void **state)
{
    (void)state;
    const off_t chunk = 1 << 20;
    const off_t at[] = {0, 1, chunk - 19, chunk - 11, chunk - 8, chunk - 1, chunk, 3 * chunk + 7};
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_close_ int fd = kernel_with(sample, sizeof sample - 1, at[i], 0);
        assert_int_equal(kconfig_extract(fd, "kernel", &text, NULL), 1);
        assert_string_equal(text.buf, sample);
    }
}

static void absent_or_broken_is_none(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC);
    assert_int_equal(kconfig_extract(empty, "kernel", &text, NULL), 0);
    _cleanup_close_ int cut = kernel_with(sample, sizeof sample - 1, 100, 12);
    assert_int_equal(kconfig_extract(cut, "kernel", &text, NULL), 0);
    _cleanup_free_ char *bomb = calloc(1, 3u << 20);
    memset(bomb, '#', 3u << 20);
    _cleanup_close_ int big = kernel_with(bomb, 3u << 20, 0, 0);
    assert_int_equal(kconfig_extract(big, "kernel", &text, NULL), 0);
    assert_int_equal(text.len, 0);
    struct error err = ERROR_INIT;
    assert_int_equal(kconfig_extract(-1, "kernel", &text, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
}

static void options_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(kconfig_option(sample, "VIRTIO_BLK"), 'y');
    assert_int_equal(kconfig_option(sample, "ISO9660_FS"), 'm');
    assert_int_equal(kconfig_option(sample, "VFAT_FS"), 'n');
    assert_int_equal(kconfig_option(sample, "VIRTIO"), 'n');
    assert_int_equal(kconfig_option("", "VIRTIO"), 'n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_at_any_offset),
        cmocka_unit_test(absent_or_broken_is_none),
        cmocka_unit_test(options_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
