#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/str.h"
#include "guest/iso9660.h"
#include "guest/seed.h"

static const char user_data[] =
    "#cloud-config\n"
    "{\"hostname\":\"crabbox-red-fox\","
    "\"users\":[\"default\",{\"name\":\"crabbox\",\"shell\":\"/bin/bash\","
    "\"sudo\":\"ALL=(ALL) NOPASSWD:ALL\",\"lock_passwd\":true,\"groups\":[\"sudo\"],"
    "\"ssh_authorized_keys\":[\"ssh-ed25519 AAAA one\",\"ssh-ed25519 BBBB two\"]}],"
    "\"ssh_keys\":{\"ed25519_private\":\"PRIVATE\\n\",\"ed25519_public\":\"ssh-ed25519 CCCC\"},"
    "\"write_files\":[{\"path\":\"/run/crabbox-fc/nonce\",\"content\":\"0123abcd\\n\","
    "\"permissions\":\"0600\",\"owner\":\"crabbox:crabbox\"},"
    "{\"path\":\"/run/crabbox-fc/clock\",\"content\":\"1700000000.25\\n\"},"
    "{\"path\":\"/run/crabbox-fc/guest.json\","
    "\"content\":\"{\\\"workRoot\\\":\\\"/work/crabbox\\\",\\\"user\\\":\\\"crabbox\\\","
    "\\\"tmpfsSize\\\":\\\"75%\\\"}\"}]}\n";
static const char meta_data[] =
    "{\"instance-id\":\"cbx_0123456789ab\",\"local-hostname\":\"crabbox-red-fox\"}";
static const char network_config[] =
    "{\"version\":2,\"ethernets\":{\"eth0\":{\"match\":{\"macaddress\":\"02:FC:00:00:00:0a\"},"
    "\"set-name\":\"eth0\",\"addresses\":[\"192.0.2.2/30\",\"2001:db8::2/64\"],"
    "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"192.0.2.1\"},{\"to\":\"::/0\","
    "\"via\":\"2001:db8::1\"}],\"nameservers\":{\"addresses\":[\"192.0.2.53\"]}}}}";

struct file {
    const char *name, *text;
};

static const struct file good_files[] = {
    {"user-data", user_data}, {"meta-data", meta_data}, {"network-config", network_config}};

/* An ISO9660 volume in memory; `options` are those of libarchive's writer. */
static int make_iso(const char *options, const struct file *files, size_t n)
{
    int fd = memfd_create("seed", MFD_CLOEXEC);
    struct archive *a = archive_write_new();
    assert_true(fd >= 0);
    assert_int_equal(archive_write_set_format_iso9660(a), ARCHIVE_OK);
    assert_int_equal(archive_write_set_options(a, options), ARCHIVE_OK);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, files[i].name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t)strlen(files[i].text));
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_true(archive_write_data(a, files[i].text, strlen(files[i].text)) >= 0);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    return fd;
}

static void check_seed(const struct seed *s)
{
    assert_string_equal(s->instance_id, "cbx_0123456789ab");
    assert_string_equal(s->hostname, "crabbox-red-fox");
    assert_string_equal(s->user.name, "crabbox");
    assert_string_equal(s->user.shell, "/bin/bash");
    assert_string_equal(s->user.sudo, "ALL=(ALL) NOPASSWD:ALL");
    assert_int_equal(s->user.ngroups, 1);
    assert_string_equal(s->user.groups[0], "sudo");
    assert_int_equal(s->user.nkeys, 2);
    assert_string_equal(s->user.keys[1], "ssh-ed25519 BBBB two");
    assert_string_equal(s->host_private, "PRIVATE\n");
    assert_string_equal(s->host_public, "ssh-ed25519 CCCC");
    assert_int_equal(s->nfiles, 3);
    assert_string_equal(s->files[0].path, "/run/crabbox-fc/nonce");
    assert_string_equal(s->files[0].content, "0123abcd\n");
    assert_int_equal(s->files[0].mode, 0600);
    assert_false(s->files[0].root_owned);
    assert_int_equal(s->files[1].mode, 0644);
    assert_true(s->files[1].root_owned);
    assert_true(s->clock_known);
    assert_int_equal(s->clock.tv_sec, 1700000000);
    assert_int_equal(s->clock.tv_nsec, 250000000);
    assert_string_equal(s->work_root, "/work/crabbox");
    assert_string_equal(s->upper, "75%");
}

