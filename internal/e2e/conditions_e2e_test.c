/* Warmup and doctor ask the same of a host: for each row of their list of preconditions
 * (local/conditions.h) it is made false in several ways, and both say so in the same words, with
 * the same next step and with an exit code that fits doctor's class. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "doctor/doctor.h"
#include "e2e/e2e.h"
#include "local/conditions.h"

#define ENV_MAX 6

/* In all of these, % is the bed's directory. */
struct breach {
    const char *check; /* of doctor */
    int code;          /* of warmup: 2 for what is configured wrongly, 1 for what is lacking */
    const char *says;  /* a part of the message */
    const char *harm, *undo;  /* lines of shell, in the bed's directory; may be NULL */
    const char *env[ENV_MAX]; /* "NAME=value" */
    const char *under;        /* a program that the command runs under */
};

#define BINARY(path) "CRABBOX_FIRECRACKER_BINARY=" path
#define STOCK                                                                                      \
    "CRABBOX_FC_IMAGE_DIR=", "CRABBOX_FIRECRACKER_KERNEL=%/stock/vmlinux",                         \
        "CRABBOX_FIRECRACKER_ROOTFS=%/stock/rootfs.ext4"
#define MAKE_STOCK "mkdir stock; cp image/vmlinux image/rootfs.ext4 stock; "
#define CNI                                                                                        \
    "CRABBOX_FIRECRACKER_NETWORK=cni", "CRABBOX_FIRECRACKER_CNI_NETWORK=box",                      \
        "CRABBOX_FIRECRACKER_CNI_CONF_DIR=%/cni", "CRABBOX_FIRECRACKER_CNI_BIN_DIR=%/plugins"
#define MAKE_CNI(plugins)                                                                          \
    "mkdir cni plugins work/.git; echo "                                                           \
    "'{\"cniVersion\":\"1.0.0\",\"name\":\"box\",\"plugins\":[" plugins                            \
    "]}' >cni/10-box.conflist; "
#define SCRIPT(path, text) "printf '#!/bin/sh\\n" text "\\n' >" path "; chmod 755 " path "; "
#define WRONG_HASH         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static const struct breach host[] = {
    {.check = "host", .code = 1, .says = "i686 hosts", .under = "setarch i686"},
    {.check = "user",
     .code = 1,
     .says = "CAP_NET_ADMIN",
     .under = "setpriv --inh-caps -net_admin --bounding-set -net_admin"},
    {.check = "user",
     .code = 1,
     .says = "put sudo before crabbox-fc", /* it may only go through root's directories */
     .harm = "mkdir -m 700 own; chown nobody own",
     .undo = "rm -r own",
     .env = {"CRABBOX_FC_STATE_DIR=%/own/state", "HOME=%/own"},
     .under = "setpriv --reuid nobody --clear-groups --inh-caps +dac_read_search "
              "--ambient-caps +dac_read_search"},
    {.check = "memory",
     .code = 2,
     .says = "of memory, but the host has only",
     .env = {"CRABBOX_FIRECRACKER_MEMORY_MIB=1048576"}},
    {.check = "limits", .code = 1, .says = "raise ulimit -n", .under = "prlimit --nofile=44"},
    {.check = "disk",
     .code = 1,
     .says = "too little disk space",
     .env = {"CRABBOX_FIRECRACKER_DISK_MIB=16TiB"}},
    {.check = "disk",
     .code = 1,
     .says = "inodes",
     .harm = "mkdir -m 700 small; mount -t tmpfs -o mode=0700,size=256m,nr_inodes=10 small small",
     .undo = "umount small; rmdir small",
     .env = {"CRABBOX_FC_STATE_DIR=%/small"}},
    {.check = "state",
     .code = 2,
     .says = "is open to others",
     .harm = "mkdir -m 755 open",
     .undo = "rmdir open",
     .env = {"CRABBOX_FC_STATE_DIR=%/open"}},
    {.check = "state",
     .code = 2,
     .says = "is not a directory",
     .harm = ": >open",
     .undo = "rm open",
     .env = {"CRABBOX_FC_STATE_DIR=%/open"}},
    {.check = "state",
     .code = 2,
     .says = "belongs to uid 65534",
     .harm = "mkdir -m 700 open; chown nobody open",
     .undo = "rmdir open",
     .env = {"CRABBOX_FC_STATE_DIR=%/open", "SUDO_UID=65534"}},
    {.check = "state",
     .code = 1,
     .says = "read-only",
     .harm = "mkdir -m 700 ro; mount -t tmpfs -o mode=0700,ro ro ro",
     .undo = "umount ro; rmdir ro",
     .env = {"CRABBOX_FC_STATE_DIR=%/ro/state"}},
    /* It was made while the disk could still be written to. */
    {.check = "state",
     .code = 1,
     .says = "read-only",
     .harm = "mkdir -m 700 ro; mount -t tmpfs -o mode=0700 ro ro; "
             "export CRABBOX_FC_STATE_DIR=$PWD/ro; cd work; \"$0\" warmup -q --slug a; "
             "\"$0\" stop -q a; mount -o remount,ro ../ro",
     .undo = "umount ro; rmdir ro",
     .env = {"CRABBOX_FC_STATE_DIR=%/ro"}},
    {.check = "state",
     .code = 2,
     .says = "not an absolute path",
     .env = {"CRABBOX_FC_STATE_DIR=here"}},
};

