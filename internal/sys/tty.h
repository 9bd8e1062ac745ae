/* tty.h: the user's terminal while a program in the guest has it.
 *
 *   tty_raw_enter → … → tty_raw_leave, exactly once each; tty_resize_open beside it
 *
 * In raw mode every key goes to the guest, Ctrl-C and Ctrl-Z too. The terminal is set back by
 * tty_raw_leave, and by a handler when a signal ends the process that no code of ours waits for
 * (a crash, SIGQUIT). SIGKILL can't be helped. SIGINT, SIGTERM and SIGHUP are not touched: whoever
 * waits for them leaves in good order and comes by tty_raw_leave.
 *
 * One terminal a process, as the handler needs a place to look.
 */
#ifndef CRABBOX_SYS_TTY_H
#define CRABBOX_SYS_TTY_H

#include <stdbool.h>

#include "base/error.h"

/* ERR_USAGE if fd is no terminal; ERR_IO. */
int tty_raw_enter(int fd, struct error *err);
/* Sets back what tty_raw_enter found. Without it: nothing. */
void tty_raw_leave(void);

/* Columns and rows; 80 by 24 where the terminal doesn't know. */
void tty_size(int fd, int *columns, int *rows);

/* A descriptor that turns readable when the terminal's size has changed (SIGWINCH, which stays
 * blocked). The caller closes it. */
int tty_resize_open(struct error *err);
/* Takes what there is to read from it. */
void tty_resize_take(int fd);

#endif
