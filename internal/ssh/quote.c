#include "ssh/ssh.h"

void ssh_quote_argv(struct strbuf *out, const char *const *argv)
{
    for (size_t i = 0; argv[i]; i++) {
        if (i)
            strbuf_addc(out, ' ');
        strbuf_add_shell_quoted(out, argv[i]);
    }
}
