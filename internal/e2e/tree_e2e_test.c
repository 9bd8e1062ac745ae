/* The owner of a tree exchanges directories while root takes them into a guest, through the
 * stand-in. */
#include "e2e/e2e.h"

static int fresh(void **state)
{
    (void)state;
    bed_clear_faults(&bed);
    e2e_shell("rm -rf ./* .[!.]* ../away; mkdir -p .git/objects .git/refs pkg/app ../away/app\n"
              "echo ref: refs/heads/main >.git/HEAD; echo fine >pkg/app/key\n"
              "echo of-the-host >../away/app/key; echo of-the-host >../away/key");
    return 0;
}

/* One run holds the lease; another waits for it, long after it looked at its --dir. */
#define WHILE_A_RUN_WAITS                                                                          \
    "rm -f p q out err; mkfifo p q; here=$PWD\n"                                                   \
    "\"$0\" run --id box --no-sync -q -- sh -c 'echo started; cat' <p >q & first=$!\n"             \
    "exec 3>p; read line <q\n"                                                                     \
    "(cd \"$1\"; shift; exec \"$0\" run --id box --wait \"$@\" -- "                                \
    "find . -name key -exec cat {} + </dev/null >\"$here/out\" 2>\"$here/err\" 3>&-) & "           \
    "second=$!\n"                                                                                  \
    "until grep -q 'waiting for another run' err 2>/dev/null; do kill -0 $second; done\n"

#define ONLY_THE_TREE_IS_SENT                                                                      \
    "exec 3>&-; wait $first; wait $second; grep -qx fine out; test -z \"$(grep host out)\"\n"

static void test_dir_exchanged_while_a_lease_is_awaited(void **state)
{
    (void)state;
    static const char script[] = WHILE_A_RUN_WAITS
        "mv pkg/app old; ln -s ../../away/app pkg/app\n" ONLY_THE_TREE_IS_SENT;
    E2E_EXEC_OK("bash", "-ec", script, bed.program, ".", "--dir", "pkg/app");
}

static void test_directory_above_exchanged_while_a_lease_is_awaited(void **state)
{
    (void)state;
    static const char script[] = WHILE_A_RUN_WAITS
        "mv pkg old; ln -s ../away pkg\n" ONLY_THE_TREE_IS_SENT;
    E2E_EXEC_OK("bash", "-ec", script, bed.program, "pkg/app");
}

/* HOME in an archive that only --dir names, as where one stands in it. */
static void test_home_in_the_archive_that_is_sent(void **state)
{
    (void)state;
    E2E_EXEC_OK("sh", "-ec",
                "mkdir -p ../away/.config/crabbox-fc; cd ../away; away=$PWD\n"
                "echo 'run: {allowEnv: [SECRET]}' >.config/crabbox-fc/config.yaml\n"
                "cd /; export HOME=\"$away\"; unset XDG_CONFIG_HOME\n"
                "\"$0\" run --id box --no-sync -q -- true\n"
                "for o in -q --no-sync; do\n"
                "code=0; \"$0\" run --id box --dir \"$away\" $o -- true 2>\"$1/err\" || code=$?\n"
                "test $code = 2; grep -q 'HOME leads into the tree' \"$1/err\"\n"
                "done\n"
                "\"$0\" run --id box --no-sync --dir \"$away/none\" -q -- true",
                bed.program, bed.work);
}

/* Nor which files become kernel and root, where the archive is what --dir names. */
static void test_no_link_leads_to_an_image(void **state)
{
    (void)state;
    E2E_EXEC_OK(
        "sh", "-ec",
        "cd ../away; away=$PWD; ln -s \"$CRABBOX_FC_IMAGE_DIR\" img; mkdir im2\n"
        "cp \"$CRABBOX_FC_IMAGE_DIR\"/* im2/; ln -sf \"$CRABBOX_FC_IMAGE_DIR\"/rootfs.ext4 im2/\n"
        "cd /; unset CRABBOX_FC_IMAGE_DIR\n"
        "for dir in img im2; do\n"
        "code=0; \"$0\" run -q --dir \"$away\" --image-dir \"$away/$dir\" -- true "
        "2>\"$1/err\" || code=$?\n"
        "test $code = 2; grep -q 'is a symbolic link' \"$1/err\"\n"
        "done",
        bed.program, bed.work);
}

