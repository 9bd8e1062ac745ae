/* Text that is not ours, in every place that a verb prints: nothing of it steers the terminal, and
 * none of it begins a line. What the whole program writes is judged, byte by byte. Through the
 * stand-in. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/e2e.h"
#include "lease/place.h"
#include "sys/file.h"
#include "testutil/hostile.h"

/* ---- the judge ---- */

/* Runs it in a directory and judges both of its streams; the caller looks for what must be there,
 * which is both streams, one behind the other. */
static int run_in(const char *dir, const char *const *args, struct strbuf *said)
{
    const char *argv[32] = {"env", "-C", dir, bed.program};
    for (size_t i = 0; args[i]; i++)
        argv[4 + i] = args[i];
    _cleanup_bed_result_ struct bed_result r = bed_exec(&bed, argv);
    hostile_check(r.out.buf, r.out.len, true);
    hostile_check(r.err.buf, r.err.len, true);
    strbuf_add(said, r.out.buf, r.out.len);
    strbuf_add(said, r.err.buf, r.err.len);
    if (!r.st.exited)
        fail_msg("killed by signal %d: %s", r.st.signal, said->buf);
    return r.st.code;
}

#define ANY (-1) /* as it is on this host */

static void check_run(const char *dir, int code, const char *part, const char *const *args,
                      const char *file, int line)
{
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    int got = run_in(dir, args, &said);
    if (code != ANY && got != code) {
        print_error("%s: exit code %d, not %d: %s\n", args[0], got, code, said.buf);
        _fail(file, line);
    }
    bed_check_has(said.buf, part, file, line);
}
#define SHOWS_IN(dir, code, part, ...)                                                             \
    check_run((dir), (code), (part), (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
#define SHOWS(code, part, ...) SHOWS_IN(bed.work, (code), (part), __VA_ARGS__)

/* How HOSTILE reads in JSON, as far as JSON can hold it. */
#define HOSTILE_JSON                                                                               \
    "h\\u001b]0;owned\\u0007\\u001b[2J\\ufffd31m\\u009b31m\\u202etxt.\\ufffd\\ufffd\\ufffd"        \
    "\\u007f\\ncrabbox-fc: ok\\r"

static void write_file(const char *dir, const char *name, const char *text, size_t len)
{
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || file_write_new(fd, name, text, len, 0600, &err) < 0)
        fail_msg("%s: %s", name, err.msg);
}

static char *make_dir(const char *parent, const char *name)
{
    char *path = xasprintf("%s/%s", parent, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static int fresh(void **state)
{
    (void)state;
    e2e_shell("rm -rf ./* .[!.]*");
    e2e_guest("box", "mkdir -p t && rm -rf t/* t/.[!.]*");
    return 0;
}

/* ---- words on the command line ---- */

static void test_arguments(void **state)
{
    (void)state;
    SHOWS(2, HOSTILE_SHOWN, HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "--" HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "help", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "list", "--" HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "list", HOSTILE);
    SHOWS(2, "control character", "list", "--vmm", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "config", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "stop", HOSTILE);
    SHOWS(4, HOSTILE_JSON, "stop", "--json", HOSTILE);
    SHOWS(0, HOSTILE_SHOWN, "stop", "--missing-ok", HOSTILE);
    SHOWS(0, HOSTILE_JSON, "stop", "--missing-ok", "--json", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "warmup", "--lease-id", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "tunnel", "box", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "watch", "--debounce", HOSTILE, "--id", "box", "--", "true");
    SHOWS(0, HOSTILE_SHOWN, "run", "--no-sync", "--id", "box", "--label", HOSTILE, "--", "true");
    SHOWS(0, HOSTILE_JSON, "run", "-q", "--no-sync", "--id", "box", "--timing-json", "--label",
          HOSTILE, "--", "true");
    SHOWS(4, HOSTILE_SHOWN, "status", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "status", "--json", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "logs", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "ssh", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "heartbeat", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "tunnel", "-L", "80", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "tunnel", "-L", HOSTILE, "box");
    SHOWS(4, "crabbox-fc\"" BED_NEXT, "cp", HOSTILE, "."); /* a lease: it has a colon */
    SHOWS(4, HOSTILE_UTF8_SHOWN, "cp", HOSTILE_UTF8 ":x", ".");
    SHOWS(2, HOSTILE_UTF8_SHOWN, "cp", HOSTILE_UTF8, "y");
    SHOWS(1, "/" HOSTILE_SHOWN, "cp", "./" HOSTILE, "box:");
    SHOWS(2, HOSTILE_SHOWN, "doctor", "--provider", HOSTILE);
    SHOWS(2, "control character", "warmup", "--ttl", HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "trust", "add", HOSTILE);
    SHOWS(0, "", "complete", HOSTILE);
    SHOWS(0, "", "complete", "list", "--vmm=" HOSTILE);
    SHOWS(4, HOSTILE_SHOWN, "run", "--no-sync", "--id", HOSTILE, "--", "true");
    SHOWS(1, HOSTILE_SHOWN, "run", "--id", "box", "--script", HOSTILE);
    SHOWS(2, HOSTILE_SHOWN, "run", "--no-sync", "--id", "box", "--timeout", HOSTILE, "--", "true");
    SHOWS(2, "not NAME=VALUE or NAME", "run", "--no-sync", "--id", "box", "--env", HOSTILE, "--",
          "true");
}

/* ---- the stock ssh ---- */

/* It prints what the guest says as it is. Behind tunnel each line is ssh's, harmless, and the exit
 * code its own. */
static void test_words_of_ssh(void **state)
{
    (void)state;
    static const char fake[] = "#!/bin/sh\nprintf 'bye\\007\\r\\ncrabbox-fc: forged\\rx\\033[2J\\n"
                               "half' >&2\nexit 7\n";
    write_file(bed.work, "ssh", fake, sizeof fake - 1);
    e2e_shell("chmod 755 ssh; mount --bind ssh /usr/bin/ssh");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "tunnel", "-q", "-L", "80", "box");
    e2e_shell("umount /usr/bin/ssh");
    bed_assert_code(r, 7);
    bed_assert_has(r.err.buf, "ssh: bye\\x07\nssh: crabbox-fc: forged\\rx\\x1b[2J\nssh: half\n");
}

/* ---- the working tree ---- */

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void test_working_tree(void **state)
{
    (void)state;
    _cleanup_free_ char *tree = make_dir(bed.work, HOSTILE "tree");
    write_file(tree, HOSTILE, "x", 1);
    write_file(tree, "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac", "x", 1);
    _cleanup_free_ char *pipe = xasprintf("%s/%s-pipe", tree, HOSTILE);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    _cleanup_bed_result_ struct bed_result plan = BED_EXEC(&bed, bed.program, "run", "--sync-plan",
                                                           "--dir", tree);
    bed_assert_code(plan, 0);
    hostile_check(plan.out.buf, plan.out.len, true);
    hostile_check(plan.err.buf, plan.err.len, true);
    bed_assert_has(plan.out.buf, " " HOSTILE_SHOWN "\n");
    bed_assert_has(plan.out.buf, " caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\n");
    assert_int_equal(count_lines(plan.out.buf), 2);
    bed_assert_has(plan.err.buf, HOSTILE_SHOWN "tree would go to");
    bed_assert_has(plan.err.buf, "not synced: " HOSTILE_SHOWN "-pipe");
    SHOWS_IN(tree, 0, HOSTILE_SHOWN "-pipe", "run", "--id", "box", "--", "true");
    SHOWS_IN(tree, 0, "sync complete", "run", "--id", "box", "--sync-only");
    SHOWS(0, HOSTILE_SHOWN "-pipe", "cp", tree, "box:t/");
    SHOWS(0, "\"files\"", "cp", "--json", tree, "box:t/again");
}

/* ---- the guest ---- */

/* What a guest's programs say when they fail, the names that it sends, and the tests in it. */
static void test_guest(void **state)
{
    (void)state;
    static const char report[] = "<testsuite><testcase classname=\"c\" name=\"" HOSTILE_UTF8
                                 "&#10;crabbox-fc: ok\"><failure/></testcase></testsuite>";
    _cleanup_free_ char *make = xasprintf(
        "mkdir t/d; echo x > t/d/f; mkfifo t/d/'%s'; printf '%%s' '%s' > t/r.xml", HOSTILE, report);
    e2e_guest("box", make);
    SHOWS(0, HOSTILE_SHOWN, "cp", "box:t/d", "got");
    SHOWS(4, "no-such", "cp", "box:t/no-such" HOSTILE, "no");
    write_file(bed.work, "f", "x", 1);
    SHOWS(7, "copy into the guest: exit code 1", "cp", "f", "box:t/r.xml/" HOSTILE);
    static const char in_work[] = "cp -r ~/t/d ~/t/r.xml .";
    SHOWS(0, HOSTILE_SHOWN, "run", "--no-sync", "--id", "box", "--download", "d=here", "--", "sh",
          "-c", in_work);
    SHOWS(0, "failed: c." HOSTILE_UTF8_SHOWN "\\ncrabbox-fc: ok", "run", "--no-sync", "--id", "box",
          "--junit", "r.xml", "--timing-json", "--", "sh", "-c", in_work);
    SHOWS(4, "no-such" HOSTILE_SHOWN, "run", "--no-sync", "--id", "box", "--download",
          "no-such" HOSTILE "=here", "--", "true");
}

/* The guest's own programs, whose words end a message. */
static void test_words_of_the_guest(void **state)
{
    (void)state;
    static const char words[] = "\x1b]0;owned\x07\x9b"
                                "2J\xe2\x80\xae\ncrabbox-fc: ok\r\n";
    static const char shown[] = "\\x1b]0;owned\\x07\\x9b2J\\u202e; crabbox-fc: ok";
    _cleanup_free_ char *make = xasprintf(
        "mkdir -p ~/bin; for p in tar rm; do printf '#!/bin/sh\nprintf %%%%s \"%s\" >&2\n"
        "exit 3\n' > ~/bin/$p; done; chmod +x ~/bin/*; echo 'PATH=~/bin:$PATH' > ~/.bashrc",
        words);
    e2e_guest("box", make);
    write_file(bed.work, "f", "x", 1);
    SHOWS(7, shown, "cp", "box:t", "got");
    SHOWS(6, shown, "run", "--id", "box", "--", "true");
    E2E_OK("ssh", "box", "/bin/rm -rf ~/bin ~/.bashrc");
}

/* ---- logs ---- */

static const char console[] = "h\x1b]0;owned\x07\x1b[2J\x9b"
                              "31m\xc2\x9b"
                              "31m\xe2\x80\xaetxt.\xff\xc0\xaf\x7f\nplain \xe6\x97\xa5\r\n\t50%\r"
                              "100%\n\x9b"
                              "2J\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\n";
static const char console_shown[] =
    "h\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u009b31m\\u202etxt.\\xff\\xc0\\xaf\\x7f\n"
    "plain \xe6\x97\xa5\n\t50%\\r100%\n"
    "\\x9b2J\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\n";

/* A terminal's own carriage returns before new lines do not count. */
static void drop_returns(struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    for (size_t i = 0; i < sb->len; i++)
        if (sb->buf[i] != '\r' || sb->buf[i + 1] != '\n')
            strbuf_add(&out, sb->buf + i, 1);
    strbuf_reset(sb);
    strbuf_add(sb, out.buf, out.len);
}

static void test_logs(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = make_dir(bed.state, "logs/20260101T000000Z-failed-cbx_0123456789ab");
    write_file(dir, "console.log", console, sizeof console - 1);
    write_file(dir, "vmm.log", console, sizeof console - 1);
    write_file(dir, "error.txt", HOSTILE_UTF8, strlen(HOSTILE_UTF8));
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "logs", "--console", "failed");
    bed_assert_code(c, 0);
    assert_string_equal(c.out.buf, console_shown);
    SHOWS(0, HOSTILE_UTF8_SHOWN, "logs", "failed");
    SHOWS(0, "==> vmm.log <==\nvmm: h\\x1b", "logs", "failed");
    /* No line of the guest looks like a heading of ours. */
    static const char forged[] =
        "boot\n==> error.txt <==\nnext: x\n\n[at least 1 bytes were dropped]";
    write_file(dir, "vmm.log", forged, sizeof forged - 1);
    write_file(dir, "console.log", forged, sizeof forged - 1);
    SHOWS(0,
          "==> vmm.log <==\nvmm: boot\nvmm: ==> error.txt <==\nvmm: next: x\nvmm: \n"
          "vmm: [at least 1 bytes were dropped]\n==> console.log <==\nconsole: boot\n"
          "console: ==> error.txt <==\nconsole: next: x\nconsole: \n"
          "console: [at least 1 bytes were dropped]\n",
          "logs", "failed");
    write_file(dir, "console.log", console, sizeof console - 1);
    _cleanup_bed_result_ struct bed_result raw = BED_RUN(&bed, "logs", "--console", "--raw",
                                                         "failed");
    bed_assert_code(raw, 0);
    assert_int_equal(raw.out.len, sizeof console - 1);
    assert_memory_equal(raw.out.buf, console, raw.out.len);
    _cleanup_free_ char *command = xasprintf("'%s' logs --console failed", bed.program);
    _cleanup_bed_result_ struct bed_result tty = BED_EXEC(&bed, "script", "-qec", command,
                                                          "/dev/null");
    bed_assert_code(tty, 0);
    drop_returns(&tty.out);
    assert_string_equal(tty.out.buf, console_shown);
    /* Whoever can write a log can hold a lease on it, too, and nobody waits for that one. */
    _cleanup_free_ char *held = xasprintf("%s/console.log", dir);
    _cleanup_close_ int fd = open(held, O_RDWR | O_CLOEXEC);
    (void)signal(SIGIO, SIG_IGN);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
        SHOWS(1, "holds a file lease on it" BED_NEXT, "logs", "--console", "failed");
    _cleanup_bed_result_ struct bed_result gone = BED_EXEC(&bed, "rm", "-r", dir);
    bed_assert_code(gone, 0);
}

/* ---- records that others wrote ---- */

static cJSON *read_record(void)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_json_ cJSON *j = e2e_status("box");
    _cleanup_free_ char *path = xasprintf("%s/leases/%s/lease.json", bed.state,
                                          json_opt_string(j, "leaseId", ""));
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fd_read_all(fd, 1 << 16, path, &text, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    cJSON *record = json_parse(text.buf, text.len, path, &err);
    if (!record)
        fail_msg("%s", err.msg);
    return record;
}

static void set(cJSON *record, const char *key, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(record, key);
    (void)cJSON_AddStringToObject(record, key, value);
}

static char *plant(const char *id, const cJSON *record)
{
    _cleanup_free_ char *leases = xasprintf("%s/leases", bed.state);
    _cleanup_free_ char *text = json_print(record, true);
    char *dir = make_dir(leases, id);
    assert_int_equal(chmod(dir, 0700), 0);
    write_file(dir, "lease.json", text, strlen(text));
    write_file(dir, "lock", "", 0);
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(place_mark_lease(fd, NULL), 0); /* as if crabbox-fc had made it */
    return dir;
}

#define FULL   "cbx_00000000000a"
#define BROKEN "cbx_00000000000b"

static void test_records(void **state)
{
    (void)state;
    static const char *const keys[] = {"user", "name", "workRoot", "failure"};
    static const char *const local_keys[] = {"imageKind", "kernelRelease", "rootfsPin", "rootfs"};
    _cleanup_json_ cJSON *record = read_record();
    cJSON *local = cJSON_GetObjectItemCaseSensitive(record, "local");
    /* The first of each has room for little. */
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        set(record, keys[i], i == 0 ? "\x9b\x1b[2J\n" : HOSTILE);
        set(local, local_keys[i], i == 0 ? "\x9b\x1b[2J\n" : HOSTILE);
    }
    set(record, "id", FULL);
    set(record, "slug", "full");
    _cleanup_free_ char *full = plant(FULL, record);
    set(record, "id", BROKEN);
    set(record, "state", HOSTILE);
    _cleanup_free_ char *broken = plant(BROKEN, record);
    _cleanup_free_ char *odd = plant(HOSTILE, record);
    SHOWS(0, "unknown state \"" HOSTILE_SHOWN, "list");
    SHOWS(0, HOSTILE_SHOWN, "list");
    SHOWS(0, HOSTILE_JSON, "list", "--json");
    SHOWS(0, "kernel    " HOSTILE_SHOWN "\n", "status", FULL);
    SHOWS(0, "rootfs    " HOSTILE_SHOWN " (pin " HOSTILE_SHOWN, "status", FULL);
    SHOWS(0, "\"kernelRelease\":\t\"" HOSTILE_JSON "\"", "status", "--json", FULL);
    SHOWS(5, "unknown state \"" HOSTILE_SHOWN, "status", BROKEN);
    SHOWS(1, HOSTILE_SHOWN, "cleanup", "--dry-run");
    SHOWS(1, HOSTILE_JSON, "cleanup", "--dry-run", "--json");
    SHOWS(0, BROKEN, "complete", "status", "");
    _cleanup_bed_result_ struct bed_result gone = BED_EXEC(&bed, "rm", "-r", full, broken, odd);
    bed_assert_code(gone, 0);
}

