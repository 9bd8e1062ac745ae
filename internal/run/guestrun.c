/* guestrun.c: the shell code that starts a command in the guest and ends it.
 *
 * A command takes two connections' commands. guest_run_put sends the whole start script, with the
 * words of the command and its environment, as input of a helper. The helper writes it to the file
 * `start` in a private directory. guest_run_command is then only a short text: a login bash reads
 * that file and evaluates it. The script's first act is to remove the file. Then it changes to the
 * work directory, sets the environment, and replaces itself by the command.
 *
 * guest_run_end sends end_script, which uses almost only builtins of bash, because the guest may
 * not be able to start processes. It sends SIGTERM and waits two seconds. Then it freezes what is
 * left (SIGSTOP), looks again, and repeats that until it finds no new process of the run. Frozen
 * processes can't fork, so none is missed. All of them get SIGKILL.
 */
#include "run/guestrun.h"

#include <string.h>

#include "base/cleanup.h"
#include "run/behind.h"
#include "run/hung.h"
#include "sys/deadline.h"

/* Beside every process of the guest, and as private as the other by its mode. */
#define MEMORY_DIR "/dev/shm"

enum { CLEAN_MS = 1000, SAID_MAX = 2048 };

#define PREFIX "run_"

int guest_run_again(struct guest_run *g, struct ssh_conn *conn, const struct lease *l,
                    const char *id, struct error *err)
{
    *g = (struct guest_run){.conn = conn, .placed = true};
    if (!str_has_prefix(id, PREFIX) || id[strspn(id, PREFIX "0123456789abcdef")] ||
        str_copy(g->id, sizeof g->id, id) < 0)
        return error_set(err, ERR_STATE, 0, "that is no id of a run");
    if (str_format(g->dir, sizeof g->dir, "%s/%s/.crabbox-%s", l->work_root, l->id, g->id) < 0)
        return error_set(err, ERR_INTERNAL, 0, "the path of a run in the guest is too long");
    return 0;
}

void guest_run_make_id(char id[static GUEST_RUN_ID_SIZE])
{
    uint8_t raw[6];
    char hex[13];
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, hex);
    (void)str_format(id, GUEST_RUN_ID_SIZE, PREFIX "%s", hex);
}

int guest_run_init(struct guest_run *g, struct ssh_conn *conn, const struct lease *l,
                   const char *id, struct error *err)
{
    int r = guest_run_again(g, conn, l, id, err);
    g->placed = false;
    return r;
}

/* ---- putting files there ---- */

/* A text, and when its end was asked for. */
struct source {
    struct ssh_text text;
    int64_t ended_us;
};

/* What a helper says, and between which moments it began to. */
struct answer {
    struct strbuf text;
    int64_t sent_us, got_us;
};

static void answer_free(struct answer *a)
{
    strbuf_free(&a->text);
}

static ssize_t next_bytes(void *ctx, void *buf, size_t size, struct error *err)
{
    struct source *s = ctx;
    ssize_t n = ssh_text_next(&s->text, buf, size, err);
    if (n == 0)
        s->ended_us = clock_unix_us();
    return n;
}

/* A helper command of ours. With a text to read it has to move; without one only the deadline
 * counts. `answer` (may be NULL) gets its standard output. */
static int helper(const struct guest_run *g, const char *command, const char *text, size_t len,
                  struct answer *answer, const struct deadline *d, const char *what,
                  struct error *err)
{
    struct source source = {{text, len}, 0};
    struct ssh_io io = SSH_IO_INIT;
    io.out_max = SAID_MAX;
    io.may_be_silent = !text;
    if (text) {
        io.source = next_bytes;
        io.source_ctx = &source;
    }
    if (answer) {
        io.out = &answer->text;
        io.out_at_us = &answer->got_us;
    }
    int r = ssh_command(g->conn, command, &io, d, ERR_SSH, what, err);
    if (answer)
        answer->sent_us = source.ended_us;
    return r;
}

static void add_quoted(struct strbuf *out, const char *before, const char *dir, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s%s", dir, name);
    strbuf_adds(out, before);
    strbuf_add_shell_quoted(out, path);
}

static void add_words(struct strbuf *out, const char *const *argv)
{
    for (; *argv; argv++) {
        strbuf_addc(out, ' ');
        strbuf_add_shell_quoted(out, *argv);
    }
}

static void add_joined(struct strbuf *out, const char *const *argv)
{
    struct strbuf joined = STRBUF_INIT;
    for (const char *const *a = argv; *a; a++)
        strbuf_addf(&joined, "%s%s", a == argv ? "" : " ", *a);
    strbuf_addc(out, ' ');
    strbuf_add_shell_quoted(out, joined.buf);
    strbuf_free(&joined);
}

