/* A repository that has prepared every local path there is, and a guest that plants configuration,
 * through the stand-in. The work directory is the repository; what must stay as it is lies beside.
 */
#include "e2e/e2e.h"

#define RUN "run", "--id", "box", "--no-sync", "-q"

static int fresh(void **state)
{
    (void)state;
    bed_clear_faults(&bed);
    bed_setenv(&bed, "SUDO_UID", NULL);
    bed_setenv(&bed, "SUDO_GID", NULL);
    e2e_shell("umask 022; rm -rf ./* .[!.]* ../away; mkdir .git ../away ../away/dir real\n"
              "echo SECRET=of-the-host > ../away/secret; : > ../away/empty\n"
              "ln -s ../away/secret last; ln -s ../away mid; ln -s ../away/none dangling\n"
              "ln -s ../away/dir dir; ln -s /proc/self/environ magic; ln -s ../away artifacts\n"
              "echo 'echo script' > script; echo A=1 > vars; ln -s script inside\n"
              "cd ../away; find . ! -type d -exec ls -ln --time-style=full-iso {} + > ../before");
    E2E_OK(RUN, "--", "sh", "-c", "rm -rf ./* .[!.]*; mkdir out; echo from-guest > out/f");
    return 0;
}

/* What lies outside is what it was. */
static void assert_untouched(void)
{
    e2e_shell("cd ../away; find . ! -type d -exec ls -ln --time-style=full-iso {} + > ../after\n"
              "cmp ../before ../after; test -z \"$(ls -A dir)\"; test ! -e none");
}

static void refused(const char *option, const char *value)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, option, value, "--", "sh", "-c",
                                                       "touch ran; cat; env");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is a symbolic link in the working tree");
    bed_assert_has(r.err.buf, option);
    assert_null(strstr(r.out.buf, "of-the-host"));
    assert_untouched();
}

/* Refused before anything runs. */
static void test_files_that_are_read(void **state)
{
    (void)state;
    static const char *const links[] = {"last", "mid/secret", "dangling", "magic", "inside"};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        refused("--env-file", links[i]);
        refused("--script", links[i]);
    }
    E2E_CODE(2, RUN, "--env-file", "real", "--", "true");
    E2E_CODE(2, RUN, "--script", "real");
    e2e_guest("box", "! find / -xdev -name ran | grep -q .");
}

static void test_files_that_are_written(void **state)
{
    (void)state;
    static const char *const links[] = {"last", "mid/new", "dangling", "magic", "inside"};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        refused("--capture-stdout", links[i]);
        refused("--capture-stderr", links[i]);
    }
    e2e_shell("test \"$(cat script)\" = 'echo script'");
    e2e_guest("box", "! find / -xdev -name ran | grep -q .");
}

static void refused_with_glob(const char *dir)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--artifact-glob", "out/*",
                                                       dir ? "--artifact-dir" : "--quiet",
                                                       dir ? dir : "--quiet", "--", "touch", "ran");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is a symbolic link in the working tree");
    assert_untouched();
}

static void test_directories(void **state)
{
    (void)state;
    static const char *const downloads[] = {"out/f=last",   "out/f=mid/new", "out/f=mid/",
                                            "out/f=dir",    "out=dir",       "out=dir/new",
                                            "out=dangling", "out/f=magic",   "out/f=inside"};
    static const char *const dirs[] = {"dir", "mid/dir", "mid/new/deep", "dangling", "last"};
    for (size_t i = 0; i < ARRAY_LEN(downloads); i++)
        refused("--download", downloads[i]);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        refused_with_glob(dirs[i]);
    refused_with_glob(NULL); /* artifacts is a link */
    e2e_guest("box", "! find / -xdev -name ran | grep -q .");
}

/* `cd` has followed the link before we are asked. */
static void test_the_working_directory(void **state)
{
    (void)state;
    _cleanup_free_ char *pwd = xasprintf("%s/../arc/way", bed.work);
    e2e_shell("rmdir .git; mkdir ../arc; ln -s \"$PWD\" ../arc/way");
    bed_setenv(&bed, "PWD", pwd);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--", "touch", "ran");
    bed_setenv(&bed, "PWD", NULL);
    e2e_shell("rm -r ../arc");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "arc/way, which may have come with code");
    e2e_guest("box", "! find / -xdev -name ran | grep -q .");
}

