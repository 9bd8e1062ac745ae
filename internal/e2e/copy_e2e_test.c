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
    e2e_shell("chmod -R u+rwx . && rm -rf ./* .[!.]*");
    e2e_guest("box", "mkdir -p t && chmod -R u+rwx t && rm -rf t/* t/.[!.]*");
    return 0;
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

/* Directories without files arrive, and files have the times that they had, either way. */
static void test_times_and_empty_directories(void **state)
{
    (void)state;
    e2e_shell("mkdir -p d/logs/deep d/src; echo a >d/src/a; echo f >f\n"
              "touch -d '2020-01-02 03:04:05 UTC' d/src/a f d/logs/deep\n"
              "\"$0\" cp -q d box:t/d; \"$0\" cp -q f box:t/f\n"
              "test \"$(\"$0\" ssh box 'cd t && stat -c %Y d/src/a d/logs/deep f | uniq')\" = "
              "1577934245\n"
              "\"$0\" cp -q box:t/d back; \"$0\" cp -q box:t/f g\n"
              "test \"$(stat -c %Y back/src/a g | uniq)\" = 1577934245; test -d back/logs/deep");
}

static void failed(int code, const char *why, const char *from, const char *to)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", from, to);
    bed_assert_code(r, code);
    bed_assert_has(r.err.buf, why);
}

#define MODES "stat -c %a . a a/b a/b/f c c/g | paste -sd,"

/* Permission bits stay, whatever the umask is, and closed directories have what is in them. Nothing
 * becomes setuid or sticky, or writable for others here, and a directory that was there keeps its
 * mode. */
static void test_modes(void **state)
{
    (void)state;
    e2e_shell(
        "umask 077; mkdir -p d/a/b d/c d/e; echo 1 >d/a/b/f; echo 2 >d/c/g; echo 3 >f; echo 4 >g\n"
        "chmod 0444 d/c/g f; chmod 04711 d/a/b/f; chmod 0606 g; chmod 0500 d/a/b; chmod 0555 d/a\n"
        "chmod 01777 d/c; chmod 0570 d/e; chmod 0750 d\n"
        "\"$0\" cp -q d box:t/d; \"$0\" cp -q f box:t/f; \"$0\" cp -q g box:t/g\n"
        "\"$0\" ssh box 'mkdir -m 0711 t/there'; \"$0\" cp -q d/. box:t/there\n"
        "test \"$(\"$0\" ssh box 'cd t/d; " MODES "; stat -c %a e ../f ../g')\" = "
        "\"$(printf '750,555,500,711,777,444\\n570\\n444\\n606')\"\n"
        "test \"$(\"$0\" ssh box 'cd t/there; " MODES "')\" = 711,555,500,711,777,444");
    e2e_shell(
        "\"$0\" ssh box 'chmod 6711 t/d/a/b/f; chmod 1777 t/d/c; rmdir t/d/e'\n"
        "umask 077; \"$0\" cp -q box:t/d got; \"$0\" cp -q box:t/f f2; \"$0\" cp -q box:t/g g2\n"
        "test \"$(cd got; " MODES "; cat a/b/f)\" = \"$(printf '750,555,500,711,755,444\\n1')\"\n"
        "test \"$(stat -c %a f2 g2 | paste -sd,)\" = 444,604\n"
        "mkdir -p in/d; chmod 0711 in/d; \"$0\" cp -q box:t/d in; test $(stat -c %a in/d) = 711");
}

/* Two names of one file are two files, as cargo has them in target/. */
static void test_hard_links(void **state)
{
    (void)state;
    e2e_guest("box", "mkdir t/d; echo app >t/d/a; ln t/d/a t/d/b");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "box:t/d", ".");
    bed_assert_code(r, 0);
    bed_assert_has(r.err.buf, "copied 2 files");
    E2E_OK("run", "--id", "box", "--no-sync", "-q", "--artifact-glob", "~/t/d/*", "--artifact-dir",
           "got", "--", "true");
    e2e_shell("test \"$(cat d/a d/b got/t/d/a got/t/d/b | paste -sd,)\" = app,app,app,app");
}

