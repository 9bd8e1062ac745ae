#include "sys/fenced.h"

#include <signal.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/confine.h"

enum { END_MS = 1000, UNFENCED = 125 };

#ifdef __SANITIZE_ADDRESS__
enum { MEMORY_MAX = 0 }; /* it maps terabytes */
#else
enum { MEMORY_MAX = 256 << 20 }; /* far more than an honest guest makes any of them take */
#endif

void fenced_begin(int argc, char **argv, const struct fenced_part *part)
{
    if (argc != 2 || !str_eq(argv[1], part->name))
        return;
    (void)signal(SIGPIPE, SIG_IGN);
    part->main();
    _exit(0);
}

void fenced_settle(void)
{
    if (confine_self(NULL) < 0)
        _exit(UNFENCED);
}

int fenced_start(const struct fenced_part *part, int in_fd, int out_fd, struct child *out,
                 struct error *err)
{
    const char *const argv[] = {"/proc/self/exe", part->name, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = argv;
    spec.stdin_fd = in_fd;
    spec.stdout_fd = out_fd;
    spec.data_max = MEMORY_MAX;
    spec.new_session = true; /* Ctrl-C is ours */
    spec.any_owner = true;
    return spawn(&spec, out, err);
}

static bool ends(struct child *c, struct exit_status *st)
{
    struct deadline d = deadline_in_ms(END_MS);
    bool ended = c->pid > 0 && child_wait(c, &d, st, NULL) == 0;
    child_kill(c);
    return ended;
}

void fenced_end(struct child *c)
{
    struct exit_status st;
    (void)ends(c, &st);
}

int fenced_failed(struct child *c, const char *does, const char *wrong, struct error *err)
{
    struct exit_status st;
    char how[64];
    if (!ends(c, &st))
        return error_set(err, ERR_SSH, 0, "the process that %s %s", does, wrong);
    if (st.exited && st.code == UNFENCED)
        return error_set(err, ERR_ENV, 0, "the process that %s could not give up its rights", does);
    return error_set(err, ERR_SSH, 0, "the process that %s %s: %s", does, wrong,
                     exit_status_text(&st, how, sizeof how));
}