/* What was fine when the run began is looked at again when the files come. */
static void test_link_made_meanwhile(void **state)
{
    (void)state;
    static const char script[] =
        "rm -f artifacts got p q; mkfifo p q\n"
        "\"$0\" run --id box --no-sync -q \"$@\" -- sh -c 'echo started; cat' <p >q 2>err & "
        "pid=$!\n"
        "exec 3>p; read line <q; ln -s ../away/dir got; ln -s ../away/dir artifacts; exec 3>&-\n"
        "code=0; wait $pid || code=$?; test $code -eq 2\n"
        "grep -q 'is a symbolic link in the working tree' err";
    E2E_EXEC_OK("sh", "-ec", script, bed.program, "--download", "out/f=got/new");
    E2E_EXEC_OK("sh", "-ec", script, bed.program, "--download", "out=got");
    E2E_EXEC_OK("sh", "-ec", script, bed.program, "--artifact-glob", "out/*");
    E2E_EXEC_OK("sh", "-ec", script, bed.program, "--artifact-glob", "out/*", "--artifact-dir",
                "got/a/b");
    assert_untouched();
}

static void refused_cp(const char *from, const char *to)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", from, to);
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is a symbolic link in the working tree");
    assert_untouched();
}

static void test_cp(void **state)
{
    (void)state;
    static const char *const links[] = {"last",  "mid/secret", "mid",    "dir",
                                        "magic", "dangling",   "inside", "mid/new"};
    e2e_guest("box", "mkdir -p t; echo x > t/x");
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        refused_cp(links[i], "box:t/got");
        refused_cp("box:t/x", links[i]);
        refused_cp("box:t", links[i]);
    }
    refused_cp("box:t/x", "dir/");
    e2e_guest("box", "test \"$(ls -A t)\" = x; rm -r t");
}

/* --dir makes a tree of what has no .git, wherever one stands. */
static void test_tree_of_dir(void **state)
{
    (void)state;
    e2e_shell("mkdir -p ../tree; ln -sf ../away/secret ../tree/vars");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--dir", "../tree", "--env-file",
                                                       "../tree/vars", "--", "env");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is a symbolic link in the working tree");
    e2e_shell("rm -r ../tree");
}

static void refused_flag(const char *flag, const char *value)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", flag, value);
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "is a symbolic link in the working tree");
}

/* The tree itself, and what of the host a flag or a variable gives to a guest. */
static void test_what_goes_in(void **state)
{
    (void)state;
    static const char *const flags[] = {"--firecracker-kernel", "--firecracker-rootfs",
                                        "--image-dir",          "--firecracker-cni-conf-dir",
                                        "--firecracker-binary", "--qemu-binary"};
    refused("--dir", "mid");
    refused("--dir", "mid/dir");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        refused_flag(flags[i], "./last");
        refused_flag(flags[i], "./mid/secret");
    }
    e2e_shell("ln -s ../away/dir image; code=0; CRABBOX_FC_IMAGE_DIR=$PWD/image \"$0\" warmup "
              "2>err || code=$?; test $code -eq 2; grep -q 'image is a symbolic link' err");
    E2E_CODE(2, "run", "--sync-plan", "--dir", "mid");
    E2E_CODE(6, "run", "--id", "box", "-q", "--dir", "none", "--", "true");
}

/* What the user names himself goes on working: real paths of the tree, links outside of it, and
 * descriptors of the shell. */
