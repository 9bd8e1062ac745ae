/* A hostile or broken state directory: nothing outside it is touched, nothing in it hides a lease,
 * and what can't be read is listed as broken with its path. */
#include "e2e/e2e.h"

/* Runs a script in the bed with S the state directory, P the program, O a directory outside. */
static void shell(const char *script, struct strbuf *out)
{
    _cleanup_free_ char *full = xasprintf("S=%s; O=%s/outside; P=%s; set -eu\n%s", bed.state,
                                          bed.dir, bed.program, script);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", full);
    bed_assert_code(r, 0);
    if (out)
        strbuf_adds(out, r.out.buf);
}

/* All of it with kinds, modes, sizes, times of change and contents. */
static void picture_outside(struct strbuf *out)
{
    shell(
        "cd $O; find . -printf '%p %y %m %s %T@ %l\\n' | sort; find . -type f -exec sha256sum {} +",
        out);
}

/* Each line makes one entry below leases/, except for what it needs beside it. */
static const char hostile[] =
    "cd $S/leases; good=$(basename $S/leases/cbx_*)\n"
    "record=$(cat $good/lease.json)\n"
    "id() { printf 'cbx_%012x' $1; }\n"
    /* Ids that lead elsewhere or are no directories. */
    "ln -s $O $(id 1)\n"
    "echo text > $(id 2)\n"
    "mkfifo $(id 3)\n"
    "ln -s $(id 4) $(id 4)\n"
    /* Records that lead elsewhere or are no files. */
    "mkdir -m 700 $(id 16); ln -s $O/record.json $(id 16)/lease.json\n"
    "mkdir -m 700 $(id 17); mkfifo $(id 17)/lease.json\n"
    "mkdir -m 700 $(id 18); mkdir $(id 18)/lease.json\n"
    "mkdir -m 700 $(id 19); truncate -s 4G $(id 19)/lease.json\n"
    "mkdir -m 700 $(id 20); : > $(id 20)/lease.json\n"
    "mkdir -m 700 $(id 21); printf '%s' \"$record\" | head -c 300 > $(id 21)/lease.json\n"
    "mkdir -m 700 $(id 22); head -c 2000 /dev/zero > $(id 22)/lease.json\n"
    "mkdir -m 700 $(id 23)\n"
    /* Of a newer program, of another lease, with nonsense in it. */
    "mkdir -m 700 $(id 32); printf '%s' \"$record\" | sed 's/\"schema\":.*1,/\"schema\": 2,/' > "
    "$(id 32)/lease.json\n"
    "mkdir -m 700 $(id 33); printf '%s' \"$record\" > $(id 33)/lease.json\n"
    "mkdir -m 700 $(id 34); printf '%s' \"$record\" | sed \"s/$good/$(id 34)/; "
    "s/\\\"pid\\\":.*,/\\\"pid\\\": 1,/\" > $(id 34)/lease.json\n"
    "mkdir -m 700 $(id 35); printf '%s' \"$record\" | sed \"s/$good/$(id 35)/; "
    "s/\\\"slug\\\":.*,/\\\"slug\\\": \\\"..\\/..\\/x\\\",/\" > $(id 35)/lease.json\n"
    /* Not ours at all. */
    "mkdir foreign; echo x > foreign/file\n"
    "d=deep; mkdir $d; for i in $(seq 100); do d=$d/d; mkdir $d; done\n"
    /* What a sweep takes, leading elsewhere. */
    "ln -s $O .del-$(id 48); ln -s $O .new-$(id 49)\n"
    "mkdir -m 700 .del-$(id 50); ln -s $O .del-$(id 50)/out; ln -s $O/canary .del-$(id 50)/lock\n"
    /* Slugs that lead elsewhere. */
    "ln -s ../../outside $S/slugs/out; ln -s $O/canary $S/slugs/canary; mkdir $S/slugs/dir\n";

#define HOSTILE_LISTED 18 /* entries of leases/ above that don't begin with a dot */

static void check_list(void)
{
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list", "--json");
    bed_assert_code(r, 0);
    _cleanup_json_ cJSON *rows = e2e_json(&r);
    const cJSON *row;
    int broken = 0, ready = 0;
    cJSON_ArrayForEach(row, rows)
    {
        bool is_broken = str_eq(json_opt_string(row, "state", ""), "broken");
        broken += is_broken;
        ready += str_eq(json_opt_string(row, "slug", ""), "whole");
        if (is_broken)
            bed_assert_has(json_opt_string(row, "reason", ""),
                           json_opt_string(row, "leaseId", "?"));
    }
    assert_int_equal(ready, 1);
    assert_int_equal(broken, HOSTILE_LISTED);
    assert_int_equal(cJSON_GetArraySize(rows), HOSTILE_LISTED + 1);
}

