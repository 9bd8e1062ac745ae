/* Files on their way to a lease and back: sync, cp, results, tunnel. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "e2e/provider_suite.h"

/* An empty work directory here and there. */
static int fresh(void **state)
{
    (void)state;
    e2e_shell("rm -rf ./* .[!.]*; umask 022");
    E2E_OK("run", "--id", "box", "--no-sync", "-q", "--", "sh", "-c", "rm -rf ./* .[!.]*");
    e2e_guest("box", "mkdir -p t && rm -rf t/* t/.[!.]*");
    return 0;
}

#define RUN "run", "--id", "box", "--no-sync"

/* ---- there ---- */

static void test_sync_of_a_git_tree(void **state)
{
    (void)state;
    e2e_shell("rm -rf * .git; git init -q .; printf 'out\\n' > .gitignore; mkdir -p sub out\n"
              "printf 'int main(void){return 7;}\\n' > sub/seven.c; echo no > out/ignored\n"
              "printf 'x' > 'a name with spaces'; ln -s sub/seven.c link; chmod +x sub/seven.c\n"
              "git add . && git -c user.name=t -c user.email=t@t commit -qm t\n"
              "echo new > untracked\n"
              "sleep 0.2"); /* what changed just before a sync is sent once more */
    E2E_CODE(7, "run", "--id", "box", "-q", "--", "sh", "-ec",
             "test -f untracked; test ! -e out/ignored; test -f 'a name with spaces'\n"
             "test -L link; test -x sub/seven.c; cc -o /tmp/seven sub/seven.c; exec /tmp/seven");
    /* The second one brings the difference. */
    e2e_shell("rm untracked link; echo changed > 'a name with spaces'");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(
        &bed, "run", "--id", "box", "-q", "--timing-json", "--", "sh", "-c",
        "cat 'a name with spaces'; test ! -e untracked -a ! -L link -a -x sub/seven.c");
    bed_assert_code(s, 0);
    assert_string_equal(s.out.buf, "changed\n");
    _cleanup_json_ cJSON *j = e2e_timing(&s);
    assert_int_equal(json_opt_i64(j, "syncFilesSent", -1), 1);
    assert_int_equal(json_opt_i64(j, "syncFilesDeleted", -1), 2);
    e2e_shell("rm -rf .git * .gitignore");
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

/* ---- and back ---- */

static void test_download(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, RUN, "--download", "out/a.txt=.", "--download", "out=got/tree", "--download",
        "out/a.txt=renamed", "--download", "out/a.txt=made/x", "--download", "out/a.txt=made", "--",
        "sh", "-ec",
        "mkdir -p out/sub; echo alpha > out/a.txt; echo beta > 'out/sub/b c'\n"
        "chmod 4755 'out/sub/b c'; ln -s /etc/passwd out/way; ln -s . out/loop; mkfifo out/pipe");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "left out: 3 links or special files");
    bed_assert_has(r.err.buf, "/got for out\n");
    bed_assert_has(r.err.buf, "/made for out/a.txt\n");
    e2e_shell(
        "test \"$(cat a.txt renamed got/tree/a.txt)\" = \"$(printf 'alpha\\nalpha\\nalpha')\"\n"
        "test \"$(cat 'got/tree/sub/b c')\" = beta; cmp made/x made/a.txt\n"
        "test -x 'got/tree/sub/b c' -a ! -u 'got/tree/sub/b c'\n"
        "test ! -e got/tree/way -a ! -L got/tree/way -a ! -e got/tree/pipe -a ! -L got/tree/loop");
}

static void test_artifacts(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, RUN, "--timing-json", "--artifact-glob", "logs/**/*.log", "--artifact-glob", "*.txt",
        "--", "sh", "-ec",
        "mkdir -p logs/deep/er; echo 1 > logs/one.log; echo 2 > logs/deep/er/two.log; echo 3 > "
        "a.txt\n"
        "echo no > logs/no; echo no > .hidden; echo 4 > 'b $(touch x) c.txt'; exit 3");
    bed_assert_code(r, 3);
    bed_assert_has(r.err.buf, "\"collectFiles\":4");
    bed_assert_has(r.err.buf, "\"artifactDir\":\"artifacts/run_");
    e2e_shell("cd artifacts/run_*; test \"$(find . -type f | LC_ALL=C sort | tr '\\n' ' ')\" = "
              "'./.gitignore ./a.txt ./b $(touch x) c.txt ./logs/deep/er/two.log ./logs/one.log '");
    _cleanup_bed_result_ struct bed_result n = BED_RUN(&bed, RUN, "--artifact-glob", "none*", "--",
                                                       "true");
    bed_assert_code(n, 0);
    bed_assert_has(n.err.buf, "matches --artifact-glob none*");
    E2E_OK(RUN, "--artifact-dir", "there", "--artifact-glob", "*.txt", "-q", "--", "true");
    e2e_shell("test \"$(ls -A there)\" = \"$(printf 'a.txt\\nb $(touch x) c.txt')\"");
    E2E_CODE(2, RUN, "--artifact-glob", "../*", "--", "true");
}

