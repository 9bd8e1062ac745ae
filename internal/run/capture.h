/* capture.h: a stream of the command goes into a file, and leaves part of its disk free.
 *
 * capture_begin → the command writes to write_fd → capture_end
 *
 * Between the command and a regular file a thread looks at what is left (fetch/room.h). When that
 * is too little it ends the pipe that the command writes to. Anything else than a regular file gets
 * the stream as it is. Errors: ERR_IO, with the file's name.
 */
#ifndef CRABBOX_RUN_CAPTURE_H
#define CRABBOX_RUN_CAPTURE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"

struct capture {
    const char *name; /* borrowed, as is file_fd */
    int file_fd;
    int write_fd; /* borrowed: for the command */
    /* Of the thread: */
    bool running, failed;
    int pipe_fd; /* owned by the thread */
    struct error err;
    pthread_t thread;
};

/* `name` NULL: no file of ours, file_fd is handed on. */
int capture_begin(struct capture *c, int file_fd, const char *name, struct error *err);

/* Waits until all is written. r and err are those of the command: a failure here is the reason
 * where the command has ended well or could not write, and a warning where it ended by something
 * else. Returns what r becomes. */
int capture_end(struct capture *c, int r, struct error *err);

#endif
