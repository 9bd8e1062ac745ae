/* The ISO9660 writer against two readers that are not ours to bend: libarchive's and the guest's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "guest/iso9660.h"
#include "image/iso_write.h"

static char sector_and_one[2049];

static const struct iso_file files[] = {
    {"user-data", "alpha", 5},
    {"meta-data", "", 0},
    {"network-config", sector_and_one, sizeof sector_and_one},
    {"A.b_c", "one sector is enough", 20},
};

static void build(struct strbuf *out)
{
    struct error err = ERROR_INIT;
    memset(sector_and_one, 'x', sizeof sector_and_one);
    if (iso_build("cidata", files, ARRAY_LEN(files), 1700000000, out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(out->len % 2048, 0);
}

static const struct iso_file *named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (str_eq(files[i].name, name))
            return &files[i];
    fail_msg("a file that was not written: %s", name);
    return NULL;
}

static void test_libarchive_reads_it(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf volume = STRBUF_INIT;
    struct archive_entry *e;
    unsigned seen = 0;
    build(&volume);
    struct archive *a = archive_read_new();
    assert_int_equal(archive_read_support_format_iso9660(a), ARCHIVE_OK);
    assert_int_equal(archive_read_open_memory(a, volume.buf, volume.len), ARCHIVE_OK);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        if (archive_entry_filetype(e) == AE_IFDIR)
            continue;
        const struct iso_file *f = named(archive_entry_pathname(e));
        char buf[4096];
        assert_int_equal(archive_entry_size(e), (la_int64_t)f->len);
        assert_int_equal(archive_entry_perm(e), 0400);
        assert_int_equal(archive_entry_mtime(e), 1700000000);
        assert_int_equal(archive_read_data(a, buf, sizeof buf), (la_ssize_t)f->len);
        assert_memory_equal(buf, f->data, f->len);
        seen++;
    }
    assert_int_equal(seen, ARRAY_LEN(files));
    archive_read_free(a);
}

static void test_guest_reads_it(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct iso iso;
    _cleanup_strbuf_ struct strbuf volume = STRBUF_INIT, text = STRBUF_INIT;
    build(&volume);
    _cleanup_close_ int fd = memfd_create("iso", MFD_CLOEXEC);
    assert_int_equal(write(fd, volume.buf, volume.len), (ssize_t)volume.len);
    assert_int_equal(iso_open(fd, &iso, &err), 0);
    assert_true(iso_label_is(&iso, "cidata"));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        strbuf_reset(&text);
        assert_int_equal(iso_read_file(&iso, files[i].name, 4096, &text, &err), 0);
        assert_int_equal(text.len, files[i].len);
        assert_memory_equal(text.buf, files[i].data, files[i].len);
    }
    assert_int_equal(iso_read_file(&iso, "other", 4096, &text, &err), -1);
}

static void test_same_input_same_bytes(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
    build(&a);
    build(&b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.buf, b.buf, a.len);
}

static void refused(const char *label, const struct iso_file *list, size_t n, time_t when)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    assert_int_equal(iso_build(label, list, n, when, &out, &err), -1);
    assert_int_equal(err.kind, ERR_INTERNAL);
    assert_int_equal(out.len, 0);
}

static void test_refusals(void **state)
{
    (void)state;
    char longest[66] = "";
    memset(longest, 'n', 65);
    const struct iso_file twins[] = {{"long-name-1", "", 0}, {"long_name_2", "", 0}};
    const struct iso_file huge[] = {{"huge", "", ISO_FILE_MAX + 1u}};
    const struct iso_file nameless[] = {{"", "", 0}}, too_long[] = {{longest, "", 0}};
    struct iso_file many[ISO_FILES_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct iso_file){"x", "", 0};
    refused("x", twins, 2, 0);
    refused("x", huge, 1, 0);
    refused("x", nameless, 1, 0);
    refused("x", too_long, 1, 0);
    refused("x", many, ARRAY_LEN(many), 0);
    refused("a label that is longer than 32 bytes", files, 1, 0);
}

/* As many and as long names as are allowed still fit in the one sector of the directory. */
static void test_full_directory(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct iso iso;
    char names[ISO_FILES_MAX][65];
    struct iso_file list[ISO_FILES_MAX];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, text = STRBUF_INIT;
    for (size_t i = 0; i < ISO_FILES_MAX; i++) {
        memset(names[i], 'n', 64);
        names[i][0] = (char)('h' - i); /* not in order */
        names[i][64] = '\0';
        list[i] = (struct iso_file){names[i], names[i], 64};
    }
    assert_int_equal(iso_build("x", list, ISO_FILES_MAX, 0, &out, &err), 0);
    _cleanup_close_ int fd = memfd_create("iso", MFD_CLOEXEC);
    assert_int_equal(write(fd, out.buf, out.len), (ssize_t)out.len);
    assert_int_equal(iso_open(fd, &iso, &err), 0);
    for (size_t i = 0; i < ISO_FILES_MAX; i++) {
        strbuf_reset(&text);
        if (iso_read_file(&iso, names[i], 4096, &text, &err) < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(text.buf, names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libarchive_reads_it),   cmocka_unit_test(test_guest_reads_it),
        cmocka_unit_test(test_same_input_same_bytes), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_full_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