static const struct breach vmm[] = {
    {.check = "jailer",
     .code = 2,
     .says = "not built yet",
     .env = {"CRABBOX_FIRECRACKER_JAILER=/usr/bin/jailer"}},
    {.check = "binary", .code = 1, .says = "there is no program", .env = {BINARY("%/absent")}},
    {.check = "binary",
     .code = 1,
     .says = "there is no program absent-fc in PATH",
     .env = {BINARY("absent-fc")}},
    {.check = "binary", .code = 1, .says = "is not a file", .env = {BINARY("%/home")}},
    {.check = "binary",
     .code = 1,
     .says = "chmod 755",
     .harm = ": >fc; chmod 644 fc",
     .undo = "rm fc",
     .env = {BINARY("%/fc")}},
    {.check = "binary",
     .code = 1,
     .says = "noexec",
     .harm = "mkdir no; mount -t tmpfs -o noexec,mode=755 no no; " SCRIPT("no/fc", "exit 0"),
     .undo = "umount no; rmdir no",
     .env = {BINARY("%/no/fc")}},
    {.check = "binary",
     .code = 2,
     .says = "writable by everybody",
     .harm = SCRIPT("fc", "exit 0") "chmod 757 fc",
     .undo = "rm fc",
     .env = {BINARY("%/fc")}},
    {.check = "binary",
     .code = 1,
     .says = "is it the right program?",
     .env = {BINARY("/bin/true")}},
    {.check = "binary",
     .code = 1,
     .says = "exit code 3",
     .harm = SCRIPT("fc", "exit 3"),
     .undo = "rm fc",
     .env = {BINARY("%/fc")}},
    {.check = "binary",
     .code = 1,
     .says = "1.7.0 is too old",
     .harm = SCRIPT("fc",
                    "[ \"$1\" != --version ] || exec echo Firecracker v1.7.0; exec %s \"$@\""),
     .undo = "rm fc",
     .env = {BINARY("%/fc"), "CRABBOX_STANDIN_VERSION=1.7.0"}},
    {.check = "binary",
     .code = 2,
     .says = "is not the pinned one",
     .env = {"CRABBOX_FC_PIN_VMM=" WRONG_HASH}},
    /* Root reads it there, but without root's rights it does not. */
    {.check = "binary",
     .code = 1,
     .says = "runs, but not confined as the VMM is",
     .harm = "mkdir -m 700 home/bin; cp /bin/true home/bin/fc; "
             "printf '#!/bin/sh\\n[ \"$1\" != --version ] || echo Firecracker v1.16.1\\n' "
             ">home/bin/fc; chown -R nobody home/bin",
     .undo = "rm -r home/bin",
     .env = {BINARY("%/home/bin/fc"), "SUDO_UID=65534", "CRABBOX_FC_SANDBOX=true"}},
    {.check = "qemu", .code = 2, .says = "qemu.accel is not set", .env = {"CRABBOX_FC_VMM=qemu"}},
    {.check = "qemu",
     .code = 1,
     .says = "there is no program",
     .env = {"CRABBOX_FC_VMM=qemu", "CRABBOX_FC_QEMU_ACCEL=tcg",
             "CRABBOX_FC_QEMU_BINARY=%/absent"}},
    {.check = "qemu",
     .code = 1,
     .says = "is it the right program?",
     .env = {"CRABBOX_FC_VMM=qemu", "CRABBOX_FC_QEMU_ACCEL=tcg",
             "CRABBOX_FC_QEMU_BINARY=/bin/true"}},
    {.check = "sandbox",
     .code = 2,
     .says = "without root's rights and can't read",
     .harm = "chown nobody image/initrd.cpio; chmod 600 image/initrd.cpio",
     .undo = "chown root image/initrd.cpio; chmod 644 image/initrd.cpio",
     .env = {"SUDO_UID=65534", "CRABBOX_FC_SANDBOX=true"}},
    {.check = "sandbox",
     .code = 2,
     .says = "all of which a confined VMM may read",
     .harm = "mount -t tmpfs -o mode=700,size=200m state /usr/local/share",
     .undo = "umount /usr/local/share",
     .env = {"CRABBOX_FC_STATE_DIR=/usr/local/share", "CRABBOX_FC_SANDBOX=true"}},
    /* /dev/null opens as well, and is no KVM. */
    {.check = "kvm",
     .code = 1,
     .says = "/dev/kvm",
     .harm = "! test -e /dev/kvm || mount --bind /dev/null /dev/kvm; " SCRIPT(
         "fc", "[ \"$1\" != --version ] || exec echo Firecracker v1.16.1; echo Kvm error: "
               "Error creating KVM object >&2; exit 1"),
     .undo = "! test -e /dev/kvm || umount /dev/kvm; rm fc",
     .env = {BINARY("%/fc")}},
};

