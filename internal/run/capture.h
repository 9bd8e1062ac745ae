/* capture.h: writes a stream of the command to a file, and leaves a part of the disk free.
 *
 * capture_begin → the command writes to write_fd → capture_end
 *
 * If the file is a regular one, a thread between the command and the file checks the free space
 * (fetch/room.h). When there is too little, it closes the pipe that the command writes to. Any
 * other kind of file gets the stream directly. Errors: ERR_IO, with the file's name.
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

/* Waits until all is written. r and err are those of the command. A failure here becomes the error
 * if the command has ended well or could not write. Otherwise it is only a warning. Returns the
 * new r. */
int capture_end(struct capture *c, int r, struct error *err);

#endif
