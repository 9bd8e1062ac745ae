/* Seed drives: what the host writes, the guest's own reader gives back word for word, and
 * util-linux recognises the drive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "guest/seed.h"
#include "image/image.h"
#include "image/seed.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "testutil/scratch.h"

static const char *const servers[] = {"198.51.100.1", "198.51.100.2"};

static const struct seed_spec sample = {
    .lease_id = "cbx_0123456789ab",
    .hostname = "crabbox-blue-crab",
    .user = "crabbox",
    .work_root = "/work/crab box",
    .authorized_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeClientKey crabbox",
    .host_key_private = "-----BEGIN OPENSSH PRIVATE KEY-----\nQUJD\nREVG\n"
                        "-----END OPENSSH PRIVATE KEY-----\n",
    .host_key_public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeHostKey",
    .nonce = "00112233445566778899aabbccddeeff",
    .guest_mac = "02:fc:0a:d5:00:02",
    .guest_addr = "192.0.2.2",
    .gateway = "192.0.2.1",
    .dns = servers,
    .n_dns = 2,
    .dns_search = "corp.example lab.example",
    .dns_options = "ndots:2",
};

/* Writes the drive and reads it as the guest does. */
static void round_trip(const struct seed_spec *spec, struct seed *out)
{
    struct error err = ERROR_INIT;
    must(image_write_seed(scratch_fd, "seed.img", spec, &err), &err);
    _cleanup_close_ int fd = openat(scratch_fd, "seed.img", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    must(seed_read(fd, out, &err), &err);
    must(file_unlink(scratch_fd, "seed.img", &err), &err);
}

static const struct seed_file *find_file(const struct seed *seed, const char *path)
{
    for (unsigned i = 0; i < seed->nfiles; i++)
        if (str_eq(seed->files[i].path, path))
            return &seed->files[i];
    fail_msg("no file %s in the seed", path);
    return NULL;
}

static void addr_is(const struct seed_addr *a, const char *text, unsigned prefix)
{
    char got[INET_ADDRSTRLEN] = "";
    assert_int_equal(a->family, AF_INET);
    assert_non_null(inet_ntop(AF_INET, &a->v4, got, sizeof got));
    assert_string_equal(got, text);
    assert_int_equal(a->prefix, prefix);
}

static void test_guest_reads_it(void **state)
{
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    round_trip(&sample, &s);
    assert_string_equal(s.instance_id, sample.lease_id);
    assert_string_equal(s.hostname, sample.hostname);
    assert_string_equal(s.user.name, sample.user);
    assert_int_equal(s.user.nkeys, 1);
    assert_string_equal(s.user.keys[0], sample.authorized_key);
    assert_string_equal(s.user.shell, "/bin/bash");
    assert_string_equal(s.host_private, sample.host_key_private);
    assert_string_equal(s.host_public, sample.host_key_public);
    assert_string_equal(s.work_root, sample.work_root);
    assert_string_equal(find_file(&s, SEED_NONCE_PATH)->content,
                        "00112233445566778899aabbccddeeff\n");
    assert_true(find_file(&s, SEED_NONCE_PATH)->root_owned);
    assert_int_equal(find_file(&s, SEED_NONCE_PATH)->mode, 0644);
    assert_true(s.clock_known);
    assert_in_range(s.clock.tv_sec, clock_unix_s() - 60, clock_unix_s());
}

static void test_network(void **state)
{
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    static const uint8_t mac[6] = {0x02, 0xfc, 0x0a, 0xd5, 0x00, 0x02};
    round_trip(&sample, &s);
    assert_true(s.has_net);
    assert_string_equal(s.net.name, "eth0");
    assert_memory_equal(s.net.mac, mac, sizeof mac);
    assert_int_equal(s.net.naddrs, 1);
    addr_is(&s.net.addrs[0], "192.0.2.2", 30);
    assert_int_equal(s.net.nroutes, 1);
    addr_is(&s.net.routes[0].to, "0.0.0.0", 0);
    addr_is(&s.net.routes[0].via, "192.0.2.1", 32);
    assert_int_equal(s.net.nservers, 2);
    addr_is(&s.net.servers[1], servers[1], 32);
}

/* Bytes that JSON has to escape arrive as they were. */
static void test_odd_bytes(void **state)
{
    (void)state;
    struct seed_spec odd = sample;
    _cleanup_seed_ struct seed s = {0};
    odd.work_root = "/a\"b\\c'd$(e)`f`#g: h\xc3\xa9";
    odd.host_key_private = "a\tb\nc\"d\\e\x01\x1f\n\n";
    round_trip(&odd, &s);
    assert_string_equal(s.work_root, odd.work_root);
    assert_string_equal(s.host_private, odd.host_key_private);
}

/* Our guest gets the whole file; a stock one what network-config knows of it. */
static void test_search_domains(void **state)
{
    (void)state;
    _cleanup_seed_ struct seed s = {0};
    struct seed_spec none = sample;
    struct timespec now = {.tv_sec = 1};
    round_trip(&sample, &s);
    _cleanup_free_ char *lines = xasprintf("nameserver %s\nnameserver %s\n", servers[0],
                                           servers[1]);
    _cleanup_free_ char *want = xasprintf(
        "%ssearch corp.example lab.example\noptions timeout:2 attempts:2 ndots:2\n", lines);
    assert_string_equal(find_file(&s, "/etc/resolv.conf")->content, want);
    _cleanup_free_ char *net = seed_network_config(&sample);
    assert_non_null(strstr(net, "\"search\":[\"corp.example\",\"lab.example\"]"));
    none.dns_search = none.dns_options = "";
    none.stock = true;
    _cleanup_free_ char *user = seed_user_data(&none, &now), *plain = seed_network_config(&none);
    assert_null(strstr(user, "resolv.conf"));
    assert_null(strstr(plain, "search"));
}

static void test_stock_runs_commands(void **state)
{
    (void)state;
    struct seed_spec stock = sample;
    struct error err = ERROR_INIT;
    struct timespec now = {.tv_sec = 1, .tv_nsec = 2};
    stock.stock = true;
    _cleanup_free_ char *text = seed_user_data(&stock, &now);
    assert_true(str_has_prefix(text, "#cloud-config\n{"));
    assert_non_null(strstr(text, "1.000000002"));
    assert_null(strstr(text, "guest.json"));
    assert_null(strchr(text, '\t')); /* YAML forbids it between tokens */
    const char *json = strchr(text, '\n');
    _cleanup_json_ cJSON *j = json_parse(json, strlen(json), "user-data", &err);
    assert_non_null(j);
    const cJSON *runcmd = cJSON_GetObjectItemCaseSensitive(j, "runcmd");
    assert_int_equal(cJSON_GetArraySize(runcmd), 2);
    const cJSON *mkdir_line = cJSON_GetArrayItem(runcmd, 0);
    assert_string_equal(cJSON_GetArrayItem(mkdir_line, 3)->valuestring, sample.work_root);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetArrayItem(runcmd, 1), 2)->valuestring,
                        "crabbox:");
}