static const struct breach image[] = {
    {.check = "kernel",
     .code = 1,
     .says = "does not exist",
     .env = {"CRABBOX_FC_IMAGE_DIR=/nonexistent"}},
    {.check = "image",
     .code = 1,
     .says = "does not exist",
     .env = {"CRABBOX_FC_IMAGE_DIR=/nonexistent"}},
    {.check = "rootfs",
     .code = 1,
     .says = "is no finished image",
     .harm = "mv image/image.json j",
     .undo = "mv j image/image.json"},
    {.check = "kernel",
     .code = 2,
     .says = "image.json",
     .harm = "mv image/image.json j; echo '{' "
             ">image/image.json",
     .undo = "mv j image/image.json"},
    {.check = "kernel",
     .code = 1,
     .says = "No such file",
     .harm = "mv image/vmlinux v",
     .undo = "mv v image/vmlinux"},
    {.check = "kernel",
     .code = 2,
     .says = "is empty",
     .harm = "mv image/vmlinux v; : >image/vmlinux",
     .undo = "mv v image/vmlinux"},
    {.check = "kernel",
     .code = 2,
     .says = "writable by everybody",
     .harm = "chmod o+w image/vmlinux",
     .undo = "chmod o-w image/vmlinux"},
    {.check = "kernel",
     .code = 2,
     .says = "has no PVH entry",
     .env = {"CRABBOX_FC_IMAGE_DIR=", "CRABBOX_FIRECRACKER_KERNEL=%/true",
             "CRABBOX_FIRECRACKER_ROOTFS=%/image/rootfs.ext4", "CRABBOX_FC_VMM=qemu",
             "CRABBOX_FC_QEMU_ACCEL=tcg"},
     .harm = "cp /bin/true true",
     .undo = "rm true"},
    {.check = "rootfs",
     .code = 2,
     .says = "no filesystem",
     .harm = "mv image/rootfs.ext4 r; truncate -s 1M image/rootfs.ext4",
     .undo = "mv r image/rootfs.ext4"},
    {.check = "image",
     .code = 2,
     .says = "initrd",
     .harm = "mv image/initrd.cpio i; : "
             ">image/initrd.cpio",
     .undo = "mv i image/initrd.cpio"},
    {.check = "image",
     .code = 2,
     .says = "pin.rootfs is " WRONG_HASH,
     .env = {"CRABBOX_FC_PIN_ROOTFS=" WRONG_HASH}},
    {.check = "image",
     .code = 2,
     .says = "pin.initrd is set, but the image has no initrd",
     .harm = MAKE_STOCK,
     .undo = "rm -r stock",
     .env = {STOCK, "CRABBOX_FC_PIN_INITRD=" WRONG_HASH}},
    /* A guest that never answers, for a reason that its kernel's options tell. */
    {.check = "kernel",
     .code = 2,
     .says = "CONFIG_ISO9660_FS: cloud-init",
     .harm = MAKE_STOCK "{ printf IKCFG_ST; printf 'CONFIG_VIRTIO_BLK=y\\nCONFIG_VIRTIO_NET=y\\n"
                        "CONFIG_VIRTIO_MMIO=y\\nCONFIG_ACPI=y\\nCONFIG_EXT4_FS=y\\n' | gzip -n; "
                        "printf IKCFG_ED; } >>stock/vmlinux",
     .undo = "rm -r stock",
     .env = {STOCK, "CRABBOX_STANDIN_GUEST=deaf", "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=1500ms"}},
    {.check = "rootfs",
     .code = 2,
     .says = "CONFIG_EXT4_FS",
     .harm = MAKE_STOCK "{ printf IKCFG_ST; printf 'CONFIG_VIRTIO_BLK=y\\nCONFIG_VIRTIO_NET=y\\n"
                        "CONFIG_VIRTIO_MMIO=y\\nCONFIG_ACPI=y\\nCONFIG_ISO9660_FS=y\\n' | gzip -n; "
                        "printf IKCFG_ED; } >>stock/vmlinux",
     .undo = "rm -r stock",
     .env = {STOCK, "CRABBOX_STANDIN_GUEST=deaf", "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=1500ms"}},
};

