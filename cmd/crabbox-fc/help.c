#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

const struct exit_code exit_codes[] = {
    {0, "success"},
    {1, "failure, or not ready"},
    {2, "usage, configuration or trust"},
    {4, "no such lease, an ambiguous name, or no such file in the guest"},
    {5, "timeout, or not running"},
    {6, "the working tree could not be synced"},
    {7, "SSH or the transfer of files failed"},
    {130, "interrupted"},
    {0, NULL},
};

enum { PIPE_WIDTH = 80, WIDTH_MAX = 100, TEXT_AT = 31, KEY_AT = 36, ROOM = 28 };

static size_t width(void)
{
    size_t w = out_width(STDOUT_FILENO);
    return w == 0 ? PIPE_WIDTH : w < WIDTH_MAX ? w : WIDTH_MAX;
}

/* "  left   text", wrapped in its own column; below a left part that leaves no room. */
static void row(const char *left, size_t at, const char *text)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    size_t narrow = width() < at + ROOM ? 8
                                        : at; /* a narrow terminal has no room for two columns */
    strbuf_addf(&sb, "  %-*s", (int)narrow - 3, left);
    if (sb.len >= narrow)
        strbuf_addf(&sb, "\n%*s", (int)narrow, "");
    else
        strbuf_addc(&sb, ' ');
    strbuf_add_wrapped(&sb, text, narrow, narrow, width());
    puts(sb.buf);
}

/* Paragraphs, which empty lines part. */
static void paragraphs(const char *text)
{
    for (const char *p = text; *p;) {
        const char *end = strstr(p, "\n\n");
        _cleanup_free_ char *one = xasprintf("%.*s", end ? (int)(end - p) : (int)strlen(p), p);
        _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
        strbuf_add_wrapped(&sb, one, 0, 0, width());
        puts(sb.buf);
        p += strlen(one) + (end ? 2 : 0);
        if (*p)
            putchar('\n');
    }
}

void help_all(void)
{
    char code[8];
    printf("crabbox-fc: disposable microVMs over SSH\n\n"
           "usage: crabbox-fc VERB [OPTION]... [ARG]...\n\n");
    for (size_t i = 0; i < verbs_len; i++)
        if (!verbs[i].hidden)
            row(verbs[i].name, 13, verbs[i].summary);
    printf("\nIs this host ready?\n"
           "  crabbox-fc doctor\n"
           "A first run on a host without KVM, by emulation:\n"
           "  crabbox-fc run --vmm qemu --accel tcg --firecracker-network nat -- uname -a\n\n");
    paragraphs("crabbox-fc VERB --help shows options and examples of a verb. crabbox-fc help "
               "config-flags lists the flags that set configuration keys.");
    printf("\nexit codes (run exits with the command's own code if it ran):\n");
    for (const struct exit_code *e = exit_codes; e->meaning; e++) {
        (void)str_format(code, sizeof code, "%d", e->code);
        row(code, 13, e->meaning);
    }
}

static void print_indented(const char *text)
{
    for (const char *p = text; *p;) {
        const char *end = p;
        while (*end && *end != '\n')
            end++;
        printf("  %.*s\n", (int)(end - p), p);
        p = *end ? end + 1 : end;
    }
}

void help_verb(const struct verb *v)
{
    printf("usage: crabbox-fc %s%s%s\n", v->name, *v->args ? " " : "", v->args);
    if (v->alias)
        printf("alias: %s\n", v->alias);
    _cleanup_free_ char *text = xasprintf("%c%s.%s%s", toupper((unsigned char)v->summary[0]),
                                          v->summary + 1, *v->details ? " " : "", v->details);
    putchar('\n');
    paragraphs(text);
    printf("\noptions:\n");
    for (const struct option_spec *o = v->options; o->name; o++) {
        char left[96];
        (void)str_format(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ",
                         o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                         o->metavar ? " " : "", o->metavar ? o->metavar : "");
        row(left, TEXT_AT, o->help);
    }
    if (v->uses_config)
        printf("  and the flags of: crabbox-fc help config-flags\n");
    printf("\nexamples:\n");
    print_indented(v->examples);
}

void help_config_flags(void)
{
    char left[48];
    paragraphs("Flags that set a configuration key (docs/CONFIG.md). They override files and "
               "environment:");
    putchar('\n');
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *k = &config_keys[i];
        (void)str_format(left, sizeof left, "--%s", k->flag);
        row(left, KEY_AT, k->name);
        _cleanup_free_ char *text = xasprintf("%s%s%s", k->help, *k->fallback ? "; default " : "",
                                              k->fallback);
        row("", KEY_AT, text);
    }
    printf("\nShorter spellings:\n\n");
    for (size_t i = 0; i < flag_aliases_len; i++) {
        (void)str_format(left, sizeof left, "--%s", flag_aliases[i].name);
        row(left, KEY_AT, flag_aliases[i].key);
    }
}
