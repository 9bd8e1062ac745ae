/* What comes back from a run: files, artifacts, reports and streams, through the stand-in. */
#include "e2e/e2e.h"

/* An empty work directory here and there. */
static int fresh(void **state)
{
    (void)state;
    e2e_shell("rm -rf ./* .[!.]*; umask 022");
    E2E_OK("run", "--id", "box", "--no-sync", "-q", "--", "sh", "-c", "rm -rf ./* .[!.]*");
    return 0;
}

#define RUN "run", "--id", "box", "--no-sync"

/* What can't be had is an error only where the command itself was fine. */
static void test_missing_download(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--download", "none=.", "--",
                                                       "true");
    bed_assert_code(r, 4);
    bed_assert_has(r.err.buf, "fetch none: the guest has no such file or directory\n");
    _cleanup_bed_result_ struct bed_result f = BED_RUN(&bed, RUN, "--download", "none=.", "--",
                                                       "sh", "-c", "exit 9");
    bed_assert_code(f, 9);
    bed_assert_has(f.err.buf, "fetch none");
    E2E_CODE(2, RUN, "--download", "none", "--", "true");
    E2E_CODE(4, RUN, "--download", "none=made/deep/", "--",
             "true"); /* and nothing is made for it */
    _cleanup_bed_result_ struct bed_result p = BED_RUN(&bed, RUN, "--download", "pipe=.", "--",
                                                       "mkfifo", "pipe");
    bed_assert_code(p, 7);
    bed_assert_has(p.err.buf, "not a regular file");
    e2e_shell("test -z \"$(ls -A)\"");
}

/* As in cp: "~/" is the home of the guest's user, and ./~ a name like any other. */
static void test_home(void **state)
{
    (void)state;
    E2E_OK(RUN, "-q", "--download", "~/mine/a=one", "--download", "./~/b=two", "--download",
           "~//mine=dir", "--artifact-glob", "~/mine/*", "--artifact-glob", "~/.envrc",
           "--artifact-glob", "**/d", "--require-artifact", "~/mine/a", "--artifact-dir", "got",
           "--", "bash", "-ec",
           "mkdir -p ~/mine sub ./'~'; echo 1 >~/mine/a; echo 2 >./'~'/b; echo 3 >~/.envrc\n"
           "echo 4 >sub/d");
    e2e_shell("test \"$(cat one two dir/a got/mine/a got/.envrc got/sub/d | paste -sd ' ')\" = "
              "'1 2 1 1 3 4'");
    _cleanup_bed_result_ struct bed_result j = BED_RUN(
        &bed, RUN, "--junit", "~/mine/*.xml", "--junit", "r.xml", "--timing-json", "--", "bash",
        "-ec",
        "echo '<testsuite tests=\"1\"><testcase name=\"a\"/></testsuite>' | tee r.xml "
        ">~/mine/j.xml");
    bed_assert_code(j, 0);
    bed_assert_has(j.err.buf, "(2 reports)");
    E2E_OK(RUN, "--", "sh", "-c", "rm -r ~/mine ~/.envrc");
    static const char *const other[][2] = {{"--download", "~root/x=."},
                                           {"--artifact-glob", "~root/*"},
                                           {"--require-artifact", "~root/*"},
                                           {"--junit", "~x.xml"}};
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, other[i][0], other[i][1],
                                                           "--", "touch", "ran");
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, "begins with the home of another user" BED_NEXT);
    }
    E2E_CODE(2, RUN, "--artifact-glob", "~/../x", "--", "touch", "ran");
    E2E_CODE(2, RUN, "--artifact-glob", "~", "--", "touch", "ran");
    E2E_OK(RUN, "--", "test", "!", "-e", "ran");
}

/* What has content but no size comes by its own name; a pattern that meets it is an error, and the
 * other files come. */