static const struct breach network[] = {
    {.check = "network",
     .code = 2,
     .says = "network.peers has a meaning",
     .env = {"CRABBOX_FC_NETWORK_PEERS=true"}},
    {.check = "network",
     .code = 2,
     .says = "overlaps the host's route",
     .env = {"CRABBOX_FC_NETWORK_POOL=198.51.100.0/24"}},
    {.check = "network",
     .code = 2,
     .says = "no DNS server",
     .harm = "mount --bind /dev/null /etc/resolv.conf",
     .undo = "umount /etc/resolv.conf",
     .env = {"CRABBOX_FC_NETWORK_DNS="}},
    {.check = "network",
     .code = 1,
     .says = "modprobe tun",
     .harm = "mount -t tmpfs none /dev/net",
     .undo = "umount /dev/net"},
    {.check = "network",
     .code = 1,
     .says = "does not forward IPv4",
     .harm = "echo 0 >/proc/sys/net/ipv4/ip_forward",
     .undo = "echo 1 >/proc/sys/net/ipv4/ip_forward"},
    {.check = "network", .code = 1, .says = "mkdir -p", .env = {CNI}},
    {.check = "network",
     .code = 2,
     .says = "is named \"box\"",
     .harm = "mkdir cni plugins",
     .undo = "rmdir cni plugins",
     .env = {CNI}},
    {.check = "network",
     .code = 2,
     .says = "not valid JSON",
     .harm = "mkdir cni plugins; echo '{' >cni/a.conflist",
     .undo = "rm -r cni plugins",
     .env = {CNI}},
    {.check = "network",
     .code = 1,
     .says = "programs that are not there: odd",
     .harm = MAKE_CNI("{\"type\":\"odd\"}"),
     .undo = "rm -r cni plugins work/.git",
     .env = {CNI}},
    {.check = "network",
     .code = 2,
     .says = "plugins/odd is writable by everybody",
     .harm = MAKE_CNI("{\"type\":\"odd\"}") SCRIPT("plugins/odd", "exit 1") "chmod o+w plugins/odd",
     .undo = "rm -r cni plugins work/.git",
     .env = {CNI}},
    {.check = "network",
     .code = 2,
     .says = "does not speak the list's cniVersion",
     .harm = MAKE_CNI("{\"type\":\"odd\"}")
         SCRIPT("plugins/odd", "[ $CNI_COMMAND != ADD ] || exit 1\\n"
                               "echo {\\\"supportedVersions\\\":[\\\"0.4.0\\\"]}"),
     .undo = "rm -r cni plugins work/.git",
     .env = {CNI}},
};