/* A link of an archive does not choose what is sent, wherever one stands. */
static void test_no_link_leads_to_what_is_sent(void **state)
{
    (void)state;
    E2E_EXEC_OK(
        "sh", "-ec",
        "cd ../away; away=$PWD; echo private >app/id; ln -s app link; ln -s .. up; cd /\n"
        "for path in link up/away/app; do for o in -q --no-sync; do\n"
        "code=0; \"$0\" run --id box --dir \"$away/$path\" $o -- true 2>\"$1/err\" || code=$?\n"
        "test $code = 2; grep -q 'would choose what is sent$' \"$1/err\"; grep -q 'next: name the "
        "real' \"$1/err\"\n"
        "done\n"
        "code=0; \"$0\" cp \"$away/$path\" box:got 2>\"$1/err\" || code=$?\n"
        "test $code = 2; grep -q 'would choose what is sent' \"$1/err\"\n"
        "done\n"
        "\"$0\" cp -q \"$away/link/id\" box:got\n" /* one file, which has a name */
        "\"$0\" run --id box -q --dir \"$away/app\" -- test -e id",
        bed.program, bed.work);
}

/* Nor where relative paths begin: --dir says so only of the place that it names. */
static void test_no_link_leads_to_where_one_writes(void **state)
{
    (void)state;
    E2E_EXEC_OK(
        "sh", "-ec",
        "cd ../away; away=$PWD; mkdir ../keys; ln -s ../keys src; cd src\n"
        "for o in '' \"--dir $away/app\" '--dir ../away/app'; do\n"
        "code=0; \"$0\" run --id box $o --no-sync --download /etc/hostname=x -- true "
        "2>\"$1/err\" || code=$?\n"
        "test $code = 2; grep -q 'you came here by the symbolic link' \"$1/err\"\n"
        "test ! -e x\n"
        "done\n"
        /* sudo takes PWD away, but has it itself. A shell between the two makes one of its
         * own and passes it on. */
        "export go=\"$1/go\"\n"
        "echo \"$0 run --id box --no-sync --download /etc/hostname=x -- true; exit \\$?\" >$go\n"
        "echo 'sh $go; exit $?' >$go-on\n"
        "for as in \"$(sed 's/;.*//' $go)\" \"sh $go\" \"sh $go-on\"; do\n"
        "code=0; sh -c \"env -u PWD $as; exit \\$?\" 2>\"$1/err\" || code=$?\n"
        "test $code = 2; grep -q 'you came here by the symbolic link' \"$1/err\"\n"
        "test ! -e x; sh -c \"cd -P .; $as\"; rm x\n"
        "done; rm $go $go-on\n"
        "\"$0\" run --id box --dir . --no-sync -q --download /etc/hostname=x -- true\n"
        "test -e x; rm -r ../keys \"$away/src\"",
        bed.program, bed.work);
}

/* Where a command starts: where the user stands in the tree, also without a sync if an earlier run
 * has synced it; results are seen from there. */
static void test_commands_start_where_the_user_stands(void **state)
{
    (void)state;
    e2e_shell(
        "at() { dir=$1; shift; (cd \"$dir\" && \"$fc\" run --id box -q \"$@\"); }\n"
        "fc=$0; here=${PWD##*/}; work=$(at / --no-sync -- pwd)\n"
        "echo 'echo made' >job; mkdir -p 'an empty/one'\n"
        "test \"$(at . -- pwd)\" = \"$work/$here\"\n"
        "test \"$(at . --no-sync -- sh job)\" = made\n"
        "for o in --no-sync --shell; do\n"
        "test \"$(at pkg/app $o -- pwd)\" = \"$work/$here/pkg/app\"\n"
        "test \"$(at 'an empty/one' $o -- pwd)\" = \"$work/$here/an empty/one\"\n"
        "test \"$(at / $o --dir \"$PWD/pkg\" -- pwd)\" = \"$work/$here/pkg\"\n"
        "done\n"
        "test \"$(at ../away --no-sync -- pwd)\" = \"$work\"\n"
        "at pkg/app --download key=got --artifact-glob 'k*' -- true; cmp pkg/app/got pkg/app/key\n"
        "mv .git/HEAD head; test \"$(at . --no-sync -- pwd)\" = \"$work\"; mv head .git/HEAD");
}