/* The kernel's files have content, but no size that would tell. */
static void test_files_without_a_size(void **state)
{
    (void)state;
    e2e_shell(
        "sum() { sha256sum | cut -c 1-64; }\n"
        "for f in /proc/version /proc/filesystems /sys/kernel/profiling; do\n"
        "    [ -e $f ]; \"$0\" cp -q box:$f got; test \"$(sum <got)\" = \"$(sum <$f)\"; rm -f got\n"
        "    \"$0\" cp -q $f box:t/got\n"
        "    test \"$(\"$0\" ssh box cat t/got | sum)\" = \"$(sum <$f)\"\n"
        "done\n"
        "\"$0\" cp -q box:/proc/version got; test \"$(stat -c %a got)\" = 444; rm got\n"
        "\"$0\" ssh box ': >t/empty'; \"$0\" cp -q box:t/empty .; test -f empty -a ! -s empty");
    failed(7, "in /proc: ./", "box:/proc/sys/kernel/random", "dir");
    failed(7, BED_NEXT "fetch it by its own name", "box:/proc/sys/kernel/random", "dir");
    failed(6, "or have no size, as in /proc, first boot_id", "/proc/sys/kernel/random",
           "box:t/dir");
}

static void test_what_can_not_be_copied(void **state)
{
    (void)state;
    e2e_shell("echo x > f; mkdir -p a/b");
    failed(2, "exactly one", "f", "g");
    failed(2, "exactly one", "box:f", "box:g");
    failed(4, "nobody", "nobody:f", ".");
    failed(7, BED_NEXT "copy it to where the guest's user may write", "f", "box:/root/f");
    failed(7, "then crabbox-fc ssh box sudo mv", "f", "box:/root/f");
    failed(1, "no file can be made where x is to be: No such file or directory" BED_NEXT,
           "box:/etc/hostname", "/proc/x");
    failed(7, BED_NEXT "copy it to where the guest's user may write", "a", "box:/root/a");
    failed(7, BED_NEXT "the same command when nothing writes", "box:/sys/kernel/mm", "dir");
    e2e_shell("rm -rf dir");
    failed(4, "fetch t/none: the guest has no such file or directory", "box:t/none", ".");
    failed(4, "no such file", "box:t/none", "made/for/it");
    failed(1, "none", "none", "box:");
    failed(7, "copy into the guest: exit code 1: ", "f", "box:/proc/none/f");
    failed(1, "regular", "box:/etc/hostname", "/dev/null");
    failed(2, "neither", "/dev/null", "box:");
    _cleanup_free_ char *socket = xasprintf("%s/socket", bed.work);
    assert_int_equal(mknod(socket, S_IFSOCK | 0600, 0), 0); /* which can't even be opened */
    failed(2, "neither", "socket", "box:");
    e2e_shell("rm socket; test -c /dev/null; test \"$(ls -A)\" = \"$(printf 'a\\nf')\"");
    failed(2, BED_NEXT "crabbox-fc ssh box cat PATH", "box:t", "-");
    failed(2, BED_NEXT "crabbox-fc ssh box 'cat >PATH'", "-", "box:t");
    _cleanup_bed_result_ struct bed_result p = BED_EXEC(
        &bed, "sh", "-c", "echo x | \"$0\" cp /dev/stdin box:t", bed.program);
    bed_assert_code(p, 2);
    bed_assert_has(p.err.buf, "\"/dev/stdin\" is a stream");
    _cleanup_bed_result_ struct bed_result habit = BED_RUN(&bed, "cp", "-r", "a", "box:t");
    bed_assert_code(habit, 2);
    bed_assert_has(habit.err.buf, "a directory is copied with all that is in it anyway" BED_NEXT);
    E2E_CODE(2, "ssh", "box", "--print");
    /* A colon after a slash belongs to a name of the host. */
    e2e_shell("mkdir -p x; echo y > x/c:d");
    E2E_OK("cp", "x/c:d", "box:t/");
    e2e_guest("box", "test \"$(cat t/c:d)\" = y");
}

/* ---- tunnel ---- */

/* What was there stays: half a file never gets the name. To the guest's cat, an input that was cut
 * is one that has ended. */
