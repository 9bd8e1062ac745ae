/* The stand-in is as strict as what it stands in for: raw HTTP against the built program. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "sys/file.h"

static struct child vmm = CHILD_INIT;

static void start(void)
{
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    _cleanup_free_ char *program = xasprintf("%s/tools/standin-firecracker", bed.build);
    _cleanup_close_ int cwd = open(bed.work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    spec.any_owner = true;
    spec.argv = (const char *const[]){program, "--api-sock", "api.sock", "--id", "vm-1", NULL};
    spec.envp = (const char *const *)bed.env;
    spec.cwd_fd = cwd;
    if (spawn(&spec, &vmm, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(bed_wait_file(&bed, "work/api.sock", 60000));
}

static int before_each(void **state)
{
    (void)state;
    start();
    return 0;
}

static int after_each(void **state)
{
    child_kill(&vmm);
    (void)BED_EXEC(&bed, "sh", "-c", "rm -rf *; ip link del tap0 2>/dev/null");
    return e2e_after_each(state);
}

static int dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    assert_int_equal(str_format(sa.sun_path, sizeof sa.sun_path, "%s/api.sock", bed.work), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The file appears at bind, a moment before listen. */
    for (int i = 0; connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0; i++) {
        assert_int_equal(errno, ECONNREFUSED);
        assert_true(i < 1000);
        (void)poll(NULL, 0, 1);
    }
    return fd;
}

/* Sends bytes, reads one reply of at most `size` bytes, returns its status. */
static int exchange(int fd, const char *request, size_t len, char *reply, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), len);
    assert_int_equal(poll(&p, 1, 5000), 1);
    ssize_t n = recv(fd, reply, size - 1, 0);
    assert_true(n > 0);
    reply[n] = '\0';
    int status = 0;
    assert_int_equal(sscanf(reply, "HTTP/1.1 %d ", &status), 1);
    return status;
}

struct call {
    const char *method, *path, *body;
    int status;
    const char *says;
};

static void check(int fd, const struct call *c)
{
    char reply[65536];
    _cleanup_free_ char *request =
        c->body ? xasprintf("%s %s HTTP/1.1\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            c->method, c->path, strlen(c->body), c->body)
                : xasprintf("%s %s HTTP/1.1\r\n\r\n", c->method, c->path);
    int status = exchange(fd, request, strlen(request), reply, sizeof reply);
    if (status != c->status)
        fail_msg("%s %s %s: %d instead of %d: %s", c->method, c->path, c->body ? c->body : "",
                 status, c->status, reply);
    if (status == 400)
        bed_assert_has(reply, "fault_message");
    if (status == 204)
        assert_null(strstr(reply, "Content-Length"));
    if (c->says)
        bed_assert_has(reply, c->says);
}

static const struct call before_start[] = {
    {"GET", "/", NULL, 200, "\"state\":\"Not started\""},
    {"GET", "/version", NULL, 200, "\"firecracker_version\":\"1.14.0\""},
    {"GET", "/machine-config", NULL, 200, "\"vcpu_count\":1"},
    {"GET", "/nothing", NULL, 400, "GET /nothing"},
    {"POST", "/actions", "{}", 400, NULL},
    {"GET", "/version", "{}", 400, "body"},
    {"PUT", "/machine-config", NULL, 400, "body"},
    {"PUT", "/machine-config", "{", 400, NULL},
    {"PUT", "/machine-config", "[]", 400, "object"},
    {"PUT", "/machine-config", "{\"vcpu_count\":1}", 400, "mem_size_mib"},
    {"PUT", "/machine-config", "{\"vcpu_count\":0,\"mem_size_mib\":1}", 400, "vcpu_count"},
    {"PUT", "/machine-config", "{\"vcpu_count\":33,\"mem_size_mib\":1}", 400, "vcpu_count"},
    {"PUT", "/machine-config", "{\"vcpu_count\":1.5,\"mem_size_mib\":1}", 400, "vcpu_count"},
    {"PUT", "/machine-config", "{\"vcpu_count\":\"1\",\"mem_size_mib\":1}", 400, "vcpu_count"},
    {"PUT", "/machine-config", "{\"vcpu_count\":1,\"mem_size_mib\":1,\"x\":1}", 400, "`x`"},
    {"PUT", "/machine-config", "{\"vcpu_count\":3,\"mem_size_mib\":1,\"smt\":true}", 400, "smt"},
    {"PUT", "/machine-config", "{\"vcpu_count\":2,\"mem_size_mib\":64}", 204, NULL},
    {"PUT", "/drives/a", "{\"drive_id\":\"b\",\"is_root_device\":true,\"path_on_host\":\"d\"}", 400,
     "id in the path"},
    {"PUT", "/drives/a-b", "{\"drive_id\":\"a-b\",\"is_root_device\":true,\"path_on_host\":\"d\"}",
     400, NULL},
    {"PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":true,\"path_on_host\":\"none\"}",
     400, "none"},
    {"PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":true,\"path_on_host\":\"disk\"}",
     204, NULL},
    {"PUT", "/drives/b", "{\"drive_id\":\"b\",\"is_root_device\":true,\"path_on_host\":\"disk\"}",
     400, "root"},
    {"PUT", "/drives/b",
     "{\"drive_id\":\"b\",\"is_root_device\":false,\"path_on_host\":\"disk\",\"io_engine\":\"X\"}",
     400, "io_engine"},
    {"PUT", "/network-interfaces/e", "{\"iface_id\":\"e\",\"host_dev_name\":\"none0\"}", 400,
     "none0"},
    {"PUT", "/network-interfaces/e",
     "{\"iface_id\":\"e\",\"host_dev_name\":\"tap0\",\"guest_mac\":\"xx\"}", 400, "guest_mac"},
    {"PUT", "/network-interfaces/e", "{\"iface_id\":\"e\",\"host_dev_name\":\"tap0\",\"mtu\":1400}",
     400, "mtu"},
    {"PUT", "/serial", "{\"serial_out_path\":\"absent\"}", 400, "absent"},
    {"PUT", "/vsock", "{\"guest_cid\":2,\"uds_path\":\"v\"}", 400, "guest_cid"},
    {"PUT", "/entropy", "{\"x\":1}", 400, "`x`"},
    {"PUT", "/entropy", "{}", 204, NULL},
    {"GET", "/vm/config", NULL, 200, "\"entropy\":{\"rate_limiter\":null}"},
    {"PUT", "/actions", "{\"action_type\":\"Reboot\"}", 400, "action_type"},
    {"PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", 400, "before"},
    {"PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 400, "kernel"},
    {"PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", 400, "before"},
    {"PATCH", "/vm", "{\"state\":\"Paused\"}", 400, "before"},
    {"PUT", "/boot-source", "{\"kernel_image_path\":\"none\"}", 400, "none"},
    {"PUT", "/boot-source", "{\"kernel_image_path\":\"disk\"}", 204, NULL},
    {"PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 400, "ELF"},
};

/* One connection for all of it: the real one keeps it open, errors or not. */
static void test_refuses_what_the_real_one_refuses(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        &bed, "sh", "-ec", "truncate -s 1M disk; ip tuntap add tap0 mode tap vnet_hdr");
    bed_assert_code(r, 0);
    _cleanup_close_ int fd = dial();
    for (size_t i = 0; i < ARRAY_LEN(before_start); i++)
        check(fd, &before_start[i]);
}

/* What the client may say is shorter than what fits: at the start words are added. */
static void test_the_command_line_has_room_for_the_words_of_the_vmm(void **state)
{
    (void)state;
    static const struct {
        int len, put, start;
    } table[] = {{2048, 400, 0}, {2047, 204, 400}, {2005, 204, 400}};
    _cleanup_close_ int fd = dial();
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "truncate", "-s", "1M", "disk");
    bed_assert_code(r, 0);
    /* 8 bytes for pci=off, 35 for the place of the drive. */
    check(fd,
          &(struct call){"PUT", "/drives/a",
                         "{\"drive_id\":\"a\",\"is_root_device\":false,\"path_on_host\":\"disk\"}",
                         204, NULL});
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_free_ char *body = xasprintf(
            "{\"kernel_image_path\":\"%s/tools/standin-firecracker\",\"boot_args\":\"%0*d\"}",
            bed.build, table[i].len, 0);
        check(fd, &(struct call){"PUT", "/boot-source", body, table[i].put, NULL});
        if (table[i].start)
            check(fd, &(struct call){"PUT", "/actions", "{\"action_type\":\"InstanceStart\"}",
                                     table[i].start, "too long"});
    }
}

