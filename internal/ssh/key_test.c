#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "ssh/conn.h"
#include "ssh/ssh.h"
#include "sys/file.h"
#include "sys/spawn.h"

/* OpenSSH reads the private key back and derives the same public line. */
static void test_openssh_reads_our_key(void **state)
{
    (void)state;
    char dir[] = "/tmp/crabbox-key-XXXXXX";
    char pub[SSH_PUBKEY_SIZE];
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(ssh_key_generate(&pem, pub, &err), 0);
    assert_true(str_has_prefix(pub, "ssh-ed25519 AAAA"));
    _cleanup_free_ char *path = xasprintf("%s/key", dir);
    assert_int_equal(file_write_new(AT_FDCWD, path, pem.buf, pem.len, 0600, &err), 0);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = (const char *const[]){"ssh-keygen", "-y", "-f", path, NULL};
    assert_int_equal(spawn_run(&spec, &d, 4096, &out, NULL, &st, &err), 0);
    assert_int_equal(dir_remove_tree(AT_FDCWD, dir, &err), 0);
    assert_true(st.exited && st.code == 0);
    assert_memory_equal(out.buf, pub, strlen(pub));
}

static void test_keys_differ_and_lines_are_short(void **state)
{
    (void)state;
    char a[SSH_PUBKEY_SIZE];
    char b[SSH_PUBKEY_SIZE];
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    assert_int_equal(ssh_key_generate(&pem, a, NULL), 0);
    for (const char *p = pem.buf; *p; p += strcspn(p, "\n") + 1)
        assert_true(strcspn(p, "\n") <= 70);
    strbuf_reset(&pem);
    assert_int_equal(ssh_key_generate(&pem, b, NULL), 0);
    assert_string_not_equal(a, b);
}

static void test_public_line_is_parsed_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==",
                                      "ssh-ed25519",
                                      "ssh-ed25519 ",
                                      "ssh-ed25519 !!!!",
                                      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"};
    char pub[SSH_PUBKEY_SIZE];
    char with_comment[SSH_PUBKEY_SIZE + 16];
    ssh_key key = NULL;
    _cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(key_parse_public(bad[i], &key), -1);
    assert_int_equal(key_parse_public(NULL, &key), -1);
    assert_int_equal(ssh_key_generate(&pem, pub, NULL), 0);
    (void)snprintf(with_comment, sizeof with_comment, "%s me@here\n", pub);
    assert_int_equal(key_parse_public(with_comment, &key), 0);
    ssh_key_free(key);
}

/* The shell gives back exactly the words that went in. */
static void test_quoting_survives_a_shell(void **state)
{
    (void)state;
    char awkward[256];
    for (int i = 1; i < 256; i++)
        awkward[i - 1] = (char)i;
    awkward[255] = '\0';
    const char *const argv[] = {"printf", "%s|", "",  "a b", "it's",  "$HOME",
                                "`id`",   "-n",  "*", "\\",  awkward, NULL};
    struct deadline d = deadline_in_ms(60000);
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf want = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    ssh_quote_argv(&line, argv);
    for (size_t i = 2; argv[i]; i++)
        strbuf_addf(&want, "%s|", argv[i]);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = (const char *const[]){"/bin/sh", "-c", line.buf, NULL};
    assert_int_equal(spawn_run(&spec, &d, 4096, &out, NULL, &st, NULL), 0);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(out.buf, want.buf, want.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssh_reads_our_key),
        cmocka_unit_test(test_keys_differ_and_lines_are_short),
        cmocka_unit_test(test_public_line_is_parsed_strictly),
        cmocka_unit_test(test_quoting_survives_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
