/* banned.h: calls that this project does not use, each with its replacement.
 *
 * The build includes this file before every source (-include base/banned.h),
 * after the system headers that declare the names.
 */
#ifndef CRABBOX_BASE_BANNED_H
#define CRABBOX_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#pragma GCC poison strcpy  /* str_copy(): str.h */
#pragma GCC poison strcat  /* struct strbuf: str.h */
#pragma GCC poison strncpy /* str_copy(): str.h */
#pragma GCC poison strncat /* struct strbuf: str.h */
#pragma GCC poison sprintf /* snprintf, or strbuf_addf(): str.h */
#pragma GCC poison vsprintf
#pragma GCC poison gets
#pragma GCC poison atoi /* str_to_u64(): str.h */
#pragma GCC poison atol
#pragma GCC poison atoll
#pragma GCC poison strtok /* strsep or an index */
#pragma GCC poison system /* spawn(): sys/spawn.h */
#pragma GCC poison popen  /* spawn(): sys/spawn.h */
#pragma GCC poison tmpnam /* file_write_atomic(): sys/file.h */
#pragma GCC poison mktemp
#pragma GCC poison usleep /* wait for an event with a deadline: sys/deadline.h */

#endif
