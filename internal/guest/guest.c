#include "guest/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "guest/rootdir.h"
#include "guest/runfiles.h"
#include "guest/seed_net.h"
#include "guest/user.h"

static int write_text(int root, const char *path, const struct strbuf *sb, struct error *err)
{
    return root_write(root, path, sb->buf, sb->len, 0644, OWNER_ROOT, err);
}

static int write_names(int root, const char *hostname, struct error *err)
{
    _cleanup_strbuf_ struct strbuf name = STRBUF_INIT, hosts = STRBUF_INIT;
    strbuf_addf(&name, "%s\n", hostname);
    strbuf_addf(&hosts,
                "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n",
                hostname);
    if (write_text(root, "/etc/hostname", &name, err) < 0)
        return -1;
    return write_text(root, "/etc/hosts", &hosts, err);
}

/* A stub resolver of the host (127.0.0.53) means nothing in a guest and is left out. */
static int write_resolv_conf(int root, const struct seed_net *net, struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    char text[INET6_ADDRSTRLEN];
    for (unsigned i = 0; i < net->nservers; i++) {
        const struct seed_addr *a = &net->servers[i];
        if (!seed_addr_is_loopback(a) && inet_ntop(a->family, a->bytes, text, sizeof text))
            strbuf_addf(&sb, "nameserver %s\n", text);
    }
    strbuf_adds(&sb, "options timeout:2 attempts:2\n");
    return write_text(root, "/etc/resolv.conf", &sb, err);
}

static int write_files(int root, const struct seed *seed, struct owner user, struct error *err)
{
    for (unsigned i = 0; i < seed->nfiles; i++) {
        const struct seed_file *f = &seed->files[i];
        if (root_write(root, f->path, f->content, strlen(f->content), f->mode,
                       f->root_owned ? OWNER_ROOT : user, err) < 0)
            return -1;
    }
    return 0;
}

/* The lease's own directory too: a command that works there can start on a full disk. */
static int make_work_dirs(int root, const struct seed *seed, struct owner user, struct error *err)
{
    if (!seed->work_root)
        return 0;
    _cleanup_free_ char *own = xasprintf("%s/%s", seed->work_root, seed->instance_id);
    if (root_mkdir(root, seed->work_root, 0755, user, err) < 0)
        return -1;
    return root_mkdir(root, own, 0755, user, err);
}

static int open_root(const char *path, struct error *err)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open root directory %s", path);
    return fd;
}

int guest_setup_server(const char *root_path, const struct seed *seed, struct error *err)
{
    _cleanup_close_ int root = open_root(root_path, err);
    return root < 0 ? -1 : sshd_setup(root, seed->host_private, err);
}

int guest_setup_login(const char *root_path, const struct seed *seed, struct owner *user,
                      struct error *err)
{
    struct account account;
    _cleanup_close_ int root = open_root(root_path, err);
    if (root < 0 || user_setup(root, &seed->user, &account, err) < 0)
        return -1;
    *user = account.owner;
    if (write_names(root, seed->hostname, err) < 0)
        return -1;
    if (seed->has_net && write_resolv_conf(root, &seed->net, err) < 0)
        return -1;
    if (write_files(root, seed, account.owner, err) < 0)
        return -1;
    if (runfiles_make(root, account.owner, err) < 0)
        return -1;
    return make_work_dirs(root, seed, account.owner, err);
}

int guest_setup(const char *root_path, const struct seed *seed, struct error *err)
{
    struct owner user;
    if (guest_setup_server(root_path, seed, err) < 0)
        return -1;
    return guest_setup_login(root_path, seed, &user, err);
}