/* ---- configuration and trust ---- */

#define TRUSTED "firecracker:\n  kernel: /nowhere/\xe6\x97\xa5\n"

static void test_repository(void **state)
{
    (void)state;
    _cleanup_free_ char *repo = make_dir(bed.work, HOSTILE "repo");
    _cleanup_free_ char *git = make_dir(repo, ".git");
    write_file(repo, ".crabbox-fc.yaml", TRUSTED, sizeof TRUSTED - 1);
    SHOWS_IN(repo, 2, HOSTILE_SHOWN "repo", "config", "show");
    SHOWS_IN(repo, 0, HOSTILE_SHOWN "repo/.crabbox-fc.yaml", "trust", "add");
    SHOWS_IN(repo, 0, "firecracker.kernel = /nowhere/\xe6\x97\xa5 (line 2)", "trust", "add");
    SHOWS_IN(repo, 0, "\"path\":\t\"", "trust", "add", "--json");
    SHOWS_IN(repo, 0, HOSTILE_SHOWN "repo", "trust", "list");
    SHOWS_IN(repo, 0, HOSTILE_JSON "repo", "trust", "list", "--json");
    SHOWS_IN(repo, 0, HOSTILE_SHOWN "repo", "config", "show");
    SHOWS_IN(repo, 0, HOSTILE_JSON "repo", "config", "show", "--json");
    SHOWS_IN(repo, 0, HOSTILE_SHOWN "repo", "config", "path");
    SHOWS_IN(repo, 0, HOSTILE_JSON "repo", "config", "path", "--json");
    SHOWS_IN(repo, 0, HOSTILE_SHOWN "repo", "trust", "revoke");
    SHOWS_IN(repo, 0, HOSTILE_JSON "repo", "trust", "revoke", "--json");
    static const char *const bad[] = {
        "\"\\e]0;x\\a\\u202e\": 1\n",
        "vmm: \"\\x9b\\e[2J\\ncrabbox-fc: ok\"\n",
        "vmm: \"" HOSTILE "\"\n",
        "# \x1b[2J\nvmm: qemu\n",
        "vmm: \xc2\x9b\n",
        "\xff\xfe: \n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_free_ char *path = xasprintf("%s/.crabbox-fc.yaml", repo);
        assert_int_equal(unlink(path), 0);
        write_file(repo, ".crabbox-fc.yaml", bad[i], strlen(bad[i]));
        SHOWS_IN(repo, 2, "repo/.crabbox-fc.yaml:", "config", "show");
        SHOWS_IN(repo, 2, "repo/.crabbox-fc.yaml:", "run", "--", "true");
        SHOWS_IN(repo, 2, "repo/.crabbox-fc.yaml:", "trust", "add");
    }
    /* Where there is no .git, the home beside it would not be the user's. */
    e2e_shell("rm -r \"$HOME/.config\"");
}