static void test_files_without_a_size(void **state)
{
    (void)state;
    E2E_OK(RUN, "--download", "/proc/version=got", "--download", "v=link", "--", "ln", "-s",
           "/proc/version", "v");
    e2e_shell("cmp got /proc/version; cmp link /proc/version");
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, RUN, "--artifact-glob", "[vwx]",
                                                       "--artifact-dir", "a", "--", "sh", "-c",
                                                       "echo 1 >w; : >x");
    bed_assert_code(r, 7);
    bed_assert_has(r.err.buf, "as in /proc: v" BED_NEXT "fetch it by its own name");
    e2e_shell("test $(cat a/w) = 1; test ! -s a/x -a -f a/x -a ! -e a/v");
}

/* The guest's tar is what the guest likes: here one that packs its own idea. */
static void test_hostile_guest(void **state)
{
    (void)state;
    static const char script[] =
        "mkdir -p ~/bin x; echo bad > x/evil; echo fine > file; cat > ~/bin/tar <<'END'\n"
        "#!/bin/sh\nexec /usr/bin/tar -c -f - -P --transform 's,^x/,../../,' x/evil\nEND\n"
        "chmod +x ~/bin/tar; echo 'PATH=~/bin:$PATH' > ~/.bashrc; cp ~/.bashrc ~/.profile\n"
        "cp ~/bin/tar /tmp/hostile-tar";
    E2E_OK(RUN, "--", "bash", "-ec", script);
    /* The same bytes, from a guest whose tar was replaced. */
    _cleanup_bed_result_ struct bed_result h = BED_RUN(
        &bed, RUN, "--download", "file=got", "--", "sh", "-ec",
        "test -x ~/bin/tar; /tmp/hostile-tar > /dev/null");
    e2e_shell("test ! -e ../evil -a ! -e ../../evil -a ! -e evil");
    bed_assert_code(h, 7);
    bed_assert_has(h.err.buf, "was not asked for");
    E2E_OK(RUN, "--", "sh", "-c", "rm -rf ~/bin ~/.bashrc ~/.profile");
}

static void test_capture(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(
        &bed, RUN, "-q", "--capture-stdout", "o", "--capture-stderr", "e", "--", "sh", "-c",
        "head -c 3000000 /dev/zero | tr '\\0' x; echo words >&2; exit 4");
    bed_assert_code(r, 4);
    assert_string_equal(r.out.buf, "");
    e2e_shell("test \"$(wc -c < o)\" -eq 3000000; test \"$(cat e)\" = words");
    _cleanup_bed_result_ struct bed_result n = BED_RUN(&bed, RUN, "--capture-stdout", "no/o", "--",
                                                       "touch", "ran");
    bed_assert_code(n, 1);
    bed_assert_has(n.err.buf, "capture-stdout");
}

/* A guest that writes for ever fills no disk of the host: part of it stays free, and the message
 * has the file. A disk that is full already is told before the command runs. */
static void test_capture_leaves_room(void **state)
{
    (void)state;
    e2e_shell("mkdir disk; mount -t tmpfs -o size=40m none disk");
    _cleanup_bed_result_ struct bed_result o = BED_RUN(&bed, RUN, "-q", "--capture-stdout",
                                                       "disk/o", "--", "cat", "/dev/zero");
    _cleanup_bed_result_ struct bed_result size = BED_EXEC(
        &bed, "sh", "-c", "stat -c %s disk/o; df --output=avail -k disk | tail -n 1");
    _cleanup_bed_result_ struct bed_result e = BED_RUN(&bed, RUN, "-q", "--capture-stderr",
                                                       "disk/e", "--", "touch", "ran");
    e2e_shell("umount disk; rmdir disk");
    unsigned long written, left;
    bed_assert_code(o, 1);
    bed_assert_has(o.err.buf, "disk/o does not fit");
    assert_int_equal(sscanf(size.out.buf, "%lu %lu", &written, &left), 2);
    assert_in_range(written, 36 << 20, 38 << 20);
    assert_in_range(left, 2048, 4096);
    bed_assert_code(e, 1);
    bed_assert_has(e.err.buf, "disk/e does not fit");
    E2E_OK(RUN, "--", "test", "!", "-e", "ran");
}