static void test_util_linux_knows_it(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char path[PATH_MAX];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    must(image_write_seed(scratch_fd, "blkid.img", &sample, &err), &err);
    assert_int_equal(str_format(path, sizeof path, "%s/blkid.img", scratch_dir), 0);
    const char *const argv[] = {"/sbin/blkid", "-p", "-o", "export", path, NULL};
    assert_int_equal(run_program(argv, &out), 0);
    assert_non_null(strstr(out.buf, "LABEL=cidata\n"));
    assert_non_null(strstr(out.buf, "TYPE=iso9660\n"));
}

/* It holds a private key: nobody else may read it; and no file is ever replaced. */
static void test_private_and_exclusive(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    mode_t old = umask(0);
    must(image_write_seed(scratch_fd, "mode.img", &sample, &err), &err);
    (void)umask(old);
    assert_int_equal(fstatat(scratch_fd, "mode.img", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(st.st_size % 2048, 0);
    print_message("seed drive: %lld bytes\n", (long long)st.st_size);
    assert_int_equal(image_write_seed(scratch_fd, "mode.img", &sample, &err), -1);
    assert_int_equal(err.sys, EEXIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_reads_it),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_search_domains),
        cmocka_unit_test(test_stock_runs_commands),
        cmocka_unit_test(test_util_linux_knows_it),
        cmocka_unit_test(test_private_and_exclusive),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