static const char report[] =
    "mkdir -p out; cat > out/r.xml <<END\n"
    "<testsuite><testcase classname=\"c\" name=\"good\"/><testcase classname=\"c\" name=\"bad\">"
    "<failure/></testcase><testcase name=\"later\"><skipped/></testcase></testsuite>\n"
    "END\n";

static void test_junit(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--junit", "out/*.xml",
                                                       "--timing-json", "--", "sh", "-ec", report);
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "tests: 3 run, 1 failed, 0 errors, 1 skipped (1 report)");
    bed_assert_has(r.err.buf, "failed: c.bad");
    bed_assert_has(r.err.buf, "\"junit\":{\"reports\":1,\"tests\":3,\"failures\":1,");
    E2E_CODE(1, RUN, "--junit", "out/*.xml", "--fail-on-test-failures", "-q", "--", "true");
    /* Nothing of it goes where TMPDIR leads, which may be another user's, or stays in the lease. */
    E2E_EXEC_OK(
        "sh", "-ec",
        "TMPDIR=/nonexistent \"$0\" \"$@\"; ! ls -d \"$CRABBOX_FC_STATE_DIR\"/leases/*/reports*",
        bed.program, RUN, "--junit", "out/*.xml", "-q", "--", "true");
    _cleanup_bed_result_ struct bed_result two = BED_RUN(
        &bed, RUN, "--junit", "out/*.xml,again.xml", "--", "sh", "-c", "cp out/*.xml again.xml");
    bed_assert_code(two, 0);
    bed_assert_has(two.err.buf, "tests: 6 run, 2 failed, 0 errors, 2 skipped (2 reports)");
    _cleanup_bed_result_ struct bed_result n = BED_RUN(&bed, RUN, "--junit", "none.xml", "--",
                                                       "true");
    bed_assert_code(n, 4);
    bed_assert_has(n.err.buf, "matches --junit none.xml");
    _cleanup_bed_result_ struct bed_result b = BED_RUN(&bed, RUN, "--junit", "bad.xml", "--", "sh",
                                                       "-c", "echo '<!DOCTYPE a><a/>' > bad.xml");
    bed_assert_code(b, 7);
    bed_assert_has(b.err.buf, "document type");
    e2e_shell("test -z \"$(ls -A)\""); /* reports leave nothing here */
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

/* A port of the guest (an SSH server's banner) is seen here, on loopback only. */
static void test_tunnel(void **state)
{
    (void)state;
    char buf[5];
    /* A server of the user's own: what is behind a connection of ours need not listen. */
    e2e_guest("box",
              "dropbearkey -t ed25519 -f /tmp/key >/dev/null 2>&1; "
              "/usr/sbin/dropbear -p 127.0.0.1:2222 -r /tmp/key -P /tmp/pid >/dev/null 2>&1");
    struct child c = BED_START(&bed, -1, "tunnel", "-L", "18022:2222", "-R",
                               "18023:127.0.0.1:18022", "-L", "[127.0.0.1]:18024:[127.0.0.1]:2222",
                               "box");
    bool ok = read_port(18022, buf, sizeof buf) && read_port(18024, buf, sizeof buf);
    _cleanup_bed_result_ struct bed_result ss = BED_EXEC(
        &bed, "sh", "-c", "ss -Hltn 'sport = 18022' | awk '{print $4}'");
    _cleanup_bed_result_ struct bed_result b = BED_RUN(
        &bed, "ssh", "box", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/18023; head -c 4 <&3'");
    e2e_signal(&c, SIGTERM);
    (void)e2e_wait(&c, 60000);
    assert_true(ok);
    assert_string_equal(buf, "SSH-");
    assert_string_equal(ss.out.buf, "127.0.0.1:18022\n");
    bed_assert_code(b, 0);
    assert_string_equal(b.out.buf, "SSH-");
}

int suite_files(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sync_of_a_git_tree, fresh),
        cmocka_unit_test_setup(test_file_both_ways, fresh),
        cmocka_unit_test_setup(test_directory_both_ways, fresh),
        cmocka_unit_test_setup(test_download, fresh),
        cmocka_unit_test_setup(test_artifacts, fresh),
        cmocka_unit_test_setup(test_junit, fresh),
        cmocka_unit_test_setup(test_tunnel, fresh),
    };
    return E2E_GROUP(tests, suite_open_box, e2e_close_box);
}
