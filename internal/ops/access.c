#include "ops/access.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/provider.h"
#include "sys/file.h"
#include "sys/program.h"

void access_host(const struct lease *l, char *out, size_t size)
{
    (void)str_format(out, size, "crabbox-%s", l->slug);
}

/* OpenSSH reads % tokens. */
static void add_escaped(struct strbuf *sb, const char *text)
{
    for (; *text; text++) {
        if (*text == '%')
            strbuf_addc(sb, '%');
        strbuf_addc(sb, *text);
    }
}

/* And double quotes in paths. */
static void add_path(struct strbuf *sb, const char *option, const char *dir, const char *name)
{
    strbuf_addf(sb, "    %s \"", option);
    add_escaped(sb, dir);
    strbuf_addf(sb, "/%s\"\n", name);
}

/* The user's own shell reads the line, with the user's PATH, in which a directory of the tree may
 * come first: so each program stands there with its path. */
static int add_proxy(struct strbuf *sb, const struct ops *o, const struct lease *l,
                     struct error *err)
{
    char self[PATH_MAX];
    if (!realpath(o->self_exe, self))
        return error_set(err, ERR_ENV, errno, "find the path of this program");
    _cleanup_free_ char *program = str_shell_quoted(self);
    _cleanup_free_ char *state = str_shell_quoted(o->store.path);
    strbuf_adds(sb, "    ProxyCommand /usr/bin/env CRABBOX_FC_STATE_DIR=");
    add_escaped(sb, state);
    strbuf_addc(sb, ' ');
    add_escaped(sb, program);
    strbuf_addf(sb, " dial %s\n", l->id);
    return 0;
}

static int add_way(struct strbuf *sb, const struct ops *o, const struct lease *l, struct error *err)
{
    struct ssh_target t = {0};
    provider_of(l)->target(l, &t);
    if (t.dial || t.socket)
        return add_proxy(sb, o, l, err);
    strbuf_addf(sb, "    HostName %s\n    Port %u\n", t.host, t.port);
    return 0;
}

static int write_ssh_config(const struct ops *o, const struct lease *l,
                            const struct lease_handle *h, struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    strbuf_addf(&sb, "# Lease %s. Use: ssh -F this-file crabbox-%s\n", l->id, l->slug);
    strbuf_addf(&sb, "Host crabbox-%s %s %s\n", l->slug, l->name, l->id);
    strbuf_addf(&sb, "    User %s\n", l->user);
    if (add_way(&sb, o, l, err) < 0)
        return -1;
    add_path(&sb, "IdentityFile", h->path, ACCESS_KEY);
    add_path(&sb, "UserKnownHostsFile", h->path, ACCESS_KNOWN_HOSTS);
    strbuf_addf(&sb, "    HostKeyAlias %s\n", l->id);
    strbuf_adds(&sb, "    GlobalKnownHostsFile /dev/null\n"
                     "    StrictHostKeyChecking yes\n"
                     "    HostKeyAlgorithms ssh-ed25519\n"
                     "    IdentitiesOnly yes\n"
                     "    PreferredAuthentications publickey\n"
                     "    ForwardAgent no\n"
                     "    LogLevel ERROR\n");
    return file_write_new(h->dirfd, ACCESS_SSH_CONFIG, sb.buf, sb.len, 0600, err);
}

int access_write(const struct ops *o, const struct lease *l, const struct lease_handle *h,
                 const char *pem, size_t pem_len, const char *public_line, struct error *err)
{
    _cleanup_free_ char *pub = xasprintf("%s %s\n", public_line, l->name);
    _cleanup_free_ char *known = xasprintf("%s %s\n", l->id, l->host_key);
    if (file_write_new(h->dirfd, ACCESS_KEY, pem, pem_len, 0600, err) < 0 ||
        file_write_new(h->dirfd, ACCESS_KEY_PUB, pub, strlen(pub), 0600, err) < 0 ||
        file_write_new(h->dirfd, ACCESS_KNOWN_HOSTS, known, strlen(known), 0600, err) < 0)
        return -1;
    return write_ssh_config(o, l, h, err);
}

int access_remove(const struct lease_handle *h, struct error *err)
{
    static const char *const files[] = {ACCESS_KEY, ACCESS_KEY_PUB, ACCESS_KNOWN_HOSTS,
                                        ACCESS_SSH_CONFIG};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (file_unlink(h->dirfd, files[i], err) < 0)
            return -1;
    return 0;
}

void access_target(const struct lease *l, int dirfd, char *key, size_t size, struct ssh_target *out)
{
    (void)str_format(key, size, "/proc/self/fd/%d/" ACCESS_KEY, dirfd);
    *out = (struct ssh_target){
        .user = l->user,
        .key_file = key,
        .host_key = l->host_key,
    };
    provider_of(l)->target(l, out);
}

int access_find_ssh(char out[static PATH_MAX], struct error *err)
{
    struct error e = ERROR_INIT;
    if (program_locate("ssh", "SSH client", NULL, out, &e) == 0)
        return 0;
    if (e.kind == ERR_ENV)
        (void)error_append(&e, ACCESS_INSTALL_SSH);
    if (err)
        *err = e;
    return -1;
}