#define DIR_VARIABLE "crabbox_fc_dir"

/* The kernel hangs a terminal up when the first process of its session ends, and what the others
 * still had to say is lost. So with a terminal the shell that starts the command stays, and ends
 * when nobody of the session is left, at most two seconds after the command. It ends as the command
 * did, by the signals that can only mean this. */
static const char terminal_end[] =
    ")\ns=$?\n"
    "left() {\n"
    "    local p t\n"
    "    for p in /proc/[0-9]*/stat; do\n"
    "        { read -r t <$p; } 2>/dev/null || continue\n"
    "        set -- ${t##*) }\n"
    "        [ \"$4\" = $$ ] && [ $1 != Z ] && [ $p != /proc/$$/stat ] && return 0\n"
    "    done\n"
    "    return 1\n"
    "}\n"
    "for ((i = 0; i < 20; i++)); do left && sleep 0.1 || break; done\n"
    "case $s in 129 | 130 | 134 | 137 | 139 | 143) kill -s $((s - 128)) $$ ;; esac\n"
    "exit $s\n";

/* A command that was sent to make room in a full guest must not need room to start. A profile may
 * have a cd of its own, which prints. */
static void add_work_dir(const struct guest_command *c, struct strbuf *out)
{
    _cleanup_strbuf_ struct strbuf dir = STRBUF_INIT;
    strbuf_add_shell_quoted(&dir, c->work_dir);
    strbuf_addf(out,
                "\nbuiltin cd -- %s 2>/dev/null || { mkdir -p -- %s && builtin cd -- %s; } || ",
                dir.buf, dir.buf, dir.buf);
    if (!c->elsewhere) {
        strbuf_adds(out, "exit\n");
        return;
    }
    _cleanup_free_ char *parent = xasprintf("%s/%s", c->lease->work_root, c->lease->id);
    strbuf_adds(out, "{ builtin cd -- ");
    strbuf_add_shell_quoted(out, parent);
    strbuf_adds(out, " 2>/dev/null || builtin cd 2>/dev/null || builtin cd /; "
                     "echo \"crabbox-fc: the command starts in $PWD\" >&2; }\n");
}

/* Read by a login bash, in which DIR_VARIABLE is the private directory. The user's profile comes
 * first, so what was asked for is stronger. */
static void start_text(const struct guest_run *g, const struct guest_command *c, struct strbuf *out)
{
    strbuf_adds(out, c->script || c->keeps_dir ? "rm -f -- \"$" DIR_VARIABLE "/start\""
                                               : "rm -rf -- \"$" DIR_VARIABLE "\"");
    add_work_dir(c, out);
    env_set_script(c->env, out);
    strbuf_addf(out, "export CRABBOX_LEASE_ID=%s CRABBOX_SLUG=%s CRABBOX_RUN_ID=%s\n", c->lease->id,
                c->lease->slug, g->id);
    strbuf_adds(out, c->terminal ? "(exec --" : "exec --");
    if (c->script) {
        strbuf_adds(out, c->has_shebang ? " \"$" DIR_VARIABLE "/script\""
                                        : " bash \"$" DIR_VARIABLE "/script\"");
        add_words(out, c->argv);
    } else if (c->shell) {
        strbuf_adds(out, " bash -c");
        add_joined(out, c->argv);
    } else {
        add_words(out, c->argv);
    }
    strbuf_adds(out, c->terminal ? terminal_end : "\n");
}

/* Where the files go if they can't be beside the work directory. */
static char *spare_dir(const struct guest_run *g)
{
    return xasprintf(MEMORY_DIR "/.crabbox-%s", g->id);
}

/* Reads all of it before there is a file, so that there can be another try. Says what time it is,
 * and which directory has the file. */
static void put_command(const struct guest_run *g, struct strbuf *out)
{
    _cleanup_free_ char *spare = spare_dir(g);
    strbuf_adds(out, "t=$(cat && echo .) || exit; [ -p " BEHIND_TOLD " ] && "
                     "{ read -r u x </proc/uptime; echo \"${EPOCHREALTIME:-} $u\"; }; "
                     "put() { umask 077; printf %s \"${t%.}\" >\"$1/start\" && echo \"in$2\" || "
                     "{ rm -rf -- \"$1\"; return 1; }; }; ");
    add_quoted(out, "mkdir -p -m 0700 -- ", g->dir, "");
    add_quoted(out, " && put ", g->dir, "");
    strbuf_addf(out, " 0 || { mkdir -m 0700 %s && put %s 1; }", spare, spare);
}