/* What was synced belongs to the directory, whatever it is called now. */
static void test_a_tree_that_is_renamed(void **state)
{
    (void)state;
    e2e_shell("fc=$0; at() { (cd \"../away/$1\" && shift && \"$fc\" run --id box -q \"$@\"); }\n"
              "mkdir -p ../away/old/sub; git init -q ../away/old; echo 1 >../away/old/f; old=$(at "
              "old -- sh -c 'echo x "
              ">own; pwd')\n"
              "mv ../away/old ../away/new; test \"$(at new --no-sync -- pwd)\" = \"$old\"\n"
              "test \"$(at new/sub --no-sync -- pwd)\" = \"$old/sub\"\n"
              "echo 2 >../away/new/f; test \"$(at new -- cat f own | paste -sd' ')\" = '2 x'\n"
              "test \"$(at new/. --no-sync -- pwd)\" = \"$old\"\n"
              /* Another one that has the old name now. */
              "mkdir ../away/old; test \"$(at old --no-sync -- pwd)\" = \"${old%/old}\"\n"
              "code=0; at old -- true 2>err || code=$?; test $code = 6\n"
              "grep -q 'which is another tree than' err; grep -q 'next: --reclaim' err\n"
              "test \"$(at old --reclaim -- ls)\" = ''; test \"$(at new -- cat f)\" = 2\n"
              "test \"$(at new -- pwd)\" = \"${old%/old}/new\"; rm -r ../away/old ../away/new err");
}

/* A second tree of the same name does not come among the files of the first. */
static void test_another_tree_of_the_name(void **state)
{
    (void)state;
    e2e_shell(
        "mkdir -p ../away/two/app; echo B >../away/two/app/main\n"
        "\"$0\" run --id box -q --dir ../away/app -- test -e key\n"
        "code=0; \"$0\" run --id box -q --dir ../away/two/app -- true 2>err || code=$?\n"
        "test $code = 6; grep -q 'which is another tree than' err; grep -q 'next: --reclaim' err\n"
        "cd ../away/two/app; test \"$(\"$0\" run --id box -q --no-sync -- ls)\" != main\n"
        "\"$0\" run --id box -q --reclaim -- true\n"
        "test \"$(\"$0\" run --id box -q -- ls)\" = main; cd ../..\n"
        "code=0; \"$0\" run --id box -q --dir app -- true || code=$?; test $code = 6\n"
        "\"$0\" run --id box -q --fresh-sync --dir app -- test -e key -a ! -e main");
}

/* cp takes no state along, and sends the directory that it opened. */
static void test_cp_takes_no_state(void **state)
{
    (void)state;
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "cp", bed.state, "box:state");
    bed_assert_code(r, 6);
    bed_assert_has(r.err.buf,
                   "holds crabbox-fc's own state, which is never copied" BED_NEXT "name");
    e2e_guest("box", "test ! -e state");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_dir_exchanged_while_a_lease_is_awaited, fresh),
        cmocka_unit_test_setup(test_directory_above_exchanged_while_a_lease_is_awaited, fresh),
        cmocka_unit_test_setup(test_home_in_the_archive_that_is_sent, fresh),
        cmocka_unit_test_setup(test_no_link_leads_to_an_image, fresh),
        cmocka_unit_test_setup(test_no_link_leads_to_what_is_sent, fresh),
        cmocka_unit_test_setup(test_no_link_leads_to_where_one_writes, fresh),
        cmocka_unit_test_setup(test_cp_takes_no_state, fresh),
        cmocka_unit_test_setup(test_commands_start_where_the_user_stands, fresh),
        cmocka_unit_test_setup(test_a_tree_that_is_renamed, fresh),
        cmocka_unit_test_setup(test_another_tree_of_the_name, fresh),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
