/* cp and tunnel through the stand-in. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "e2e/e2e.h"

static int fresh(void **state)
{
    (void)state;
    e2e_shell("rm -rf ./* .[!.]*");
    e2e_guest("box", "mkdir -p t && rm -rf t/* t/.[!.]*");
    return 0;
}

static void test_file_both_ways(void **state)
{
    (void)state;
    e2e_shell("head -c 3000000 /dev/urandom > 'a b'; chmod 750 'a b'");
    E2E_OK("cp", "a b", "box:t/");
    E2E_OK("cp", "a b", "box:t/new/name");
    E2E_OK("cp", "a b", "box:t");
    e2e_guest("box", "cmp 't/a b' t/new/name && test $(stat -c %a t/new/name) = 750 && "
                     "test \"$(ls -A t)\" = \"$(printf 'a b\\nnew')\"");
    E2E_OK("cp", "box:t/new/name", ".");
    _cleanup_bed_result_ struct bed_result deep = BED_RUN(&bed, "cp", "box:t/new/name",
                                                          "deep/er/copy");
    bed_assert_code(deep, 0);
    _cleanup_free_ char *made = xasprintf("made the directory %s/deep/er for t/new/name\n",
                                          bed.work);
    bed_assert_has(deep.err.buf, made);
    bed_assert_has(deep.err.buf, "copied 1 file, 3000000 bytes");
    e2e_shell("cmp 'a b' name; cmp 'a b' deep/er/copy; test -x name; rm -r deep");
    _cleanup_free_ char *absolute = xasprintf("%s/deep/er/", bed.work);
    _cleanup_bed_result_ struct bed_result again = BED_RUN(&bed, "cp", "box:t/new/name", absolute);
    bed_assert_has(again.err.buf, made);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "--json", "box:t/new/name", "j");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "3000000");
}

static void test_directory_both_ways(void **state)
{
    (void)state;
    e2e_shell("mkdir -p d/sub d/.git; echo 1 > d/one; echo 2 > d/sub/two; ln -s sub/two d/link\n"
              "echo g > d/.git/config; echo out > d/.gitignore; echo o > d/out; mkfifo d/pipe");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "d", "box:t");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "left out");
    e2e_guest("box", "cd t/d && test \"$(cat one sub/two link .git/config out)\" = "
                     "\"$(printf '1\\n2\\n2\\ng\\no')\" && test -L link && test ! -e pipe");
    E2E_OK("cp", "box:t/d", "back");
    e2e_shell("test \"$(cat back/one back/sub/two)\" = \"$(printf '1\\n2')\"; test ! -L back/link");
    E2E_OK("cp", "box:t/d/", "back/"); /* into it, as it exists */
    e2e_shell("test -f back/d/one");
}

/* The name that was asked for excuses itself, not what the guest has put below it. */
static void test_a_directory_called_head(void **state)
{
    (void)state;
    e2e_guest("box", "mkdir -p t/head/sub/.git t/.git/refs && cd t && touch head/fine head/.envrc "
                     "head/sub/.git/config .git/HEAD .git/config");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "box:t/head", ".");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "would obey");
    E2E_OK("cp", "box:t/.git", "whole");
    e2e_shell("test -f head/fine -a ! -e head/.envrc -a ! -e head/sub/.git\n"
              "test -f whole/HEAD -a -f whole/config");
}

static void failed(int code, const char *why, const char *from, const char *to)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", from, to);
    bed_assert_code(r, code);
    bed_assert_has(r.err.buf, why);
}

static void test_what_can_not_be_copied(void **state)
{
    (void)state;
    e2e_shell("echo x > f; mkdir -p a/b");
    failed(2, "exactly one", "f", "g");
    failed(2, "exactly one", "box:f", "box:g");
    failed(4, "nobody", "nobody:f", ".");
    failed(4, "fetch t/none: the guest has no such file or directory", "box:t/none", ".");
    failed(4, "no such file", "box:t/none", "made/for/it");
    failed(1, "none", "none", "box:");
    failed(7, "can't receive it", "f", "box:/proc/none/f");
    failed(1, "regular", "box:/etc/hostname", "/dev/null");
    failed(2, "neither", "/dev/null", "box:");
    _cleanup_free_ char *socket = xasprintf("%s/socket", bed.work);
    assert_int_equal(mknod(socket, S_IFSOCK | 0600, 0), 0); /* which can't even be opened */
    failed(2, "neither", "socket", "box:");
    e2e_shell("rm socket; test -c /dev/null; test \"$(ls -A)\" = \"$(printf 'a\\nf')\"");
    /* A colon after a slash belongs to a name of the host. */
    e2e_shell("mkdir -p x; echo y > x/c:d");
    E2E_OK("cp", "x/c:d", "box:t/");
    e2e_guest("box", "test \"$(cat t/c:d)\" = y");
}

/* ---- tunnel ---- */

/* Connects to a port of ours, waiting until somebody listens, and reads until the end. */
static bool read_port(uint16_t port, char *buf, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct deadline d = deadline_in_ms(10000);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (!deadline_passed(&d)) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            ssize_t n = recv(fd, buf, size - 1, MSG_WAITALL);
            buf[n > 0 ? n : 0] = '\0';
            return n > 0;
        }
        (void)poll(NULL, 0, 20);
    }
    return false;
}

/* A port of the guest (its SSH server's banner) is seen here, on loopback only. */
static void test_tunnel(void **state)
{
    (void)state;
    char buf[5];
    struct child c = BED_START(&bed, -1, "tunnel", "-L", "18022:22", "-R", "18023:127.0.0.1:18022",
                               "-L", "[127.0.0.1]:18024:[127.0.0.1]:22", "box");
    bool ok = read_port(18022, buf, sizeof buf) && read_port(18024, buf, sizeof buf);
    _cleanup_bed_result_ struct bed_result ss = BED_EXEC(
        &bed, "sh", "-c", "ss -Hltn 'sport = 18022' | awk '{print $4}'");
    _cleanup_bed_result_ struct bed_result b = BED_RUN(
        &bed, "ssh", "box", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/18023; head -c 4 <&3'");
    e2e_signal(&c, SIGTERM);
    (void)e2e_wait(&c, 10000);
    assert_true(ok);
    assert_string_equal(buf, "SSH-");
    assert_string_equal(ss.out.buf, "127.0.0.1:18022\n");
    bed_assert_code(b, 0);
    assert_string_equal(b.out.buf, "SSH-");
}

static void test_tunnel_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "0", "70000", "a", "1:2:3:4:5", "-oX=y", "80:a b:80", "80:$(x):80", "80:", "x:80",
        /* ssh takes some of these for the order to open a proxy */
        "[::1]:1080", "[::1]", "*:1080", "h:1080", "80:[::1]", "[::1]:80:h", "[::1]:0:h:80", "[::1",
        "[]:80:h:80", "[::1]80:h:80", "[::1]:80:[::1]:", ":80:h:80", "80::80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        E2E_CODE(2, "tunnel", "-L", bad[i], "box");
        E2E_CODE(2, "tunnel", "-R", bad[i], "box");
    }
    E2E_CODE(2, "tunnel", "box");
    E2E_CODE(4, "tunnel", "-L", "80", "nobody");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_file_both_ways, fresh),
        cmocka_unit_test_setup(test_directory_both_ways, fresh),
        cmocka_unit_test_setup(test_a_directory_called_head, fresh),
        cmocka_unit_test_setup(test_what_can_not_be_copied, fresh),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_tunnel_refuses),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
