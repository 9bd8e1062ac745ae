/* How much a header of the archive may hold: what libarchive makes of it costs memory and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "sys/file.h"
#include "testutil/scratch.h"

static struct fetch_rules named(void)
{
    return (struct fetch_rules){.dirfd = scratch_fd, .name = "got", .limits = {100, 1 << 20}};
}

/* A header of ustar; only what libarchive needs. */
static void add_header(struct strbuf *out, const char *name, char type, size_t size)
{
    char h[512] = "";
    unsigned sum = 0;
    (void)str_copy(h, 100, name);
    (void)str_format(h + 100, 8, "0000644");
    (void)str_format(h + 124, 12, "%011zo", size);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char)h[i];
    (void)str_format(h + 148, 8, "%06o", sum);
    strbuf_add(out, h, sizeof h);
}

static void add_padding(struct strbuf *out)
{
    static const char zeros[512];
    strbuf_add(out, zeros, (512 - out->len % 512) % 512);
}

static int fd_of(const struct strbuf *tar)
{
    struct error err = ERROR_INIT;
    int fd = memfd_create("archive", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, tar->buf, tar->len, "archive", &err), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* On the way, not at the end. */
static void assert_given_up(int fd, const struct error *err)
{
    if (!strstr(err->msg, "more than 64 KiB of headers before a file"))
        fail_msg("%s", err->msg);
    assert_true(lseek(fd, 0, SEEK_CUR) < 100 << 10);
}

/* A map of holes stands in front of the content and is as long as the guest likes. */
static void test_map_without_end(void **state)
{
    (void)state;
    static const char attributes[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                     "21 GNU.sparse.name=x\n28 GNU.sparse.realsize=1024\n";
    _cleanup_strbuf_ struct strbuf tar = STRBUF_INIT;
    struct fetch_rules rules = named();
    struct fetch_result res;
    struct error err = ERROR_INIT;
    char block[512] = "";
    add_header(&tar, "PaxHeader", 'x', sizeof attributes - 1);
    (void)str_copy(block, sizeof block, attributes);
    strbuf_add(&tar, block, sizeof block);
    add_header(&tar, "x", '0', 1 << 30);
    strbuf_adds(&tar, "999999999\n");
    for (size_t i = 0; i < 2 << 20; i++)
        strbuf_adds(&tar, "0\n0\n");
    _cleanup_close_ int fd = fd_of(&tar);
    assert_int_equal(fetch_unpack(fd, &rules, &res, &err), -1);
    assert_given_up(fd, &err);
}

/* Each right is looked for among all that came before it: 1 MiB of them takes half a minute. */
static void test_rights_without_end(void **state)
{
    (void)state;
    enum { LEN = 900000 };
    _cleanup_strbuf_ struct strbuf tar = STRBUF_INIT;
    struct fetch_rules rules = named();
    struct fetch_result res;
    struct error err = ERROR_INIT;
    add_header(&tar, "PaxHeader", 'x', LEN);
    size_t start = tar.len;
    strbuf_addf(&tar, "%d SCHILY.acl.access=", LEN);
    for (unsigned i = 0; tar.len - start < LEN - 30; i++)
        strbuf_addf(&tar, "u:%u:r,", i);
    while (tar.len - start < LEN - 1)
        strbuf_adds(&tar, ",");
    strbuf_adds(&tar, "\n");
    add_padding(&tar);
    add_header(&tar, "x", '0', 0);
    _cleanup_close_ int fd = fd_of(&tar);
    assert_int_equal(fetch_unpack(fd, &rules, &res, &err), -1);
    assert_given_up(fd, &err);
}

/* What an honest tar says of one file: names as long as Linux has them, in either format. The
 * content before it ends anywhere in what was read. */
static void test_longest_names(void **state)
{
    (void)state;
    static char content[70000];
    char dir[3800] = "";
    _cleanup_strbuf_ struct strbuf tar = STRBUF_INIT;
    struct fetch_rules rules = named();
    struct fetch_result res;
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < 15; i++)
        (void)str_format(dir + 250 * i, sizeof dir - 250 * i, "%0249zu/", i);
    add_header(&tar, "./", '5', 0);
    for (size_t i = 0; i < 40; i++) {
        _cleanup_strbuf_ struct strbuf pax = STRBUF_INIT;
        _cleanup_free_ char *path = xasprintf("%s%0200zu", dir, i);
        strbuf_addf(&pax, "%zu path=%s\n", strlen(path) + 11, path);
        strbuf_adds(&pax, "30 mtime=1700000000.123456789\n");
        bool gnu = i % 2;
        add_header(&tar, "long", gnu ? 'L' : 'x', gnu ? strlen(path) + 1 : pax.len);
        if (gnu)
            strbuf_add(&tar, path, strlen(path) + 1);
        else
            strbuf_add(&tar, pax.buf, pax.len);
        add_padding(&tar);
        add_header(&tar, "short", '0', 1700 * i);
        strbuf_add(&tar, content, 1700 * i);
        add_padding(&tar);
    }
    strbuf_add(&tar, content, 10240); /* the end, to a whole record */
    _cleanup_close_ int fd = fd_of(&tar);
    rules.limits.max_bytes = 10 << 20;
    if (fetch_unpack(fd, &rules, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(res.n_files, 40);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)
    const struct CMUnitTest tests[] = {
        TEST(test_map_without_end),
        TEST(test_rights_without_end),
        TEST(test_longest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