static void test_what_is_the_users(void **state)
{
    (void)state;
    e2e_shell(
        "rm artifacts; ln -s away/secret ../my-vars; ln -s away/dir ../my-dir\n"
        "run() { \"$0\" run --id box --no-sync -q \"$@\"; }\n"
        "whole=$(realpath ..)\n"
        "test \"$(run --env-file vars --env-file $whole/my-vars -- sh -c 'echo $A $SECRET')\" = "
        "'1 of-the-host'\n"
        "bash -ec '\"$0\" run --id box --no-sync -q --env-file <(echo B=2) --script <(echo \"echo "
        "\\$B\")' \"$0\" > got; test \"$(cat got)\" = 2\n"
        "echo 'echo piped' | run --script /dev/stdin > got; test \"$(cat got)\" = piped\n"
        "run --capture-stdout real/o -- echo captured; test \"$(cat real/o)\" = captured\n"
        "run --capture-stdout /dev/null -- echo captured\n"
        "test \"$(run --capture-stdout /dev/stderr -- echo err 2>&1 >/dev/null)\" = err\n"
        "run --download out/f=$whole/my-dir --download out=new/deep/tree -- true\n"
        "code=0; run --env-file ../my-vars -- true 2>err || code=$?; test $code -eq 2\n"
        "grep -q 'my-vars is a symbolic link' err; rm err\n"
        "code=0; run --env-file $PWD/../my-vars -- true 2>err || code=$?; test $code -eq 2\n"
        "grep -q 'my-vars is a symbolic link' err; rm err\n"
        "test \"$(cat ../away/dir/f new/deep/tree/f)\" = \"$(printf 'from-guest\\nfrom-guest')\"\n"
        "run --artifact-glob 'out/*' -- true; test -f artifacts/run_*/out/f\n"
        "run --artifact-glob 'none/*' --artifact-dir real/a/b -- true; test ! -e real/a\n"
        "mkdir real/mine; run --artifact-glob 'none/*' --artifact-dir real/mine -- true\n"
        "test -d real/mine; rm ../my-vars ../my-dir");
    e2e_shell("cd ..; ln -s \"$OLDPWD\" by-link; cd by-link; \"$0\" cp box:/etc/hostname real/; "
              "test -s real/hostname; rm ../by-link");
}

/* ---- a hostile guest ---- */

#define PLANT                                                                                      \
    "mkdir -p d/.git/hooks d/sub/.GIT d/bare/refs d/bare/objects d/.vscode\n"                      \
    "echo '[core] fsmonitor = touch pwned' | tee d/.git/config d/sub/.GIT/config d/bare/config "   \
    "> d/.crabbox-fc.yaml\n"                                                                       \
    "echo ref: refs/heads/x > d/bare/HEAD; echo '*' > d/.crabboxignore; echo x > d/.envrc\n"       \
    "echo {} > d/.vscode/tasks.json; echo fine > d/fine; echo fine > d/.gitignore; cp -r d/. .\n"

static void assert_not_planted(void)
{
    e2e_shell(
        "test -z \"$(find . -path ./.git -prune -o \\( -iname '.git' -o -name HEAD -o -name "
        "'.crabbox*' -o -name .envrc -o -name .vscode \\) -print)\"; test -z \"$(ls -A .git)\"");
}

static void test_guest_plants(void **state)
{
    (void)state;
    e2e_shell("rm artifacts");
    _cleanup_bed_result_ struct bed_result d = BED_RUN(&bed, RUN, "--download", "d=got", "--", "sh",
                                                       "-ec", PLANT);
    bed_assert_code(d, 0);
    bed_assert_has(d.err.buf, "names that programs on this host would obey, first d/");
    e2e_shell("test \"$(cat got/fine)\" = fine -a ! -e got/.gitignore");
    assert_not_planted();
    /* bash's own patterns find them, and so may those of a guest that lies. */
    static const char *const globs[] = {"**", "*", ".*", ".*/*", ".g*/*", "*/.*", "*/HEAD*"};
    for (size_t i = 0; i < ARRAY_LEN(globs); i++) {
        E2E_OK(RUN, "--artifact-dir", ".", "--artifact-glob", globs[i], "--", "true");
        assert_not_planted();
    }
    e2e_shell("test -f fine");
    e2e_guest("box", "rm -rf d; mkdir -p d/.git; echo x > d/.git/config; echo fine > d/fine");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cp", "box:d", "copied");
    bed_assert_code(c, 0);
    bed_assert_has(c.err.buf,
                   "left out: 1 name that programs on this host would obey, first d/.git; next");
    assert_not_planted();
}