/* A run whose command waits while `meanwhile` is done here. */
#define RUN_MEANWHILE(dir, meanwhile, ...)                                                         \
    BED_EXEC(&bed, "sh", "-ec",                                                                    \
             "do=$0; mkfifo up down; w=$PWD; cd " dir "; \"$@\" <$w/down >$w/up & p=$!\n"          \
             "exec 3>$w/down 4<$w/up; read ready <&4; cd $w; eval \"$do\"; echo go >&3\n"          \
             "rm up down; wait $p",                                                                \
             meanwhile, bed.program, RUN, __VA_ARGS__, "--", "sh", "-c",                           \
             "echo ready; read go; echo 1 > a; echo 2 > b")

/* Who owns the tree can turn it about while the command runs: results go where the places were
 * found. */
static void test_places_are_held_while_it_runs(void **state)
{
    (void)state;
    static const char turn[] = "rm -rf .git; for d in old artifacts top/file; do mv $d $d.away\n"
                               "ln -s $w/evil $d; done";
    e2e_shell("mkdir -p .git sub old artifacts evil top/file");
    _cleanup_bed_result_ struct bed_result r = RUN_MEANWHILE(
        "sub", turn, "--artifact-dir", "../old", "--artifact-glob", "a", "--download",
        "b=../old/new", "--download", "b=../top/file");
    bed_assert_code(r, 0);
    e2e_shell("test -z \"$(ls -A evil)\"; test \"$(cat old.away/a old.away/new)\" = \"$(printf "
              "'1\\n2')\"\n"
              "test \"$(cat top/file.away/b)\" = 2; rm artifacts old top/file\n"
              "for d in artifacts old top/file; do mv $d.away $d; done");
    _cleanup_bed_result_ struct bed_result d = RUN_MEANWHILE(".", turn, "--artifact-glob", "a");
    bed_assert_code(d, 0);
    e2e_shell("test -z \"$(ls -A evil)\"; test \"$(cat artifacts.away/run_*/a)\" = 1");
}

/* What was removed meanwhile, by a build here for example, is made anew. */
static void test_a_place_that_was_removed_is_made_again(void **state)
{
    (void)state;
    e2e_shell("mkdir -p old/deep");
    _cleanup_bed_result_ struct bed_result r = RUN_MEANWHILE(".", "rm -r old", "--artifact-dir",
                                                             "old/deep", "--artifact-glob", "a",
                                                             "--download", "a=old/deep/x");
    bed_assert_code(r, 0);
    e2e_shell("test \"$(cat old/deep/a old/deep/x)\" = \"$(printf '1\\n1')\"");
    /* Where that fails, no directory is named. */
    _cleanup_bed_result_ struct bed_result f = RUN_MEANWHILE(".", "rm -r old; echo >old",
                                                             "--timing-json", "--artifact-dir",
                                                             "old/deep", "--artifact-glob", "a");
    bed_assert_code(f, 1);
    bed_assert_has(f.err.buf, "--artifact-dir: open old/deep: Not a directory");
    bed_assert_has(f.err.buf, "\"collectFiles\":0");
    assert_null(strstr(f.err.buf, "artifactDir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_missing_download, fresh),
        cmocka_unit_test_setup(test_home, fresh),
        cmocka_unit_test_setup(test_files_without_a_size, fresh),
        cmocka_unit_test_setup(test_hostile_guest, fresh),
        cmocka_unit_test_setup(test_capture, fresh),
        cmocka_unit_test_setup(test_capture_leaves_room, fresh),
        cmocka_unit_test_setup(test_places_are_held_while_it_runs, fresh),
        cmocka_unit_test_setup(test_a_place_that_was_removed_is_made_again, fresh),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