/* ---- what both say ---- */

static char *in_bed(const char *text)
{
    struct strbuf out = STRBUF_INIT;
    for (; *text; text++)
        if (*text == '%' && text[1] != 's')
            strbuf_adds(&out, bed.dir);
        else if (*text == '%')
            strbuf_addf(&out, "%s/tools/standin-firecracker", bed.build), text++;
        else
            strbuf_addc(&out, *text);
    return strbuf_detach(&out);
}

static void shell(const char *script)
{
    _cleanup_free_ char *there = script ? in_bed(script) : NULL;
    _cleanup_free_ char *text = there ? xasprintf("cd ..; %s", there) : NULL;
    if (text)
        e2e_shell(text);
}

static struct bed_result run(const struct breach *b, const char *args)
{
    _cleanup_free_ char *line = xasprintf("exec %s \"$0\" %s", b->under ? b->under : "", args);
    return BED_EXEC(&bed, "sh", "-c", line, bed.program);
}

/* Two looks at what is free differ by a little. */
static char *without_figures(const char *text)
{
    struct strbuf out = STRBUF_INIT;
    for (; *text; text++)
        if (*text < '0' || *text > '9')
            strbuf_addc(&out, *text);
        else if (!out.len || out.buf[out.len - 1] != '#')
            strbuf_addc(&out, '#');
    return strbuf_detach(&out);
}

static void agree(const struct breach *b, const struct bed_result *warmup,
                  const struct bed_result *doctor)
{
    _cleanup_json_ cJSON *report = e2e_json(doctor);
    const cJSON *c, *found = NULL;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        if (str_eq(json_opt_string(c, "check", ""), b->check))
            found = c;
    }
    const cJSON *details = cJSON_GetObjectItemCaseSensitive(found, "details");
    const char *next = json_opt_string(details, "fix", "");
    if (!str_eq(json_opt_string(found, "status", ""), "failed"))
        fail_msg("doctor calls %s %s; warmup says: %s", b->check,
                 json_opt_string(found, "status", ""), warmup->err.buf);
    _cleanup_free_ char *says = xasprintf("crabbox-fc: %s" BED_NEXT "%s\n",
                                          json_opt_string(found, "message", ""), next);
    _cleanup_free_ char *want = without_figures(says), *got = without_figures(warmup->err.buf);
    assert_string_equal(got, want);
    bed_assert_has(says, b->says);
    bed_assert_code(*warmup, b->code);
    assert_string_equal(json_opt_string(details, "class", ""),
                        b->code == 2 ? "configuration_incomplete" : "environment_blocked");
    assert_true(*next);
    assert_null(strstr(next, "doctor"));
    assert_null(strstr(next, "crabbox-fc warmup"));
}

static void breach(const struct breach *b)
{
    shell(b->harm);
    for (size_t i = 0; i < ENV_MAX && b->env[i]; i++) {
        _cleanup_free_ char *pair = in_bed(b->env[i]);
        char *value = strchr(pair, '=');
        *value++ = '\0';
        bed_setenv(&bed, pair, value);
    }
    _cleanup_bed_result_ struct bed_result w = run(b, "warmup --slug a");
    _cleanup_bed_result_ struct bed_result d = run(b, "doctor --json");
    bed_clear_faults(&bed);
    shell(b->undo);
    print_message("%s: %s", b->check, w.err.buf);
    agree(b, &w, &d);
    bed_assert_clean(&bed);
}

static void breach_all(const struct breach *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        breach(&b[i]);
}

static void test_the_host(void **state)
{
    (void)state;
    breach_all(host, ARRAY_LEN(host));
}

