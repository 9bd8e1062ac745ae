#include "testutil/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

int archive_of(const struct archive_item *items, size_t n)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    struct archive *a = archive_write_new();
    assert_true(fd >= 0 && a);
    assert_int_equal(archive_write_set_format_gnutar(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        size_t len = items[i].text ? strlen(items[i].text) : 0;
        archive_entry_set_pathname(e, items[i].name);
        archive_entry_set_mode(e, items[i].mode);
        archive_entry_set_size(e, (la_int64_t)len);
        if (items[i].link)
            archive_entry_set_symlink(e, items[i].link);
        if (items[i].hardlink)
            archive_entry_set_hardlink(e, items[i].hardlink);
        if (S_ISCHR(items[i].mode))
            archive_entry_set_rdev(e, 0x103);
        assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
        if (len)
            assert_int_equal(archive_write_data(a, items[i].text, len), len);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}
