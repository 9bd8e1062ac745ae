#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

const struct exit_code exit_codes[] = {
    {0, "success"},
    {1, "failure, or not ready"},
    {2, "usage, configuration or trust"},
    {4, "no such lease, or an ambiguous name"},
    {5, "timeout, or not running"},
    {6, "the working tree could not be synced"},
    {7, "SSH or the transfer of files failed"},
    {0, NULL},
};

void help_all(void)
{
    printf("crabbox-fc: disposable microVMs over SSH\n\n"
           "usage: crabbox-fc VERB [OPTION]... [ARG]...\n\n");
    for (size_t i = 0; i < verbs_len; i++)
        if (!verbs[i].hidden)
            printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
    printf("\nA first run on a host without KVM, by emulation:\n"
           "  crabbox-fc run --vmm qemu --accel tcg -- uname -a\n\n"
           "crabbox-fc VERB --help shows options and examples of a verb.\n"
           "crabbox-fc help config-flags lists the flags that set configuration keys.\n\n"
           "exit codes, of run the command's own besides:\n");
    for (const struct exit_code *e = exit_codes; e->meaning; e++)
        printf("  %-10d %s\n", e->code, e->meaning);
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
    printf("\n%s.\n", v->summary);
    if (*v->details)
        printf("%s\n", v->details);
    printf("\noptions:\n");
    for (const struct option_spec *o = v->options; o->name; o++) {
        char left[64];
        (void)str_format(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ",
                         o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                         o->metavar ? " " : "", o->metavar ? o->metavar : "");
        printf("  %-28s %s\n", left, o->help);
    }
    if (v->uses_config)
        printf("  and the configuration flags of: crabbox-fc help config-flags\n");
    printf("\nexamples:\n");
    print_indented(v->examples);
}

void help_config_flags(void)
{
    printf("Flags that set a configuration key (docs/CONFIG.md), stronger than files and "
           "environment:\n\n");
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *k = &config_keys[i];
        printf("  --%-30s %s\n", k->flag, k->name);
        printf("  %-32s %s%s%s\n", "", k->help, *k->fallback ? "; default " : "", k->fallback);
    }
    printf("\nShorter spellings:\n\n");
    for (size_t i = 0; i < flag_aliases_len; i++)
        printf("  --%-30s %s\n", flag_aliases[i].name, flag_aliases[i].key);
}
