/* cmd.h: verbs as rows of a table.
 *
 * One table of verbs and one table of options a verb feed the parser, --help, the completion and
 * the man page. A verb's function parses nothing: it gets struct options filled, calls internal/ops
 * and prints. Data goes to stdout, chatter to stderr. It returns the process's exit code, or -1
 * with the error set, which main prints once.
 */
#ifndef CRABBOX_CMD_CMD_H
#define CRABBOX_CMD_CMD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "config/config.h"
#include "ops/ops.h"
#include "ops/session.h"

/* What a repeatable option was given, in order; the words are owned by struct parsed. */
struct option_list {
    char **items; /* ends with NULL; NULL when there is none */
    size_t n;
};

/* Every option of every verb; a verb's table says which of them it takes. */
struct options {
    bool help, json, quiet, verbose;
    bool keep, keep_on_failure, no_sync, sync_only, sync_plan, shell, dry_run, print, timing_json,
        console, raw, wait, script_stdin, terminal, fail_on_test_failures, full_resync, reclaim,
        no_git, force_sync_large, allow_mass_deletions, reuse, missing_ok;
    const char *id, *slug, *state_dir, *provider, *wait_timeout, *ttl, *idle_timeout, *stop_after,
        *dir, *script, *timeout, *stall_timeout, *artifact_dir, *capture_stdout, *capture_stderr,
        *sha256, *local_port, *label, *lease_id, *debounce, *idle_exit;
    struct option_list env, env_file, download, artifact_glob, junit, local_forward, remote_forward,
        require_artifact;
};

enum option_kind {
    OPT_BOOL,
    OPT_STRING,
    OPT_LIST,   /* may be given again and again */
    OPT_SECRETS /* the same, and what follows "=" is wiped from our own argument vector */
};

struct option_spec {
    const char *name;    /* long name, without the dashes */
    char letter;         /* or 0 */
    const char *metavar; /* but OPT_BOOL: "NAME" */
    enum option_kind kind;
    size_t offset; /* in struct options */
    const char *help;
};

struct invocation; /* below */

struct verb {
    const char *name;
    const char *alias; /* or NULL */
    const char *args;  /* "[OPTION]… -- COMMAND…" after the verb, for the synopsis */
    const char *summary;
    const char *details;               /* paragraphs for --help */
    const char *examples;              /* one a line */
    const struct option_spec *options; /* ends with a row without name */
    int min_args, max_args;            /* max -1: any number */
    /* What the arguments are: "LEASE", "COMMAND", "FILE", "VERB", "PLACE" (a file or LEASE:PATH),
     * or the words that the first may be: "show|path". NULL: nothing that can be completed. */
    const char *takes;
    bool stops_at_args; /* what follows the first plain word is the command's, not ours */
    bool uses_config;   /* takes the configuration flags */
    bool hidden;        /* started by ourselves, not shown in help */
    bool uses_store;    /* ops is open when run is called */
    bool makes_leases;  /* so a state directory is made where there is none */
    bool ends_leases;
    int (*run)(struct invocation *in, struct error *err);
    /* Called instead if the configuration can't be used: may report *err itself, or return -1. */
    int (*refused)(const struct invocation *in, struct error *err);
};

struct invocation {
    const struct verb *verb;
    struct options opt;
    const char *const *args; /* plain words, NULL-terminated */
    int n_args;
    struct config cfg;
    struct ops ops;
    int cancel_fd; /* readable once the user interrupted */
    int dir_fd;    /* what --dir names, open; -1: nothing */
};

/* providers.c: what can stand behind a lease, ends with NULL; new leases are the first's. The one
 * place that names them: a test build of the program has another list. */
extern const struct provider *const providers[];

extern const struct verb verbs[];
extern const size_t verbs_len;
const struct verb *verb_by_name(const char *name);

/* Command line beyond the verb → struct options and the configuration's flags. */
#define FLAGS_MAX 64
struct parsed {
    struct options opt;
    const char **args; /* malloc'ed array of borrowed words */
    int n_args;
    struct config_flag flags[FLAGS_MAX];
    size_t n_flags;
};
int options_parse(const struct verb *verb, int argc, char **argv, struct parsed *out,
                  struct error *err);
void options_free(struct parsed *p);
/* "10m" of --<option> → ms; `ms` stays when text is NULL. */
int option_time(const char *option, const char *text, int64_t *ms, struct error *err);
/* The configuration with these flags on top, as it is from the working directory and for the
 * directory of --dir. */
int config_for(const struct parsed *p, struct config *cfg, struct error *err);

/* Shorter spellings of common configuration flags ("cpus" for "firecracker.cpus"). */
struct flag_alias {
    const char *name, *key;
};
extern const struct flag_alias flag_aliases[];
extern const size_t flag_aliases_len;

/* What our own exit codes mean; ends with a row without meaning. */
struct exit_code {
    int code;
    const char *meaning;
};
extern const struct exit_code exit_codes[];

void help_verb(const struct verb *verb);
void help_all(void);
void help_config_flags(void);

/* ---- interrupt.c ---- */
/* A descriptor that turns readable at Ctrl-C, SIGTERM and SIGHUP; whoever reads it lets the next
 * one count anew. It stays open to the end. A second signal ends the process, code 130, unless the
 * verb is the keeper. */
