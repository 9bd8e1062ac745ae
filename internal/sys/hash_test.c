/* hash_test.c: SHA-256 against the standard's own examples, from memory and from a descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/hash.h"

/* FIPS 180-2, appendix B, and the empty message. */
static const struct {
    const char *text, *sha256;
} examples[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        char hex[SHA256_HEX_SIZE];
        struct error err = ERROR_INIT;
        assert_int_equal(sha256_bytes(examples[i].text, strlen(examples[i].text), hex, &err), 0);
        assert_string_equal(hex, examples[i].sha256);
    }
}

/* A million times "a", longer than one piece of reading; and from the current offset only. */
static void test_fd(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    struct error err = ERROR_INIT;
    enum { N = 1000000 };
    _cleanup_free_ char *text = xcalloc(1, N);
    _cleanup_close_ int fd = memfd_create("hash", MFD_CLOEXEC);
    memset(text, 'a', N);
    assert_int_equal(fd_write_all(fd, text, N, "memfd", &err), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(sha256_fd(fd, "memfd", NULL, hex, &err), 0);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(sha256_fd(fd, "memfd", NULL, hex, &err), 0);
    assert_string_equal(hex, examples[0].sha256);
}

static void test_errors(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    struct error err = ERROR_INIT;
    assert_int_equal(sha256_fd(-1, "nothing", NULL, hex, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    struct deadline past = deadline_in_ms(0);
    _cleanup_close_ int fd = memfd_create("hash", MFD_CLOEXEC);
    assert_int_equal(sha256_fd(fd, "late", &past, hex, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    error_clear(&err);
    _cleanup_close_ int user = eventfd(1, EFD_CLOEXEC);
    struct deadline interrupted = deadline_in_ms(60000);
    interrupted.cancel_fd = user;
    assert_int_equal(sha256_fd(fd, "interrupted", &interrupted, hex, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_fd),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