static void test_the_vmm(void **state)
{
    (void)state;
    breach_all(vmm, ARRAY_LEN(vmm));
}

static void test_the_image(void **state)
{
    (void)state;
    breach_all(image, ARRAY_LEN(image));
}

static void test_the_network(void **state)
{
    (void)state;
    breach_all(network, ARRAY_LEN(network));
}

/* ---- KVM that opens and makes no VM ---- */

/* From here on KVM_CREATE_VM is refused, as by another hypervisor that has the processor. */
static int refuse_vms(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_CREATE_VM, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = ARRAY_LEN(code), .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

struct busy {
    const struct breach *b;
    int filtered;
    struct bed_result warmup, doctor;
};

/* A filter is a thread's own, and its children's. */
static void *run_busy(void *arg)
{
    struct busy *busy = arg;
    busy->filtered = refuse_vms();
    if (busy->filtered == 0) {
        busy->warmup = run(busy->b, "warmup --slug a");
        busy->doctor = run(busy->b, "doctor --json");
    }
    return NULL;
}

static void test_kvm_that_makes_no_vm(void **state)
{
    (void)state;
    static const struct breach b = {.check = "kvm", .code = 1, .says = "create a VM: Device or "};
    struct busy busy = {.b = &b};
    pthread_t thread;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip();
    shell(SCRIPT("fc", "[ \"$1\" != --version ] || exec echo Firecracker v1.16.1; echo Vm error: "
                       "Cannot open the VM file descriptor >&2; exit 1"));
    _cleanup_free_ char *path = in_bed("%/fc");
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_BINARY", path);
    assert_int_equal(pthread_create(&thread, NULL, run_busy, &busy), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    shell("rm fc");
    assert_int_equal(busy.filtered, 0);
    agree(&b, &busy.warmup, &busy.doctor);
    bed_result_free(&busy.warmup);
    bed_result_free(&busy.doctor);
}

/* ---- the whole list ---- */

static bool is_breached(const struct breach *b, size_t n, const char *check)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(b[i].check, check))
            return true;
    return false;
}

static void test_every_row_was_made_false(void **state)
{
    const char *check;
    size_t rows = 0;
    (void)state;
    for (size_t i = 0; (check = doctor_check_name(i)); i++) {
        if (!condition_by_name(check))
            continue;
        rows++;
        if (!is_breached(host, ARRAY_LEN(host), check) &&
            !is_breached(vmm, ARRAY_LEN(vmm), check) &&
            !is_breached(image, ARRAY_LEN(image), check) &&
            !is_breached(network, ARRAY_LEN(network), check))
            fail_msg("no test makes %s false", check);
    }
    assert_int_equal(rows, 15); /* doctor shows them all */
}

/* The verb that needs it says what doctor warns of. */
static void test_no_ssh_client(void **state)
{
    (void)state;
    e2e_warmup("a");
    bed_setenv(&bed, "PATH", "/nonexistent");
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "ssh", "a", "true");
    _cleanup_bed_result_ struct bed_result d = BED_RUN(&bed, "doctor", "--json");
    bed_clear_faults(&bed);
    bed_assert_code(s, 1);
    _cleanup_json_ cJSON *report = e2e_json(&d);
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        if (!str_eq(json_opt_string(c, "check", ""), "ssh"))
            continue;
        assert_string_equal(json_opt_string(c, "status", ""), "warning");
        _cleanup_free_ char *says = xasprintf(
            "crabbox-fc: %s" BED_NEXT "%s\n", json_opt_string(c, "message", ""),
            json_opt_string(cJSON_GetObjectItemCaseSensitive(c, "details"), "fix", ""));
        assert_string_equal(s.err.buf, says);
    }
    e2e_stop("a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_the_host),
        E2E_TEST(test_the_vmm),
        E2E_TEST(test_the_image),
        E2E_TEST(test_the_network),
        E2E_TEST(test_kvm_that_makes_no_vm),
        E2E_TEST(test_every_row_was_made_false),
        E2E_TEST(test_no_ssh_client),
    };
    return E2E_MAIN(tests);
}