int interrupt_open(const struct verb *v, struct error *err);

/* ---- output ---- */
/* Everything goes to the terminal through these, which clean it (base/text.h): text that is not
 * ours can add no line and no control character, even if a verb forgets to clean it. Only the
 * command's own output, and a log with --raw, stay raw. They write and check: a full disk
 * behind stdout, or none at all, is an error. */
/* One line; the new line is added. */
__attribute__((format(printf, 2, 3))) int out_line(struct error *err, const char *fmt, ...);
/* A text of many lines, each of which was cleaned when it was put together. */
int out_text(const char *text, struct error *err);
/* The same, but with our colours in it: as it is. */
int out_coloured(const char *text, struct error *err);
int out_json(const cJSON *j, struct error *err);
/* One line of JSON on stderr. */
void out_json_stderr(const cJSON *j);
/* Whether the error is that nobody reads any more what we print ("| head"), which nobody needs to
 * be told. */
bool out_reader_gone(const struct error *e);
/* That there is a standard output, for a verb that would have to be undone without one. */
int out_check(struct error *err);
/* All that was printed so far has gone out. */
int out_finish(struct error *err);
/* "crabbox-fc: " and the message on stderr, unless it is that the reader has gone. */
void out_error(const struct error *e);
/* A file from where the descriptor stands to its end as it is now: what is written meanwhile is not
 * waited for. `mark` begins each line (may be ""), so that none looks like ours; NULL: all of it
 * stays raw. */
int out_file(int fd, const char *mark, struct error *err);
/* Appends `text` with the mark before each line; *begun: the last line has not ended. */
void out_mark_lines(struct strbuf *out, const struct strbuf *text, const char *mark, bool *begun);

/* Whether the terminal there (if it is one) takes escape sequences, and whether colours are wanted.
 */
bool out_rewrites(int fd);
bool out_colours(int fd);
/* Columns of the terminal there; 0 where there is none, so that nothing is to be broken. */
size_t out_width(int fd);
/* How long the lease has: "1h05m", "3m20s", "45s", "0s" when that has passed. */
void out_left(const struct lease *l, char *out, size_t size);
/* What ends it: "in 1h05m", "now", "by stop", "by cleanup". */
void out_ends(const struct lease_entry *e, char *out, size_t size);

/* Progress of phases on stderr: a rewritten line on a terminal, plain lines otherwise. */
void progress_attach(struct invocation *in);
/* The line is gone and nothing of ours draws any more. */
void progress_detach(void);

/* ---- the stock ssh ---- */
struct stock_ssh {
    struct session session; /* owned; without a connection of ours */
    char host[LEASE_NAME_SIZE];
    char config[PATH_MAX];
};
#define STOCK_SSH_INIT                                                                             \
    {                                                                                              \
        .session = SESSION_INIT                                                                    \
    }
int stock_ssh_find(struct invocation *in, const char *ref, struct stock_ssh *out,
                   struct error *err);
void stock_ssh_close(struct stock_ssh *s);
/* Runs ssh with these arguments (the first is replaced by its path) and returns its exit code; the
 * lease is in use until then. For a tunnel, what it says is made harmless and marked as its own. */
int stock_ssh_run(struct invocation *in, const struct stock_ssh *s, const char **argv,
                  bool is_tunnel, struct error *err);

int cmd_warmup(struct invocation *in, struct error *err);
/* The shell's `cd` follows a link that came with code, and then the link would choose what is sent,
 * and where what comes back is written. ERR_USAGE if so, unless --dir names this very place. */
int way_here_check(const struct invocation *in, struct error *err);
/* Says what is wrong with the options or the place of any run, before there is a lease. Opens the
 * working tree, and takes the switches that are set as variables into the options. */
int run_begin(struct invocation *in, int *tree, struct error *err);
int cmd_run(struct invocation *in, struct error *err);
int cmd_watch(struct invocation *in, struct error *err);
int cmd_stop(struct invocation *in, struct error *err);
int cmd_list(struct invocation *in, struct error *err);
int cmd_status(struct invocation *in, struct error *err);
int cmd_ssh(struct invocation *in, struct error *err);
int cmd_logs(struct invocation *in, struct error *err);
int cmd_cleanup(struct invocation *in, struct error *err);
int cmd_heartbeat(struct invocation *in, struct error *err);
int cmd_doctor(struct invocation *in, struct error *err);
int cmd_doctor_refused(const struct invocation *in, struct error *err);
int cmd_config(struct invocation *in, struct error *err);
int cmd_trust(struct invocation *in, struct error *err);
int cmd_dial(struct invocation *in, struct error *err);
int cmd_keeper(struct invocation *in, struct error *err);
int cmd_cp(struct invocation *in, struct error *err);
int cmd_tunnel(struct invocation *in, struct error *err);
int cmd_complete(struct invocation *in, struct error *err);
int cmd_completion(struct invocation *in, struct error *err);
int cmd_man(struct invocation *in, struct error *err);
int cmd_parse(struct invocation *in, struct error *err);
int cmd_version(struct invocation *in, struct error *err);
int cmd_help(struct invocation *in, struct error *err);

#endif
