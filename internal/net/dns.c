#include "net/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "net/record.h"
#include "sys/file.h"

#define RESOLV_MAX 65536

/* The host's own file, then the one where systemd-resolved names the servers behind its stub. */
static const char *const resolv_files[] = {
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
};

/* A guest reaches neither the host's loopback nor a group, and has IPv4 only. */
static bool usable(const char *s, uint32_t *addr)
{
    return net_parse_ipv4(s, addr) == 0 && *addr >> 24 != 0 && *addr >> 24 != 127 &&
           *addr >> 28 < 14;
}

static void dns_add(struct dns_list *l, uint32_t addr)
{
    char text[NET_ADDR_SIZE];
    net_format_ipv4(addr, text);
    for (unsigned i = 0; i < l->n; i++)
        if (str_eq(l->addr[i], text))
            return;
    if (l->n < NET_DNS_MAX)
        (void)str_copy(l->addr[l->n++], NET_ADDR_SIZE, text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, up to a comment; its length, 0 at the end. */
static size_t next_word(const char **p, const char *end)
{
    const char *at = *p;
    while (at < end && is_blank(*at))
        at++;
    *p = at;
    if (at < end && (*at == '#' || *at == ';'))
        return 0;
    while (at < end && !is_blank(*at))
        at++;
    return (size_t)(at - *p);
}

static bool word_is(const char *word, size_t len, const char *what)
{
    return len == strlen(what) && memcmp(word, what, len) == 0;
}

static void take_server(const char *p, const char *end, struct dns_list *out)
{
    char word[NET_ADDR_SIZE] = "";
    uint32_t addr;
    size_t len = next_word(&p, end);
    if (len < sizeof word)
        memcpy(word, p, len);
    if (usable(word, &addr))
        dns_add(out, addr);
    else
        out->skipped++;
}

/* Labels of letters, digits, '-' and '_', with a dot between them and perhaps one behind. */
static bool is_domain(const char *word, size_t len)
{
    size_t label = 0;
    for (size_t i = 0; i < len; i++) {
        char c = word[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || (c == '-' && label > 0);
        if (!plain && (c != '.' || label == 0))
            return false;
        label = plain ? label + 1 : 0;
        if (label > 63)
            return false;
    }
    return len > 0 && len <= 253;
}

static bool is_option(const char *word, size_t len)
{
    static const char *const plain[] = {"rotate",      "single-request", "single-request-reopen",
                                        "edns0",       "use-vc",         "no-aaaa",
                                        "no-tld-query"};
    static const struct {
        const char *name;
        uint64_t most; /* what glibc takes */
    } numbers[] = {{"ndots:", 15}, {"timeout:", 30}, {"attempts:", 5}};
    char text[32] = "";
    uint64_t n;
    if (len >= sizeof text)
        return false;
    memcpy(text, word, len);
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (str_eq(text, plain[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (str_has_prefix(text, numbers[i].name))
            return str_to_u64(text + strlen(numbers[i].name), &n) == 0 && n <= numbers[i].most;
    return false;
}

/* Appends the words that are such, as long as there is room for whole ones. */
static void take_words(const char *p, const char *end, bool (*is)(const char *word, size_t len),
                       char *out, size_t size)
{
    size_t len;
    for (; (len = next_word(&p, end)) > 0; p += len) {
        size_t used = strlen(out), gap = used > 0;
        if (!is(p, len) || used + gap + len >= size)
            continue;
        if (gap)
            out[used] = ' ';
        memcpy(out + used + gap, p, len);
        out[used + gap + len] = '\0';
    }
}

static void parse_line(const char *p, size_t len, struct dns_list *out)
{
    const char *end = p + len;
    size_t key = next_word(&p, end);
    const char *rest = p + key;
    if (word_is(p, key, "nameserver")) {
        if (rest < end)
            take_server(rest, end, out);
    } else if (word_is(p, key, "search") || word_is(p, key, "domain")) {
        out->search[0] = '\0';
        take_words(rest, end, is_domain, out->search, sizeof out->search);
    } else if (word_is(p, key, "options")) {
        take_words(rest, end, is_option, out->options, sizeof out->options);
    }
}

void dns_parse_resolv(const char *text, size_t len, struct dns_list *out)
{
    *out = (struct dns_list){.n = 0};
    while (len > 0) {
        const char *nl = memchr(text, '\n', len);
        size_t line = nl ? (size_t)(nl - text) : len;
        parse_line(text, line, out);
        size_t used = nl ? line + 1 : line;
        text += used;
        len -= used;
    }
}

int dns_parse_list(const char *text, struct dns_list *out, struct error *err)
{
    *out = (struct dns_list){.n = 0};
    while (*text) {
        size_t len = strcspn(text, ",");
        const char *next = text + len + (text[len] == ',');
        while (len > 0 && is_blank(*text)) {
            text++;
            len--;
        }
        while (len > 0 && is_blank(text[len - 1]))
            len--;
        char word[NET_ADDR_SIZE] = "";
        uint32_t addr;
        if (len < sizeof word)
            memcpy(word, text, len);
        if (!usable(word, &addr))
            return error_set(err, ERR_CONFIG, 0,
                             "network.dns: \"%.*s\" is not an IPv4 address that a guest can reach; "
                             "next: set network.dns to one that it can",
                             (int)(len < 60 ? len : 60), text);
        if (out->n == NET_DNS_MAX)
            return error_set(err, ERR_CONFIG, 0, "network.dns: more than %d servers", NET_DNS_MAX);
        dns_add(out, addr);
        text = next;
    }
    return 0;
}

/* What the host's files say, up to the first with a server that a guest can reach. */
static int read_host(struct dns_list *out, struct error *err)
{
    struct dns_list l;
    *out = (struct dns_list){.n = 0};
    for (size_t i = 0; i < ARRAY_LEN(resolv_files) && out->n == 0; i++) {
        /* /etc/resolv.conf is a link on many hosts, so it is opened here, following it. */
        _cleanup_close_ int fd = open(resolv_files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        if (fd_read_all(fd, RESOLV_MAX, resolv_files[i], &text, err) < 0)
            return -1;
        dns_parse_resolv(text.buf, text.len, &l);
        memcpy(out->addr, l.addr, sizeof out->addr);
        out->n = l.n;
        /* The first file is the one that the host's own programs read. */
        if (!out->search[0])
            memcpy(out->search, l.search, sizeof out->search);
        if (!out->options[0])
            memcpy(out->options, l.options, sizeof out->options);
    }
    return 0;
}

int dns_choose(const char *configured, struct dns_list *out, struct error *err)
{
    struct dns_list own = {.n = 0};
    struct error e = ERROR_INIT;
    if (configured && dns_parse_list(configured, &own, err) < 0)
        return -1;
    if (read_host(out, &e) < 0 && own.n == 0) {
        if (err)
            *err = e;
        return -1;
    }
    if (own.n > 0) {
        memcpy(out->addr, own.addr, sizeof out->addr);
        out->n = own.n;
    }
    if (out->n > 0)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "no DNS server in %s that a guest could reach (over IPv4, and not on this "
                     "host's loopback); next: set network.dns to one, such as the one your network "
                     "gives out",
                     resolv_files[0]);
}