static void test_a_copy_that_is_cut(void **state)
{
    (void)state;
    e2e_guest("box", "mkdir ~/bin; echo old >t/big; echo 'PATH=~/bin:$PATH' >~/.bashrc\n"
                     "printf '#!/bin/sh\\nexec head -c 100\\n' >~/bin/cat; chmod +x ~/bin/cat");
    e2e_shell("head -c 200000 /dev/zero >big");
    failed(7, "copy into the guest", "big", "box:t/big");
    e2e_guest("box", "rm -r ~/bin ~/.bashrc");
    e2e_guest("box", "test \"$(cat t/big)\" = old; ! ls t/.crabbox-*");
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

/* Crabbox's form: one port; its URL is printed once it listens. The guest's SSH server answers. */
static void test_tunnel_to_a_port(void **state)
{
    (void)state;
    static const char script[] =
        "\"$0\" tunnel -q \"$@\" >url & pid=$!\n"
        "until read -r url <url && [ -n \"$url\" ]; do kill -0 $pid || exit; sleep 0.05; done\n"
        "exec 3<>/dev/tcp/127.0.0.1/${url##*:}; read -r line <&3; echo \"$url $line\"\n"
        "kill $pid; wait; rm url";
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                        "--id", "box", "22");
    bed_assert_code(r, 0);
    assert_true(str_has_prefix(r.out.buf, "http://127.0.0.1:"));
    bed_assert_has(r.out.buf, " SSH-2.0-");
    _cleanup_bed_result_ struct bed_result p = BED_EXEC(&bed, "bash", "-c", script, bed.program,
                                                        "--local-port", "18023", "box", "22");
    bed_assert_code(p, 0);
    bed_assert_has(p.out.buf, "http://127.0.0.1:18023 SSH-2.0-");
    E2E_CODE(2, "tunnel", "box", "0");
    E2E_CODE(2, "tunnel", "box", "22", "23");
    E2E_CODE(2, "tunnel", "--id", "box", "x");
    E2E_CODE(2, "tunnel", "--local-port", "80x", "box", "22");
    E2E_CODE(2, "tunnel", "--local-port", "18023", "-L", "80", "box");
}

/* ---- the stock ssh as our child ---- */

/* Lines of bash with these: tunnel starts one of $1 and sets $pid, shell a session, $ssh. */
static struct bed_result with_ssh(const char *script)
{
    static const char helpers[] =
        "fc=$0\n"
        "tunnel() { rm -f url; \"$fc\" tunnel -q \"$1\" ${2:-22} >url & pid=$!\n"
        "    until [ -s url ]; do kill -0 $pid || exit; sleep 0.05; done; }\n"
        "shell() { rm -f up; mkfifo up; \"$fc\" ssh \"$1\" 'echo up; exec sleep 600' >up & ssh=$!\n"
        "    read -r _ <up; rm up; }\n"
        "ends() { { wait $1; } 2>/dev/null; echo \"code $?\"; }\n"
        "both() { { wait $pid; one=$?; wait $ssh; } 2>/dev/null; echo \"codes $one $?\"; }\n"
        "exec 2>&1\n";
    _cleanup_free_ char *all = xasprintf("%s%s", helpers, script);
    return BED_EXEC(&bed, "bash", "-c", all, bed.program);
}

static void test_why_a_tunnel_fails(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = with_ssh(
        "tunnel box; port=$(sed 's/.*://' url)\n"
        "\"$fc\" tunnel -q -L $port:22 box; echo \"code $?\"\n"
        "\"$fc\" tunnel -q -R 22:22 box; echo \"code $?\"\n"
        "\"$fc\" tunnel -q -L 203.0.113.7:8080:localhost:22 box; echo \"code $?\"\n"
        "kill $pid; ends $pid\n"
        "tunnel box 4; exec 3<>/dev/tcp/127.0.0.1/$(sed 's/.*://' url); cat <&3; kill $pid; "
        "wait\n");
    bed_assert_has(r.out.buf, "ssh: channel 1: open failed: connect failed: Connection refused\n"
                              "crabbox-fc: warning: nothing in the lease listens on the port");
    bed_assert_has(r.out.buf, "crabbox-fc: this host does not have the address of -L" BED_NEXT);
    bed_assert_has(r.out.buf, "crabbox-fc: another program listens on this port already" BED_NEXT);
    bed_assert_has(r.out.buf, "crabbox-fc: the guest could not listen on the port of -R");
    bed_assert_has(r.out.buf, "code 255\n");
    bed_assert_has(r.out.buf, "code 130\n");
    /* The same code of a command is none of our business. */
    _cleanup_bed_result_ struct bed_result own = BED_RUN(&bed, "ssh", "box", "exit 255");
    bed_assert_code(own, 255);
    assert_string_equal(own.err.buf, "");
}