static void check_net(const struct seed_net *n)
{
    static const uint8_t mac[6] = {0x02, 0xfc, 0, 0, 0, 0x0a};
    static const uint8_t v4[4] = {192, 0, 2, 2}, via[4] = {192, 0, 2, 1}, dns[4] = {192, 0, 2, 53};
    assert_string_equal(n->name, "eth0");
    assert_memory_equal(n->mac, mac, 6);
    assert_int_equal(n->naddrs, 2);
    assert_memory_equal(n->addrs[0].bytes, v4, 4);
    assert_int_equal(n->addrs[0].prefix, 30);
    assert_int_equal(n->addrs[1].family, AF_INET6);
    assert_int_equal(n->addrs[1].prefix, 64);
    assert_int_equal(n->nroutes, 2);
    assert_int_equal(n->routes[0].to.prefix, 0);
    assert_memory_equal(n->routes[0].via.bytes, via, 4);
    assert_int_equal(n->routes[1].to.family, AF_INET6);
    assert_int_equal(n->nservers, 1);
    assert_memory_equal(n->servers[0].bytes, dns, 4);
}

/* Long names come from either extension; real writers offer one or both. */
static void reads_joliet_and_rock_ridge(void **state)
{
    static const char *const variants[] = {
        "iso9660:volume-id=cidata,iso9660:joliet,iso9660:rockridge=useful",
        "iso9660:volume-id=CIDATA,iso9660:joliet,iso9660:!rockridge",
        "iso9660:volume-id=cidata,iso9660:!joliet,iso9660:rockridge=strict",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        struct error err = ERROR_INIT;
        _cleanup_seed_ struct seed s = {0};
        _cleanup_close_ int fd = make_iso(variants[i], good_files, ARRAY_LEN(good_files));
        if (seed_read(fd, &s, &err) < 0)
            fail_msg("%s: %s", variants[i], err.msg);
        check_seed(&s);
        assert_true(s.has_net);
        check_net(&s.net);
    }
}

static void goes_without_a_network(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    _cleanup_close_ int fd = make_iso("iso9660:volume-id=cidata", good_files, 2);
    assert_int_equal(seed_read(fd, &s, &err), 0);
    assert_false(s.has_net);
}

