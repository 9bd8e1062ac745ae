#include "testutil/config_doc.h"

#include <string.h>

#include "config/config.h"
#include "config/keys.h"
#include "config/values.h"

/* The block a key stands in, "" at the top. */
static void block_of(const struct config_key *key, char out[32])
{
    const char *dot = strchr(key->name, '.');
    (void)str_format(out, 32, "%.*s", dot ? (int)(dot - key->name) : 0, key->name);
}

static const char *leaf_of(const struct config_key *key)
{
    const char *dot = strchr(key->name, '.');
    return dot ? dot + 1 : key->name;
}

/* The default as it would be written in a file. */
static void add_default(const struct config_key *key, struct strbuf *out)
{
    if (key->type == CFG_LIST && !key->fallback[0]) {
        strbuf_adds(out, "[]");
    } else if (key->type == CFG_LIST) {
        strbuf_addc(out, '[');
        for (const char *s = key->fallback; *s; s++) {
            strbuf_addc(out, *s == '\n' ? ',' : *s);
            if (*s == key->separator)
                strbuf_addc(out, ' ');
        }
        strbuf_addc(out, ']');
    } else if (!key->fallback[0]) {
        strbuf_adds(out, "\"\"");
    } else if (key->type == CFG_MIB) {
        value_format_number(CFG_MIB, value_number(key, key->fallback), out);
    } else {
        strbuf_adds(out, key->fallback);
    }
}

/* "1 to 32", "`nat` or `cni`", "path". */
static void add_values(const struct config_key *key, struct strbuf *out)
{
    switch (key->type) {
    case CFG_INT:
    case CFG_MIB:
    case CFG_DURATION:
        strbuf_addf(out, "%s, ", config_type_name(key->type));
        value_format_number(key->type, key->min, out);
        strbuf_adds(out, " to ");
        value_format_number(key->type, key->max, out);
        return;
    case CFG_CIDR:
        strbuf_addf(out, "IPv4 range, /%d to /%d", (int)key->min, (int)key->max);
        return;
    case CFG_BOOL:
        strbuf_adds(out, "`true` or `false`");
        return;
    case CFG_ENUM:
        strbuf_addc(out, '`');
        for (const char *s = key->choices; *s; s++)
            strbuf_adds(out, *s == '|' ? "` or `" : (char[]){*s, '\0'});
        strbuf_addc(out, '`');
        return;
    default:
        strbuf_adds(out, key->rule == RULE_PROGRAM ? "name or path" : config_type_name(key->type));
    }
}

static void add_row(const struct config_key *key, struct strbuf *out)
{
    strbuf_addf(out, "| `%s` | `", leaf_of(key));
    add_default(key, out);
    strbuf_adds(out, "` | ");
    add_values(key, out);
    strbuf_addf(out, " | `%s` | `--%s` | %s | %s |\n", key->env, key->flag,
                key->host    ? "yes"
                : key->costs ? "to raise"
                             : "",
                key->help);
}

void config_doc_keys(struct strbuf *out)
{
    char block[32], last[32] = "?";
    strbuf_adds(out, CONFIG_DOC_BEGIN);
    for (size_t i = 0; i < config_keys_len; i++) {
        block_of(&config_keys[i], block);
        if (!str_eq(block, last)) {
            if (*block)
                strbuf_addf(out, "\n### `%s:`\n\n", block);
            else
                strbuf_adds(out, "\n### At the top level\n\n");
            strbuf_adds(out,
                        "| Key | Default | Values | Variable | Flag | Trusted only | Meaning |\n"
                        "|---|---|---|---|---|---|---|\n");
        }
        add_row(&config_keys[i], out);
        (void)str_copy(last, sizeof last, block);
    }
    strbuf_adds(out, "\n" CONFIG_DOC_END);
}

/* Help text as comment lines, broken at spaces before column 96. */
static void add_comment(const char *indent, const char *text, struct strbuf *out)
{
    size_t width = 96 - strlen(indent);
    while (*text) {
        size_t n = strlen(text);
        for (size_t i = width; n > width && i > 0; i--)
            if (text[i] == ' ') {
                n = i;
                break;
            }
        strbuf_addf(out, "%s%.*s\n", indent, (int)n, text);
        text += n;
        text += *text == ' ';
    }
}

void config_doc_example(struct strbuf *out)
{
    char block[32], last[32] = "";
    strbuf_adds(
        out, "# Configuration of crabbox-fc: every key with its default. See docs/CONFIG.md.\n"
             "# The file can be /etc/crabbox-fc/config.yaml, ~/.config/crabbox-fc/config.yaml, or\n"
             "# .crabbox-fc.yaml in a repository. In a repository, keys marked [trusted] count "
             "only after\n"
             "# `crabbox-fc trust add`. Keys marked [trusted to raise] may be lowered without it.\n"
             "# To set a key, remove the # in front of it and of its block.\n");
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        block_of(key, block);
        const char *indent = *block ? "#   # " : "# ";
        if (!*block)
            strbuf_addc(out, '\n');
        else if (!str_eq(block, last))
            strbuf_addf(out, "\n#%s:\n", block);
        add_comment(indent, key->help, out);
        if (key->host)
            strbuf_addf(out, "%s[trusted]\n", indent);
        else if (key->costs)
            strbuf_addf(out, "%s[trusted to raise]\n", indent);
        strbuf_addf(out, "#%s%s: ", *block ? "  " : "", leaf_of(key));
        add_default(key, out);
        strbuf_addc(out, '\n');
        (void)str_copy(last, sizeof last, block);
    }
}

/* A setting is "#name:" or "#  name:"; every other comment has one or three spaces after the #. */
static bool is_setting(const char *line)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    return (line[0] == '#' && strchr(letters, line[1]) && line[1]) ||
           (str_has_prefix(line, "#  ") && strchr(letters, line[3]) && line[3]);
}

void config_doc_uncomment(const char *example, const char *const *except, struct strbuf *out)
{
    char block[32] = "", full[96];
    _cleanup_free_ char *copy = xstrdup(example);
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
        bool skip = !is_setting(line);
        if (!skip && line[1] != ' ')
            (void)str_format(block, sizeof block, "%.*s", (int)strcspn(line + 1, ":"), line + 1);
        if (!skip && line[1] == ' ')
            (void)str_format(full, sizeof full, "%s.%.*s", block, (int)strcspn(line + 3, ":"),
                             line + 3);
        for (size_t i = 0; !skip && line[1] == ' ' && except && except[i]; i++)
            skip = str_eq(full, except[i]);
        strbuf_addf(out, "%s\n", skip ? "" : line + 1);
    }
}
