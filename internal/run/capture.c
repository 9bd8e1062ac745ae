#include "run/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "fetch/room.h"
#include "sys/file.h"

/* Between two looks there is always room for so much. */
enum { LOOK_EVERY = 256 * 1024, PIECE = 32 * 1024 };

static int copy(struct capture *c, struct error *err)
{
    char buf[PIECE];
    size_t room = LOOK_EVERY; /* capture_begin has looked */
    for (;;) {
        ssize_t n = read(c->pipe_fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? 0 : error_set(err, ERR_IO, errno, "write %s", SHOWN(c->name));
        if ((size_t)n > room) {
            if (room_check(c->file_fd, LOOK_EVERY, c->name, err) < 0)
                return -1;
            room = LOOK_EVERY;
        }
        if (fd_write_all(c->file_fd, buf, (size_t)n, c->name, err) < 0)
            return -1;
        room -= (size_t)n;
    }
}

static void *capture_main(void *arg)
{
    struct capture *c = arg;
    c->failed = copy(c, &c->err) < 0;
    CLOSE_FD(c->pipe_fd);
    return NULL;
}

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int capture_begin(struct capture *c, int file_fd, const char *name, struct error *err)
{
    int fds[2];
    *c = (struct capture){.name = name, .file_fd = file_fd, .write_fd = file_fd, .pipe_fd = -1};
    if (!name || !is_file(file_fd))
        return 0;
    if (room_check(file_fd, LOOK_EVERY, name, err) < 0)
        return -1;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, errno, "make a pipe");
    c->pipe_fd = fds[0];
    c->write_fd = fds[1];
    int rc = pthread_create(&c->thread, NULL, capture_main, c);
    c->running = rc == 0;
    if (c->running)
        return 0;
    CLOSE_FD(c->pipe_fd);
    CLOSE_FD(c->write_fd);
    return error_set(err, ERR_INTERNAL, rc, "start a thread");
}

int capture_end(struct capture *c, int r, struct error *err)
{
    if (!c->running)
        return r;
    CLOSE_FD(c->write_fd);
    (void)pthread_join(c->thread, NULL);
    c->running = false;
    if (!c->failed)
        return r;
    if (r < 0 && err->sys != EPIPE) {
        log_warn("%s", c->err.msg);
        return r;
    }
    *err = c->err;
    return -1;
}