/* Where the file is: nothing else that a guest says is believed. */
static void take_answer(struct guest_run *g, struct answer *a)
{
    _cleanup_free_ char *spare = spare_dir(g);
    char *rest = a->text.buf, *line;
    while (rest && (line = strsep(&rest, "\n"))) {
        if (str_eq(line, "in1"))
            (void)str_copy(g->dir, sizeof g->dir, spare); /* shorter than the other */
        if (*line >= '0' && *line <= '9') {
            const char *said = strsep(&line, " ");
            g->behind_us = behind_us(said, a->sent_us, a->got_us);
            g->booted_us = behind_booted_us(said, line ? line : "");
        }
    }
}

int guest_run_put(struct guest_run *g, const struct guest_command *c, const struct deadline *d,
                  struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_(answer_free) struct answer answer = {.text = STRBUF_INIT};
    struct strbuf text = STRBUF_INIT;
    put_command(g, &command);
    start_text(g, c, &text);
    g->placed = true;
    int r = helper(g, command.buf, text.buf, text.len, &answer, d, "put the command into the guest",
                   err);
    explicit_bzero(text.buf, text.len);
    strbuf_free(&text);
    if (r < 0)
        return hung_or_full(c->lease, err);
    take_answer(g, &answer);
    return 0;
}

int guest_run_put_script(struct guest_run *g, const char *text, size_t len,
                         const struct deadline *d, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    add_quoted(&command, "umask 077 && cat > ", g->dir, "/script");
    add_quoted(&command, " && chmod 0700 ", g->dir, "/script");
    return helper(g, command.buf, text, len, NULL, d, "put the script into the guest", err);
}

/* What waits for the answer is a shell of the guest's: its init is there, or the guest is not. */
static void add_clock(const struct guest_run *g, struct strbuf *out)
{
    int64_t us = g->behind_us < 0 ? -g->behind_us : g->behind_us;
    if (!us)
        return;
    /* In one line: bash writes each by itself, so init could read them one at a time. */
    strbuf_addf(out,
                "echo %s%lld.%06lld %lld.%06lld >" BEHIND_TOLD "; read -r x <" BEHIND_DONE "; ",
                g->behind_us < 0 ? "-" : "", (long long)(us / 1000000), (long long)(us % 1000000),
                (long long)(g->booted_us / 1000000), (long long)(g->booted_us % 1000000));
}

/* What a login bash would do, except that its start-up files print to stderr: stdout is the
 * command's. If one of them exits, the command starts without the rest. A bash that reads a file
 * names that file when it can't find the command; one that reads its -c names itself as it is told
 * to. All of it is one line, so that the command's first is the first. */
void guest_run_command(const struct guest_run *g, struct strbuf *out)
{
    _cleanup_strbuf_ struct strbuf begin = STRBUF_INIT, all = STRBUF_INIT;
    strbuf_adds(&begin, "trap - EXIT DEBUG ERR; unset crabbox_p; exec >&9 9>&-; " SSH_MARK_PRINT);
    add_quoted(&begin, DIR_VARIABLE "=", g->dir, "");
    strbuf_adds(&begin, "; eval \"$(<\"$" DIR_VARIABLE "/start\")\"");
    _cleanup_free_ char *cut_off = xasprintf("echo 'crabbox-fc: /etc/profile or ~/.profile exits, "
                                             "so the command starts without the rest "
                                             "of it' >&2; %s",
                                             begin.buf);
    strbuf_adds(&all, "trap ");
    strbuf_add_shell_quoted(&all, cut_off);
    strbuf_addf(&all,
                " EXIT; [ ! -r /etc/profile ] || . /etc/profile; "
                "for crabbox_p in ~/.bash_profile ~/.bash_login ~/.profile; do "
                "if [ -r \"$crabbox_p\" ]; then . \"$crabbox_p\"; break; fi; done; %s",
                begin.buf);
    add_clock(g, out);
    strbuf_addf(out, "export CRABBOX_RUN_ID=%s; exec 9>&1 >&2; exec bash --norc -c ", g->id);
    strbuf_add_shell_quoted(out, all.buf);
    strbuf_adds(out, " crabbox-fc");
}

/* ---- the end ---- */

/* Runs under bash with the run's mark as $1. Only builtins, as there may be no process to be had; a
 * terminal that nobody types on is what it sleeps with. Frozen processes can't fork, so a pass that
 * finds nobody new has them all; who was found once (by its start time) is looked for to the end,
 * also without parents. PF_KTHREAD is 0x200000. What is left at last is
 * another user's, and if nobody is found, one whose mark only root can see may be left (a command
 * that is sudo itself): then sudo is asked.
 * A guest so busy that a look takes seconds has all its user's processes ended, for which the
 * kernel needs one call. */