static void test_reads_requests_in_pieces_and_pipelined(void **state)
{
    (void)state;
    static const char two[] = "GET /version HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    char reply[4096];
    struct pollfd p;
    _cleanup_close_ int fd = dial();
    for (size_t i = 0; i < sizeof two - 1; i++)
        assert_int_equal(send(fd, two + i, 1, MSG_NOSIGNAL), 1);
    size_t len = 0;
    while (len < sizeof reply - 1) {
        p = (struct pollfd){.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t n = recv(fd, reply + len, sizeof reply - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        reply[len] = '\0';
        if (strstr(reply, "app_name"))
            break;
    }
    bed_assert_has(reply, "firecracker_version");
}

static void test_refuses_bodies_beyond_the_limit(void **state)
{
    (void)state;
    char reply[4096];
    static const char *const heads[] = {
        "PUT /mmds HTTP/1.1\r\nContent-Length: 51201\r\n\r\n",
        "PUT /mmds HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "PUT /mmds HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /mmds HTTP/1.0\r\n\r\n",
        "rubbish\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        _cleanup_close_ int fd = dial();
        assert_int_equal(exchange(fd, heads[i], strlen(heads[i]), reply, sizeof reply), 400);
        bed_assert_has(reply, "{ \"error\": \"");
    }
}

/* ---- command line ---- */

static struct bed_result run_standin(const char *args)
{
    _cleanup_free_ char *line = xasprintf("exec %s/tools/standin-firecracker %s", bed.build, args);
    return BED_EXEC(&bed, "sh", "-c", line);
}

static void test_command_line(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result v = run_standin("--version");
    bed_assert_code(v, 0);
    bed_assert_has(v.out.buf, "Firecracker v1.14.0\n");
    _cleanup_bed_result_ struct bed_result u = run_standin("--api-sock other.sock --unknown");
    bed_assert_code(u, 153);
    _cleanup_bed_result_ struct bed_result i = run_standin("--api-sock other.sock --id no_good");
    bed_assert_code(i, 153);
    /* The socket that is there belongs to the one that runs. */
    _cleanup_bed_result_ struct bed_result s = run_standin("--api-sock api.sock --id vm-2");
    bed_assert_code(s, 1);
    bed_assert_has(s.err.buf, "api.sock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refuses_what_the_real_one_refuses, before_each,
                                        after_each),
        cmocka_unit_test_setup_teardown(test_the_command_line_has_room_for_the_words_of_the_vmm,
                                        before_each, after_each),
        cmocka_unit_test_setup_teardown(test_reads_requests_in_pieces_and_pipelined, before_each,
                                        after_each),
        cmocka_unit_test_setup_teardown(test_refuses_bodies_beyond_the_limit, before_each,
                                        after_each),
        cmocka_unit_test_setup_teardown(test_command_line, before_each, after_each),
    };
    return E2E_MAIN(tests);
}
