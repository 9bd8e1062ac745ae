#include "sync/gitbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/program.h"
#include "sys/uids.h"

enum { COMPLAINT_SIZE = 4096 };
/* That git takes: a few bytes can stand for an object of any size. */
#define MEMORY_MAX (2LL << 30)

static int fence(struct gitbox *b, struct error *err)
{
    static const char *const programs[] = {"/usr", "/bin", "/lib", "/lib64"};
    if (confine_version() < 1)
        return error_set(err, ERR_ENV, 0,
                         "git can't be confined: this kernel has no Landlock, or it is switched "
                         "off");
    b->confine_fd = confine_new(err);
    if (b->confine_fd < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (confine_allow(b->confine_fd, AT_FDCWD, programs[i], CONFINE_EXECUTE, true, err) < 0)
            return -1;
    /* git opens /dev/null at its start, whether it needs it or not. */
    if (confine_allow(b->confine_fd, AT_FDCWD, "/dev/null", CONFINE_DEVICE, false, err) < 0 ||
        confine_allow(b->confine_fd, AT_FDCWD, "/etc/ld.so.cache", CONFINE_READ, true, err) < 0 ||
        confine_allow(b->confine_fd, AT_FDCWD, b->git, CONFINE_EXECUTE, false, err) < 0 ||
        confine_allow(b->confine_fd, b->work_fd, ".", CONFINE_READ, false, err) < 0)
        return -1;
    return confine_allow(b->confine_fd, b->objects_fd, ".", CONFINE_READ, false, err);
}

int gitbox_open(struct gitbox *b, int work_fd, int objects_fd, const char *tree,
                const struct deadline *d, struct error *err)
{
    struct stat st;
    *b = (struct gitbox){
        .work_fd = work_fd, .objects_fd = objects_fd, .confine_fd = -1, .d = d, .as = NULL};
    if (fstat(objects_fd, &st) < 0)
        return error_set(err, ERR_SYNC, errno, "look at the objects");
    if (geteuid() == 0 && st.st_uid != 0) {
        b->owner = (struct caller){st.st_uid, UID_NOBODY};
        b->as = &b->owner;
    }
    if (program_locate("git", "program", tree, b->git, err) == 0 && fence(b, err) == 0)
        return 0;
    gitbox_close(b);
    return -1;
}

void gitbox_close(struct gitbox *b)
{
    CLOSE_FD(b->confine_fd);
}

/* Takes the beginning of what git complains of; git gets an error for the rest. */
static int complaints(void)
{
    int fd = memfd_create("git", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, COMPLAINT_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) < 0))
        CLOSE_FD(fd);
    return fd;
}

void gitbox_end(struct gitbox_work *w)
{
    child_kill(&w->c);
    CLOSE_FD(w->said_fd);
}

static int explain(const struct gitbox_work *w, const struct exit_status *st, struct error *err)
{
    char how[64];
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    if (st->signalled && st->signal == SIGXFSZ)
        return error_set(err, ERR_SYNC, 0, "git %s writes more than %d MiB", w->what,
                         GITBOX_LIST_MAX >> 20);
    if (lseek(w->said_fd, 0, SEEK_SET) == 0)
        (void)fd_read_all(w->said_fd, COMPLAINT_SIZE, "git's message", &said, NULL);
    /* The file has its full size from the start, so its length says nothing. */
    size_t len = strcspn(said.buf, "\n");
    return len ? error_set(err, ERR_SYNC, 0, "git %s: %.*s", w->what, (int)len, said.buf)
               : error_set(err, ERR_SYNC, 0, "git %s: %s", w->what,
                           exit_status_text(st, how, sizeof how));
}

int gitbox_start(const struct gitbox *b, const char *const *args, int stdin_fd, int out_fd,
                 struct gitbox_work *w, struct error *err)
{
    char objects[64];
    const char *argv[16] = {b->git, "--no-pager"};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    w->what = args[0];
    w->said_fd = complaints();
    for (size_t i = 2; i < ARRAY_LEN(argv) - 1 && *args; i++)
        argv[i] = *args++;
    (void)str_format(objects, sizeof objects, "GIT_OBJECT_DIRECTORY=/proc/self/fd/%d",
                     b->objects_fd);
    spec.argv = argv;
    spec.envp = (const char *const[]){"PATH=/usr/bin:/bin",
                                      "LC_ALL=C",
                                      "GIT_DIR=.",
                                      objects,
                                      "GIT_CONFIG_GLOBAL=absent",
                                      "GIT_CONFIG_NOSYSTEM=1",
                                      "GIT_ATTR_NOSYSTEM=1",
                                      "GIT_NO_LAZY_FETCH=1",
                                      "GIT_NO_REPLACE_OBJECTS=1",
                                      "GIT_OPTIONAL_LOCKS=0",
                                      "GIT_TERMINAL_PROMPT=0",
                                      "GIT_TRACE2=0",
                                      "GIT_TRACE2_PERF=0",
                                      "GIT_TRACE2_EVENT=0",
                                      NULL};
    spec.stdin_fd = stdin_fd;
    spec.stdout_fd = out_fd;
    spec.stderr_fd = w->said_fd;
    spec.cwd_fd = b->work_fd;
    spec.confine_fd = b->confine_fd;
    spec.no_holes = true;
    spec.files = &b->objects_fd;
    spec.n_files = 1;
    spec.user = b->as;
    spec.file_max = GITBOX_LIST_MAX;
    spec.data_max = MEMORY_MAX;
    spec.new_session = true; /* we hear the terminal's Ctrl-C, and end it */
    spec.die_with_parent = true;
    return w->said_fd < 0 ? error_set(err, ERR_IO, errno, "run git") : spawn(&spec, &w->c, err);
}

int gitbox_failed(const char *what, struct error *err)
{
    return err->kind == ERR_TIMEOUT ? error_set(err, ERR_SYNC, 0, "git %s takes too long", what)
                                    : -1;
}

int gitbox_finish(const struct gitbox *b, struct gitbox_work *w, struct error *err)
{
    struct exit_status st;
    if (child_wait(&w->c, b->d, &st, err) < 0)
        return gitbox_failed(w->what, err);
    child_release(&w->c);
    w->c = (struct child)CHILD_INIT;
    w->code = st.exited ? st.code : -1;
    return st.exited && st.code == 0 ? 0 : explain(w, &st, err);
}

int gitbox_run(const struct gitbox *b, const char *const *args, int out_fd, struct error *err)
{
    _cleanup_(gitbox_end) struct gitbox_work w = GITBOX_WORK_INIT;
    return gitbox_start(b, args, -1, out_fd, &w, err) < 0 ? -1 : gitbox_finish(b, &w, err);
}
