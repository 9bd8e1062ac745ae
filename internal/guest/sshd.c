#include "guest/sshd.h"

#include <string.h>

#include "base/str.h"
#include "guest/rootdir.h"

/* -r: no exec of itself for each connection, which costs as much as its start. Newer servers ignore
 * it. */
const char *const guest_sshd_argv[] = {
    "/usr/sbin/sshd", "-D", "-e", "-r", "-f", GUEST_SSHD_CONFIG, NULL,
};

const char *const guest_sshd_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "HOME=/",
    NULL,
};

/* Where OpenSSH's Debian package expects an empty directory. */
#define EMPTY_DIR "/run/sshd"
/* Servers with this program make those who fail to log in wait. All of a guest's clients come from
 * one address: one that was cut off would lock out the others. */
#define SESSION_PROGRAM "/usr/lib/openssh/sshd-session"
#define NO_PENALTIES    "PerSourcePenalties no\n"

/* The key exchanges leave out what is slow without a processor's help (sntrup761, group exchange),
 * and what only old clients have. No lookups, no PAM, no accounting. The numbers only keep a
 * runaway script from filling the memory. */
static const char config[] =
    "Port 22\n"
    "HostKey " GUEST_HOSTKEY "\n"
    "HostKeyAlgorithms ssh-ed25519\n"
    "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
    "ecdh-sha2-nistp384,diffie-hellman-group14-sha256,diffie-hellman-group16-sha512\n"
    "PubkeyAuthentication yes\n"
    "PasswordAuthentication no\n"
    "KbdInteractiveAuthentication no\n"
    "PermitRootLogin prohibit-password\n"
    "AuthorizedKeysFile .ssh/authorized_keys\n"
    "UsePAM no\n"
    "UseDNS no\n"
    "PrintMotd no\n"
    "PrintLastLog no\n"
    "PidFile none\n"
    "LogLevel ERROR\n"
    "MaxAuthTries 20\n"
    "MaxStartups 1000\n"
    "MaxSessions 1000\n"
    "GatewayPorts clientspecified\n"
    "StreamLocalBindUnlink yes\n"
    "AcceptEnv *\n"
    "SetEnv LANG=C.UTF-8\n"
    "Subsystem sftp internal-sftp\n";

int sshd_setup(int root, const char *host_key, struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    strbuf_adds(&sb, config);
    if (root_exists(root, SESSION_PROGRAM))
        strbuf_adds(&sb, NO_PENALTIES);
    if (root_write(root, GUEST_SSHD_CONFIG, sb.buf, sb.len, 0644, OWNER_ROOT, err) < 0 ||
        root_write(root, GUEST_HOSTKEY, host_key, strlen(host_key), 0600, OWNER_ROOT, err) < 0)
        return -1;
    return root_mkdir(root, EMPTY_DIR, 0755, OWNER_ROOT, err);
}
