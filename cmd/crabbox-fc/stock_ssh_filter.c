/* stock_ssh_filter.c: what the stock ssh tells of the guest, on its way to the terminal.
 *
 * It prints a guest's last words with the new lines, bells and carriage returns that are in them. A
 * process beside it cleans the text and begins each line with "ssh: ". It is not its parent, so
 * that signals, job control, questions on the terminal and the exit code are ssh's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "cmd.h"
#include "sys/file.h"

/* Until nobody can write any more. A terminal that is gone holds up nobody. */
static void filter(int from, int to)
{
    struct text_stream stream = TEXT_STREAM_INIT;
    char raw[4096];
    bool begun = false;
    for (ssize_t n = 1; n > 0;) {
        _cleanup_strbuf_ struct strbuf clean = STRBUF_INIT;
        _cleanup_strbuf_ struct strbuf marked = STRBUF_INIT;
        n = read(from, raw, sizeof raw);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n > 0)
            text_stream_add(&stream, raw, (size_t)n, &clean);
        else
            text_stream_end(&stream, &clean);
        out_mark_lines(&marked, &clean, "ssh: ", &begun);
        if (n <= 0 && begun)
            strbuf_adds(&marked, "\n");
        (void)fd_write_all(to, marked.buf, marked.len, "standard error", NULL);
    }
}

/* Nothing stays open here but what is needed: locks would be held, and a pipe of the user's. */
static void filter_main(int from)
{
    if (dup2(from, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
        _exit(1);
    (void)setsid(); /* Ctrl-C ends ssh, which may have something to say */
    filter(STDIN_FILENO, STDERR_FILENO);
    _exit(0);
}

int stock_ssh_filter(int *saved, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "make a pipe");
    _cleanup_close_ int from = fds[0];
    _cleanup_close_ int to = fds[1];
    _cleanup_close_ int old = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (old < 0)
        return error_set(err, ERR_IO, errno, "use standard error");
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_INTERNAL, errno, "fork");
    if (pid == 0) { /* ssh knows of no child: init is to reap it */
        if (fork() == 0)
            filter_main(from);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    if (dup2(to, STDERR_FILENO) < 0)
        return error_set(err, ERR_IO, errno, "use standard error");
    *saved = TAKE_FD(old);
    return 0;
}
