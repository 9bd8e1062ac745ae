/* seedwrite: writes a seed drive with made-up keys, for scripts/check-seed.sh.
 *
 *     seedwrite [--stock] FILE
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "image/image.h"

int main(int argc, char **argv)
{
    static const char *const servers[] = {"198.51.100.1", "2001:db8::53"};
    struct error err = ERROR_INIT;
    struct seed_spec spec = {
        .lease_id = "cbx_0123456789ab",
        .hostname = "crabbox-blue-crab",
        .user = "crabbox",
        .work_root = "/work/crabbox",
        .authorized_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeClientKey crabbox",
        .host_key_private = "-----BEGIN OPENSSH PRIVATE KEY-----\nQUJD\n"
                            "-----END OPENSSH PRIVATE KEY-----\n",
        .host_key_public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeHostKey",
        .nonce = "00112233445566778899aabbccddeeff",
        .guest_mac = "02:fc:0a:d5:00:02",
        .guest_addr = "192.0.2.2",
        .gateway = "192.0.2.1",
        .dns = servers,
        .n_dns = ARRAY_LEN(servers),
        .dns_search = "corp.example lab.example",
        .dns_options = "ndots:2",
        .stock = argc == 3 && str_eq(argv[1], "--stock"),
    };
    if (argc != (spec.stock ? 3 : 2)) {
        fprintf(stderr, "usage: seedwrite [--stock] FILE\n");
        return 2;
    }
    if (image_write_seed(AT_FDCWD, argv[argc - 1], &spec, &err) < 0) {
        fprintf(stderr, "seedwrite: %s\n", err.msg);
        return 1;
    }
    return 0;
}