/* What ssh can't know: the lease was stopped, or its machine is gone, for which it would wait. */
static void test_a_lease_ends_under_ssh(void **state)
{
    (void)state;
    e2e_warmup("two");
    _cleanup_bed_result_ struct bed_result r = with_ssh(
        "tunnel two; shell two; \"$fc\" stop -q two >/dev/null; both");
    bed_assert_has(r.out.buf, "lease two was stopped while it was in use" BED_NEXT);
    bed_assert_has(r.out.buf, "codes 255 255\n");
    e2e_warmup("two");
    _cleanup_free_ char *script = xasprintf("tunnel two; shell two; kill -KILL %d; both",
                                            (int)e2e_vmm_pid("two"));
    _cleanup_bed_result_ struct bed_result k = with_ssh(script);
    bed_assert_has(k.out.buf, "the machine of lease two has ended" BED_NEXT "crabbox-fc logs two");
    bed_assert_has(k.out.buf, "codes 255 255\n");
    E2E_OK("stop", "two");
}

/* What a shell sees of ssh, it sees of us: stopped, gone on, ended by a signal. */
static void test_ssh_as_a_job(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = with_ssh(
        "state() { until grep -q \"^State:.$2\" /proc/$1/status; do sleep 0.05; done; }\n"
        "shell box; child=$(pgrep -P $ssh)\n"
        "kill -STOP $child; state $ssh T; kill -CONT $child $ssh; state $ssh S; state $child S\n"
        "kill -USR1 $child; ends $ssh\n"
        "shell box; child=$(pgrep -P $ssh); kill -INT $ssh; ends $ssh; ! [ -e /proc/$child ]; echo "
        "$?\n"
        "shell box; child=$(pgrep -P $ssh); kill -KILL $ssh; ends $ssh\n"
        "while [ -e /proc/$child/exe ]; do sleep 0.05; done\n");
    assert_string_equal(r.out.buf, "code 138\ncode 130\n0\ncode 137\n");
}

static void test_cp_as_crabbox_and_scp(void **state)
{
    (void)state;
    e2e_write_file("one", "1", 1);
    E2E_OK("cp", "-q", "--id", "box", "one", "SANDBOX:/tmp/two");
    E2E_OK("cp", "-q", "one", "box:~/tilde");
    e2e_guest("box", "test -f /tmp/two && test -f tilde && ! test -e '~'");
    E2E_OK("cp", "-q", "box:~/tilde", "three");
    E2E_OK("cp", "-q", "--id", "box", "SANDBOX:~//tilde", "four");
    e2e_shell("cmp one three; cmp one four; rm one three four");
    e2e_guest("box", "rm /tmp/two tilde");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", "box:~root/x", ".");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "the home of another user");
    E2E_CODE(2, "cp", "--id", "box", "other:x", ".");
    E2E_OK("connect", "box", "true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_directory_called_head, fresh),
        cmocka_unit_test_setup(test_times_and_empty_directories, fresh),
        cmocka_unit_test_setup(test_modes, fresh),
        cmocka_unit_test_setup(test_hard_links, fresh),
        cmocka_unit_test_setup(test_files_without_a_size, fresh),
        cmocka_unit_test_setup(test_what_can_not_be_copied, fresh),
        cmocka_unit_test_setup(test_a_copy_that_is_cut, fresh),
        cmocka_unit_test(test_tunnel_refuses),
        cmocka_unit_test(test_tunnel_to_a_port),
        cmocka_unit_test(test_why_a_tunnel_fails),
        cmocka_unit_test(test_a_lease_ends_under_ssh),
        cmocka_unit_test(test_ssh_as_a_job),
        cmocka_unit_test(test_cp_as_crabbox_and_scp),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
