/* log.h: chatter on stderr. Data for scripts goes to stdout by cmd/, never through here.
 *
 * Levels: LOG_WARN always, LOG_INFO unless --quiet, LOG_DEBUG with --verbose. Each call
 * writes one whole line with one write(2), so lines of several processes do not mix. It is cleaned
 * as text.h has it, whatever was put into it.
 * Secrets (keys, environment values) are never passed to these functions.
 */
#ifndef CRABBOX_BASE_LOG_H
#define CRABBOX_BASE_LOG_H

enum log_level { LOG_QUIET, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Called right before and after each line is written, for whoever draws on the terminal too. */
void log_set_around(void (*before)(void), void (*after)(void));

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