/* Whatever verb meets them: no crash, no hang, an honest code. */
static void try_verbs(void)
{
    shell("for i in $(ls $S/leases) out canary dir; do\n"
          "  case $i in \"$(readlink $S/slugs/whole)\") continue;; esac\n"
          "  for v in status stop 'run --no-sync --id' heartbeat logs 'ssh --print'; do\n"
          "    c=0; w=; case $v in run*) w='-- true';; esac\n"
          "    timeout 10 $P $v $i $w >/dev/null 2>&1 </dev/null || c=$?\n"
          "    case $c in [0-9]) ;; *) echo \"$v $i: $c\" >&2; exit 1;; esac\n"
          "  done\n"
          "done",
          NULL);
}

static void test_nothing_is_followed_outside(void **state)
{
    _cleanup_strbuf_ struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
    (void)state;
    e2e_warmup("whole");
    shell(
        "mkdir -m 700 $O; cd $O; echo canary > canary; mkdir -p a/b; echo deep > a/b/c\n"
        "cp $S/leases/cbx_*/lease.json record.json; cp record.json lease.json; : > lock; : > use\n"
        "echo seed > seed.iso; echo disk > disk.img",
        NULL);
    picture_outside(&before);
    shell(hostile, NULL);
    check_list();
    try_verbs();
    static const char *const cleanups[][3] = {
        {"cleanup", "--dry-run", NULL}, {"cleanup", NULL}, {"cleanup", "--json", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cleanups); i++) {
        _cleanup_bed_result_ struct bed_result r = bed_run(&bed, cleanups[i]);
        bed_assert_code(r, 1); /* what is broken is a failure of cleanup, and it says so */
    }
    check_list();
    picture_outside(&after);
    assert_string_equal(before.buf, after.buf);
    E2E_OK("run", "--id", "whole", "--no-sync", "--", "true");
    e2e_stop("whole");
    shell("rm -rf $S/leases/* $S/slugs/* $O", NULL);
}

/* A record that is sound but for its processes: other boot, other start time, a stranger's pid. */
static void test_strangers_are_not_signalled(void **state)
{
    (void)state;
    e2e_warmup("pids");
    shell("cd $S/leases/cbx_*; sleep 100 & p=$!\n"
          "for v in $(sed -n 's/.*\"pid\":[^0-9]*\\([0-9]*\\),*/\\1/p' lease.json); do\n"
          "  kill -9 $v; done\n"
          "sed -i \"s/\\\"pid\\\":.*,/\\\"pid\\\": $p,/\" lease.json; chmod 600 lease.json\n"
          "$P stop pids >/dev/null; kill $p",
          NULL);
    bed_assert_clean(&bed);
}

/* Nothing is made below a HOME that is missing, wherever that would be. */
static void test_a_home_that_is_missing(void **state)
{
    (void)state;
    static const char *const verbs[] = {
        "list",        "status x", "stop x",         "cleanup",  "logs x",      "warmup",
        "run -- true", "ssh x",    "trust add repo", "cp x:a .", "heartbeat x", "tunnel -L 1 x"};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        _cleanup_free_ char *line = xasprintf(
            "mkdir -p repo; touch repo/.crabbox-fc.yaml; unset CRABBOX_FC_STATE_DIR; "
            "HOME=%s/no/home; export HOME; \"$0\" %s; code=$?; rm -r repo; exit $code",
            bed.dir,
            str_eq(verbs[i], "trust add repo") ? "trust add repo/.crabbox-fc.yaml" : verbs[i]);
        _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", line, bed.program);
        bed_assert_code(r, 2);
        bed_assert_has(r.err.buf, "no/home, which is not a directory" BED_NEXT "set HOME");
        _cleanup_free_ char *none = xasprintf("[ ! -e %s/no ]", bed.dir);
        e2e_shell(none);
    }
}

/* A state directory that was mistyped is not taken for one without leases. */
static void test_a_state_directory_that_is_none(void **state)
{
    (void)state;
    _cleanup_free_ char *none = xasprintf("%s/nowhere", bed.dir);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", none);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "list");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "nowhere, which does not exist; next: crabbox-fc warmup");
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", "/etc/passwd");
    _cleanup_bed_result_ struct bed_result file = BED_RUN(&bed, "list");
    bed_assert_code(file, 2);
    bed_assert_has(file.err.buf, "the state directory /etc/passwd is not a directory" BED_NEXT
                                 "set CRABBOX_FC_STATE_DIR");
    bed_clear_faults(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_nothing_is_followed_outside),
        E2E_TEST(test_strangers_are_not_signalled),
        E2E_TEST(test_a_home_that_is_missing),
        E2E_TEST(test_a_state_directory_that_is_none),
    };
    return E2E_MAIN(tests);
}