static void tells_other_drives_from_seeds(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    _cleanup_close_ int other = make_iso("iso9660:volume-id=backup", good_files, 3);
    assert_int_equal(seed_read(other, &s, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strcasestr(err.msg, "backup"));
    _cleanup_close_ int zeros = memfd_create("zeros", MFD_CLOEXEC);
    assert_int_equal(ftruncate(zeros, 1024 * 1024), 0);
    assert_int_equal(seed_read(zeros, &s, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    _cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC);
    assert_int_equal(seed_read(empty, &s, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
}

static void names_the_missing_file(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    _cleanup_close_ int fd = make_iso("iso9660:volume-id=cidata", good_files, 1);
    assert_int_equal(seed_read(fd, &s, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "meta-data"));
}

static void refuses_a_huge_file(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    _cleanup_free_ char *big = xcalloc(1, SEED_FILE_MAX + 2);
    memset(big, ' ', SEED_FILE_MAX + 1);
    const struct file files[] = {{"user-data", big}, {"meta-data", meta_data}};
    _cleanup_seed_ struct seed s = {0};
    _cleanup_close_ int fd = make_iso("iso9660:volume-id=cidata", files, 2);
    assert_int_equal(seed_read(fd, &s, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.msg, "at most"));
}

/* A drive cut at any sector is an error or, past its last byte of data, the whole seed. */
static void survives_truncation(void **state)
{
    (void)state;
    _cleanup_close_ int fd = make_iso("iso9660:volume-id=cidata", good_files, 3);
    unsigned refused = 0;
    for (off_t n = lseek(fd, 0, SEEK_END) - ISO_SECTOR; n >= 0; n -= ISO_SECTOR) {
        struct error err = ERROR_INIT;
        _cleanup_seed_ struct seed s = {0};
        assert_int_equal(ftruncate(fd, n), 0);
        refused += seed_read(fd, &s, &err) < 0;
    }
    assert_true(refused > 16);
}

/* Replaces the one occurrence of `from` in user-data, meta-data or network-config. */
static void assert_bad(const char *from, const char *to, const char *why)
{
    const char *texts[] = {user_data, meta_data, network_config};
    bool hit = false;
    char *changed = NULL;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *at = strstr(texts[i], from);
        if (!at)
            continue;
        hit = true;
        changed = xasprintf("%.*s%s%s", (int)(at - texts[i]), texts[i], to, at + strlen(from));
        texts[i] = changed;
        break;
    }
    assert_true(hit);
    struct error err = ERROR_INIT;
    _cleanup_seed_ struct seed s = {0};
    int r = seed_parse(texts[0], texts[1], texts[2], &s, &err);
    if (r == 0 || !strstr(err.msg, why))
        fail_msg("%s -> %s: %d, \"%s\" lacks \"%s\"", from, to, r, err.msg, why);
    free(changed);
}

static void refuses_hostile_content(void **state)
{
    (void)state;
    assert_bad("#cloud-config", "#!/bin/sh", "#cloud-config");
    assert_bad("\"name\":\"crabbox\"", "\"name\":\"a:b\"", "users[0].name");
    assert_bad("\"name\":\"crabbox\"", "\"name\":\"../etc\"", "users[0].name");
    assert_bad("/bin/bash", "/bin/ba:sh", "shell");
    assert_bad("NOPASSWD:ALL", "NOPASSWD:ALL\\nroot", "sudo is not one line");
    assert_bad("AAAA one", "AAAA\\none", "ssh_authorized_keys");
    assert_bad("[\"sudo\"]", "[\"su,do\"]", "a group");
    assert_bad("\"/run/crabbox-fc/nonce\"", "\"/run/../etc/passwd\"", "write_files");
    assert_bad("\"/run/crabbox-fc/nonce\"", "\"relative\"", "write_files");
    assert_bad("\"0600\"", "\"0899\"", "permissions");
    assert_bad("\"permissions\":\"0600\"", "\"encoding\":\"b64\"", "encoding");
    assert_bad("1700000000.25", "yesterday", "clock");
    assert_bad("/work/crabbox\\\"", "work\\\"", "workRoot");
    assert_bad("75%", "a,b", "tmpfsSize");
    assert_bad("\\\"user\\\":\\\"crabbox\\\"", "\\\"user\\\":\\\"root\\\"", "another user");
    assert_bad("ed25519_private", "rsa_private", "host key");
    assert_bad("crabbox-red-fox\"}", "a b\"}", "local-hostname");
    assert_bad("cbx_0123456789ab", "", "instance-id");
}

static void refuses_a_bad_network(void **state)
{
    (void)state;
    assert_bad("\"version\":2", "\"version\":1", "version 2");
    assert_bad("02:FC:00:00:00:0a", "02:FC:00:00:00", "macaddress");
    assert_bad("02:FC:00:00:00:0a", "02:FC:00:00:00:zz", "macaddress");
    assert_bad("192.0.2.2/30", "192.0.2.2/33", "addresses");
    assert_bad("192.0.2.2/30", "192.0.2.999", "addresses");
    assert_bad("\"set-name\":\"eth0\"", "\"set-name\":\"a/b\"", "interface name");
    assert_bad("\"via\":\"192.0.2.1\"", "\"via\":\"2001:db8::1\"", "destination");
    assert_bad("\"via\":\"192.0.2.1\"", "\"on-link\":true", "no via");
    assert_bad("\"ethernets\":{", "\"ethernets\":{\"eth9\":{},", "exactly one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_joliet_and_rock_ridge),   cmocka_unit_test(goes_without_a_network),
        cmocka_unit_test(tells_other_drives_from_seeds), cmocka_unit_test(names_the_missing_file),
        cmocka_unit_test(refuses_a_huge_file),           cmocka_unit_test(survives_truncation),
        cmocka_unit_test(refuses_hostile_content),       cmocka_unit_test(refuses_a_bad_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
