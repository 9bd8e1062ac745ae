#include "run/behind.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US   1000000LL
#define MARGIN_US   10000LL      /* clocks differ a little even if nothing stood still */
#define SECONDS_MAX 100000000000 /* 3000 years: the sum below stays far from its limits */

/* Digits only; a locale may have a comma. -1 for anything else. */
static int64_t parse(const char *said)
{
    char *end;
    size_t whole = strspn(said, "0123456789");
    if (whole == 0 || whole > 11 || !strchr(".,", said[whole]))
        return -1;
    const char *part = said + whole + (said[whole] != '\0');
    if (strspn(part, "0123456789") != 6 || strlen(part) != 6)
        return -1;
    int64_t seconds = strtoll(said, &end, 10);
    return seconds > SECONDS_MAX ? -1 : seconds * SECOND_US + strtoll(part, &end, 10);
}

int64_t behind_us(const char *said, int64_t sent_us, int64_t got_us)
{
    int64_t theirs = parse(said);
    if (theirs < 0 || sent_us <= 0 || got_us < sent_us)
        return 0;
    int64_t by = sent_us + (got_us - sent_us) / 2 - theirs;
    return llabs(by) > (got_us - sent_us) / 2 + MARGIN_US ? by : 0;
}
