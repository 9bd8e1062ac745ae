#include "ssh/escape.h"

static int is_enter(char c)
{
    return c == '\r' || c == '\n';
}

size_t escape_filter(struct escape *e, const char *in, size_t n, char *out, enum escape_act *act)
{
    size_t len = 0;
    *act = ESCAPE_NONE;
    for (size_t i = 0; i < n; i++) {
        if (e->at == ESCAPE_LINE_START && in[i] == '~') {
            e->at = ESCAPE_TILDE;
            continue;
        }
        if (e->at == ESCAPE_TILDE && in[i] == '.') {
            *act = ESCAPE_LEAVE;
            return len;
        }
        if (e->at == ESCAPE_TILDE && in[i] == '?') {
            e->at = ESCAPE_LINE_START;
            *act = ESCAPE_HELP;
            continue;
        }
        if (e->at == ESCAPE_TILDE && in[i] != '~')
            out[len++] = '~';
        out[len++] = in[i];
        e->at = is_enter(in[i]) ? ESCAPE_LINE_START : ESCAPE_INSIDE;
    }
    return len;
}