static void test_environment_and_doctor(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_FC_VMM", HOSTILE);
    SHOWS(2, "control character", "config", "show");
    bed_setenv(&bed, "CRABBOX_FC_VMM", NULL);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_" HOSTILE, "1");
    SHOWS(2, "CRABBOX_FIRECRACKER_h\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u009b31m\\u202e", "config",
          "show");
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_" HOSTILE, NULL);
    bed_clear_faults(&bed);
    _cleanup_free_ char *image = make_dir(bed.work, "image");
    static const char manifest[] = "{\"schema\":1,\"" HOSTILE_UTF8 "\\u001b[2J\":\"x\"}";
    write_file(image, "image.json", manifest, sizeof manifest - 1);
    bed_setenv(&bed, "CRABBOX_FC_IMAGE_DIR", image);
    SHOWS(1, HOSTILE_UTF8_SHOWN "\\x1b[2J", "doctor");
    SHOWS(1, "h\\\\u009b31m\\\\u202e", "doctor", "--json");
    SHOWS(2, HOSTILE_UTF8_SHOWN "\\x1b[2J", "warmup");
    bed_clear_faults(&bed);
    _cleanup_free_ char *state_dir = xasprintf("%s/%s-state", bed.dir, HOSTILE);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", state_dir);
    SHOWS(ANY, HOSTILE_SHOWN "-state", "doctor");
    SHOWS(ANY, HOSTILE_JSON "-state", "doctor", "--json");
    SHOWS(0, "no leases", "list");
    bed_clear_faults(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_arguments, fresh),
        cmocka_unit_test_setup(test_words_of_ssh, fresh),
        cmocka_unit_test_setup(test_working_tree, fresh),
        cmocka_unit_test_setup(test_guest, fresh),
        cmocka_unit_test_setup(test_words_of_the_guest, fresh),
        cmocka_unit_test_setup(test_logs, fresh),
        cmocka_unit_test_setup(test_records, fresh),
        cmocka_unit_test_setup(test_repository, fresh),
        cmocka_unit_test_setup(test_environment_and_doctor, fresh),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
