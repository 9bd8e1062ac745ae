#include "run/behind.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US   1000000LL
#define MARGIN_US   10000LL      /* clocks differ a little even if nothing stood still */
#define SECONDS_MAX 100000000000 /* 3000 years: the sum below stays far from its limits */

/* Digits only, `places` of them behind the point; a locale may have a comma. In microseconds; -1
 * for anything else. */
static int64_t parse(const char *said, size_t places)
{
    char *end;
    size_t whole = strspn(said, "0123456789");
    if (whole == 0 || whole > 11 || !strchr(".,", said[whole]))
        return -1;
    const char *part = said + whole + (said[whole] != '\0');
    if (strspn(part, "0123456789") != places || strlen(part) != places)
        return -1;
    int64_t seconds = strtoll(said, &end, 10), micro = strtoll(part, &end, 10);
    for (size_t i = places; i < 6; i++)
        micro *= 10;
    return seconds > SECONDS_MAX ? -1 : seconds * SECOND_US + micro;
}

int64_t behind_us(const char *said, int64_t sent_us, int64_t got_us)
{
    int64_t theirs = parse(said, 6);
    if (theirs < 0 || sent_us <= 0 || got_us < sent_us)
        return 0;
    int64_t by = sent_us + (got_us - sent_us) / 2 - theirs;
    return llabs(by) > (got_us - sent_us) / 2 + MARGIN_US ? by : 0;
}

int64_t behind_booted_us(const char *said, const char *uptime)
{
    int64_t now = parse(said, 6), up = parse(uptime, 2);
    return now < 0 || up < 0 || up >= now ? 0 : now - up;
}