/* By its own name each of them can be had. */
static void test_named_by_the_user(void **state)
{
    (void)state;
    E2E_OK(RUN, "--download", "d/.crabbox-fc.yaml=x", "--download", "d/.git/config=.", "--download",
           "d/.envrc=.", "--artifact-dir", "real", "--artifact-glob", "d/.vscode/tasks.json", "--",
           "sh", "-ec", PLANT);
    e2e_shell("test -s x -a -s config -a -s .envrc -a -s real/d/.vscode/tasks.json");
    e2e_guest("box", "rm -rf d; mkdir -p d/.git; echo x > d/.git/config; echo ref > d/.git/HEAD");
    E2E_OK("cp", "box:d/.git/config", "real/");
    E2E_OK("cp", "box:d/.git", "real/whole");
    e2e_shell("test -s real/config -a -s real/whole/HEAD");
}

/* ---- who called sudo ---- */

static void test_files_of_the_sudo_caller(void **state)
{
    (void)state;
    e2e_shell("rm artifacts; chown -R 4321:4321 .");
    bed_setenv(&bed, "SUDO_UID", "4321");
    bed_setenv(&bed, "SUDO_GID", "4321");
    E2E_OK(RUN, "--download", "out=got/deep", "--artifact-glob", "out/*", "--capture-stdout", "o",
           "--capture-stderr", "e", "--", "true");
    E2E_OK("cp", "box:/etc/hostname", "c/hostname");
    e2e_shell("test -z \"$(find . ! -user 4321)\"; test -z \"$(find . ! -group 4321)\"\n"
              "test -f got/deep/f -a -f o -a -f e -a -f c/hostname -a -f artifacts/*/.gitignore\n"
              "mkdir ../roots; \"$0\" cp box:/etc/hostname ../roots/; "
              "test -z \"$(find ../roots ! -user 0)\"; rm -r ../roots");
}

/* Verbs that only look make nothing, and what has to be made in a home is the user's. */
static void test_home_of_the_sudo_caller(void **state)
{
    (void)state;
    bed_setenv(&bed, "SUDO_UID", NULL);
    e2e_shell(
        "user=$(mktemp -d /tmp/crabbox-user.XXXXXX); trap 'rm -rf $user' EXIT\n"
        "chown 4321:4321 $user; unset CRABBOX_FC_STATE_DIR XDG_STATE_HOME\n"
        "export HOME=$user SUDO_UID=4321 SUDO_GID=4321; unset XDG_CONFIG_HOME\n"
        "\"$0\" list; \"$0\" list --json; \"$0\" complete stop ''; \"$0\" cleanup\n"
        "for verb in 'stop x' 'status x' 'logs x' 'heartbeat x' 'cp x:f g' 'ssh --print x'; do\n"
        "    code=0; \"$0\" $verb 2>/dev/null || code=$?; test $code -eq 4; done\n"
        "test -z \"$(ls -A $user)\"\n"
        "echo 'vmm: qemu' > .crabbox-fc.yaml; chown 4321 .crabbox-fc.yaml; \"$0\" trust add\n"
        "test -s $user/.config/crabbox-fc/trust.json; test -z \"$(find $user ! -user 4321)\"\n"
        "rm .crabbox-fc.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_files_that_are_read, fresh),
        cmocka_unit_test_setup(test_files_that_are_written, fresh),
        cmocka_unit_test_setup(test_directories, fresh),
        cmocka_unit_test_setup(test_the_working_directory, fresh),
        cmocka_unit_test_setup(test_link_made_meanwhile, fresh),
        cmocka_unit_test_setup(test_cp, fresh),
        cmocka_unit_test_setup(test_tree_of_dir, fresh),
        cmocka_unit_test_setup(test_what_goes_in, fresh),
        cmocka_unit_test_setup(test_what_is_the_users, fresh),
        cmocka_unit_test_setup(test_guest_plants, fresh),
        cmocka_unit_test_setup(test_named_by_the_user, fresh),
        cmocka_unit_test_setup(test_files_of_the_sudo_caller, fresh),
        cmocka_unit_test_setup(test_home_of_the_sudo_caller, fresh),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