static const char end_script[] =
    "mark=$1 seen=()\n"
    "find_all() {\n"
    "    hit=() parent=()\n"
    "    local p s v changed=1 start=()\n"
    "    for p in /proc/[0-9]*; do\n"
    "        if ((SECONDS > 8)); then\n"
    "            kill -KILL -1\n"
    "            echo 'too busy to look, so every process of its user was ended' >&2\n"
    "            exit 1\n"
    "        fi\n"
    "        p=${p#/proc/} s=() v=()\n"
    "        { mapfile -d '' s; } 2>/dev/null </proc/$p/stat\n"
    "        set -- ${s[0]##*) }\n"
    "        case $1 in Z | X | '') continue ;; esac\n"
    "        (($7 & 0x200000 || p == $$)) && continue\n"
    "        parent[$p]=$2 start[$p]=${20}\n"
    "        [ \"${seen[$p]}\" = ${20} ] && hit[$p]=$p && continue\n"
    "        { mapfile -d '' -t v; } 2>/dev/null </proc/$p/environ\n"
    "        for s in \"${v[@]}\"; do\n"
    "            [ \"$s\" = \"$mark\" ] && hit[$p]=$p && break\n"
    "        done\n"
    "    done\n"
    "    while [ $changed ]; do\n"
    "        changed=\n"
    "        for p in ${!parent[@]}; do\n"
    "            [ ! \"${hit[$p]}\" ] && [ \"${hit[${parent[$p]}]}\" ] && hit[$p]=$p changed=1\n"
    "        done\n"
    "    done\n"
    "    for p in ${hit[@]}; do seen[$p]=${start[$p]}; done\n"
    "    [ ${#hit[@]} != 0 ]\n"
    "}\n"
    "find_any() {\n"
    "    find_all && return\n"
    "    local p s\n"
    "    for p in $(sudo -n grep -lszxF -- \"$mark\" /proc/[0-9]*/environ 2>/dev/null); do\n"
    "        p=${p//[!0-9]/} s=()\n"
    "        { mapfile -d '' s; } 2>/dev/null </proc/$p/stat\n"
    "        set -- ${s[0]##*) }\n"
    "        seen[$p]=${20}\n"
    "    done\n"
    "    find_all\n"
    "}\n"
    "{ exec 9<>/dev/ptmx; } 2>/dev/null\n"
    "find_all || { read -r -t 0.2 -u 9 p 2>/dev/null; find_any; } || exit 0\n"
    "echo found\n"
    "kill -TERM ${hit[@]} 2>/dev/null\n"
    "end=$((SECONDS + 2))\n"
    "while ((SECONDS <= end)); do\n"
    "    find_any || exit 0\n"
    "    read -r -t 0.1 -u 9 p 2>/dev/null\n"
    "    [ $? -gt 128 ] || sleep 0.1\n"
    "done\n"
    "for i in 0 1 2 3; do\n"
    "    n=-1\n"
    "    while find_all && [ ${#hit[@]} != $n ]; do\n"
    "        n=${#hit[@]}\n"
    "        kill -STOP ${hit[@]} 2>/dev/null\n"
    "    done\n"
    "    find_any || exit 0\n"
    "    kill -KILL ${hit[@]} 2>/dev/null\n"
    "    [ $i = 0 ] || sudo -n kill -KILL ${hit[@]} 2>/dev/null\n"
    "done\n"
    "find_any || exit 0\n"
    "echo \"processes that can't be ended: ${hit[*]}\" >&2\n"
    "exit 1\n";

int guest_run_end(struct guest_run *g, const struct deadline *d, struct error *err)
{
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_(answer_free) struct answer answer = {.text = STRBUF_INIT};
    strbuf_adds(&command, "exec bash -c ");
    strbuf_add_shell_quoted(&command, end_script);
    strbuf_addf(&command, " bash CRABBOX_RUN_ID=%s", g->id);
    if (helper(g, command.buf, NULL, 0, &answer, d, "end the command in the guest", err) < 0)
        return -1;
    return answer.text.len > 0;
}

void guest_run_clean(struct guest_run *g)
{
    struct deadline d = deadline_in_ms(CLEAN_MS);
    _cleanup_strbuf_ struct strbuf command = STRBUF_INIT;
    _cleanup_free_ char *spare = spare_dir(g);
    if (!g->placed)
        return;
    add_quoted(&command, "exec rm -rf -- ", g->dir, "");
    strbuf_addf(&command, " %s", spare); /* a process before this one may have put it there */
    (void)helper(g, command.buf, NULL, 0, NULL, &d, "clean up in the guest", NULL);
    g->placed = false;
}
