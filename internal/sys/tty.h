/* tty.h: the user's terminal while a program in the guest has it.
 *
 *   tty_raw_enter → … → tty_raw_leave, exactly once each; tty_resize_open beside it
 *
 * In raw mode every key goes to the guest, also Ctrl-C and Ctrl-Z. The terminal is restored by
 * tty_raw_leave, and by a handler if the process ends by a signal that no code of ours waits for (a
 * crash, SIGQUIT). Nothing can be done about SIGKILL. SIGINT, SIGTERM and SIGHUP are not handled
 * here: the code that waits for them also calls tty_raw_leave.
 *
 * There can be only one terminal in a process, because the handler uses a static variable.
 */
#ifndef CRABBOX_SYS_TTY_H
#define CRABBOX_SYS_TTY_H

#include <stdbool.h>

#include "base/error.h"

/* ERR_USAGE if fd is no terminal; ERR_IO. */
int tty_raw_enter(int fd, struct error *err);
/* Restores the settings that tty_raw_enter found. Does nothing if that was not called. */
void tty_raw_leave(void);

/* Columns and rows; 80 by 24 if the terminal doesn't know them. */
void tty_size(int fd, int *columns, int *rows);

/* A descriptor that turns readable when the terminal's size has changed (SIGWINCH, which stays
 * blocked). The caller closes it. */
int tty_resize_open(struct error *err);
/* Reads and drops all events from it. */
void tty_resize_take(int fd);

#endif
