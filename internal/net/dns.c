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

/* One line of `len` bytes: "nameserver", blanks, address, then anything. */
static void parse_line(const char *line, size_t len, struct dns_list *out)
{
    const char key[] = "nameserver";
    size_t i = 0;
    while (i < len && is_blank(line[i]))
        i++;
    if (len - i < sizeof key || memcmp(line + i, key, sizeof key - 1) != 0)
        return;
    i += sizeof key - 1;
    if (!is_blank(line[i]))
        return;
    while (i < len && is_blank(line[i]))
        i++;
    size_t end = i;
    while (end < len && !is_blank(line[end]))
        end++;
    char word[NET_ADDR_SIZE];
    uint32_t addr;
    if (end > i && end - i < sizeof word) {
        memcpy(word, line + i, end - i);
        word[end - i] = '\0';
        if (usable(word, &addr)) {
            dns_add(out, addr);
            return;
        }
    }
    out->skipped++;
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

int dns_choose(const char *configured, struct dns_list *out, struct error *err)
{
    if (configured && configured[0] != '\0') {
        if (dns_parse_list(configured, out, err) < 0)
            return -1;
        if (out->n > 0)
            return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(resolv_files); i++) {
        /* /etc/resolv.conf is a link on many hosts, so it is opened here, following it. */
        _cleanup_close_ int fd = open(resolv_files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        if (fd_read_all(fd, RESOLV_MAX, resolv_files[i], &text, err) < 0)
            return -1;
        dns_parse_resolv(text.buf, text.len, out);
        if (out->n > 0)
            return 0;
    }
    return error_set(err, ERR_CONFIG, 0,
                     "no DNS server in %s that a guest could reach; next: set network.dns to one, "
                     "such as the one your network gives out",
                     resolv_files[0]);
}
