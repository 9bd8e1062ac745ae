#include "testutil/vmmfix.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"

#define LOAD_ADDRESS      0x1000000
#define NOTE_PHYS32_ENTRY 18 /* of "Xen": where a PVH loader jumps to */

static int make_tap(const char *name)
{
    struct ifreq r = {0};
    _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    (void)str_copy(r.ifr_name, sizeof r.ifr_name, name);
    r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0)
        return -1;
    return 0;
}

const char *vmmfix_enter(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        return "the right to make a network namespace";
    return make_tap(VMMFIX_TAP) < 0 ? "/dev/net/tun" : NULL;
}

/* A kernel image: one loadable segment of HLT instructions, and the note that names its entry. */
struct tiny_kernel {
    Elf64_Ehdr head;
    Elf64_Phdr segment[2];
    Elf64_Nhdr note;
    char owner[4];
    uint32_t entry;
    unsigned char code[16];
};

static int write_kernel(int dirfd, const char *name)
{
    struct tiny_kernel k;
    memset(&k, 0, sizeof k);
    memcpy(k.head.e_ident, ELFMAG, SELFMAG);
    k.head.e_ident[EI_CLASS] = ELFCLASS64;
    k.head.e_ident[EI_DATA] = ELFDATA2LSB;
    k.head.e_ident[EI_VERSION] = EV_CURRENT;
    k.head.e_type = ET_EXEC;
    k.head.e_machine = EM_X86_64;
    k.head.e_version = EV_CURRENT;
    k.head.e_entry = LOAD_ADDRESS;
    k.head.e_phoff = offsetof(struct tiny_kernel, segment);
    k.head.e_ehsize = sizeof k.head;
    k.head.e_phentsize = sizeof k.segment[0];
    k.head.e_phnum = 2;
    k.segment[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                .p_flags = PF_R | PF_X,
                                .p_offset = offsetof(struct tiny_kernel, code),
                                .p_vaddr = LOAD_ADDRESS,
                                .p_paddr = LOAD_ADDRESS,
                                .p_filesz = sizeof k.code,
                                .p_memsz = sizeof k.code,
                                .p_align = 1};
    k.segment[1] = (Elf64_Phdr){.p_type = PT_NOTE,
                                .p_offset = offsetof(struct tiny_kernel, note),
                                .p_filesz = sizeof k.note + sizeof k.owner + sizeof k.entry,
                                .p_memsz = sizeof k.note + sizeof k.owner + sizeof k.entry,
                                .p_align = 4};
    k.note = (Elf64_Nhdr){4, 4, NOTE_PHYS32_ENTRY};
    memcpy(k.owner, "Xen", 4);
    k.entry = LOAD_ADDRESS;
    memset(k.code, 0xf4, sizeof k.code);
    return file_write_new(dirfd, name, &k, sizeof k, 0644, NULL);
}

static int fill_directory(struct vmmfix *f)
{
    static const char zeros[65536];
    if (write_kernel(f->dirfd, "vmlinux") < 0)
        return -1;
    if (file_write_new(f->dirfd, "root,base=1.img", zeros, sizeof zeros, 0644, NULL) < 0)
        return -1;
    return file_write_new(f->dirfd, "upper.img", zeros, sizeof zeros, 0644, NULL);
}

struct vmmfix *vmmfix_make(const char *binary, enum vmm_accel accel)
{
    struct vmmfix *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-vmm-test.XXXXXX");
    f->dirfd = -1;
    if (mkdtemp(f->dir))
        f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    f->spec = (struct vmm_spec){
        .lease_id = "cbx_000000000007",
        .vm_id = "cbx-000000000007",
        .binary = binary,
        .accel = accel,
        .dirfd = f->dirfd,
        .netns_fd = f->netns,
        .uids = {1900000000, 1900065535},
        .uids_dir = UID_DIRECTORY,
        .cpus = 2,
        .memory_mib = 64,
        .kernel = "vmlinux",
        .initrd = "",
        .cmdline = "crabbox.test=1",
        /* A name that would need care on a command line. */
        .drives = {{.id = "root", .path = "root,base=1.img", .read_only = true, .root = true},
                   {.id = "upper", .path = "upper.img"}},
        .n_drives = 2,
        .tap = VMMFIX_TAP,
        .guest_mac = VMMFIX_MAC,
    };
    f->d = deadline_in_ms(30000);
    if (f->dirfd >= 0 && f->netns >= 0 && fill_directory(f) == 0)
        return f;
    (void)vmmfix_drop(f);
    return NULL;
}

int vmmfix_drop(struct vmmfix *f)
{
    bool alive = f->ref.proc.pid > 0 && proc_alive(&f->ref.proc);
    (void)vmm_end(&f->ref, f->dirfd, 0, NULL, NULL, NULL);
    cleanup_close(&f->dirfd);
    cleanup_close(&f->netns);
    (void)dir_remove_tree(AT_FDCWD, f->dir, NULL);
    free(f);
    return alive ? -1 : 0;
}

int vmmfix_on_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct vmmfix *f = ctx;
    f->started++;
    f->ref.proc = *proc;
    if (proc->pid <= 1 || proc->start_time == 0 || !proc_alive(proc))
        return error_set(err, ERR_INTERNAL, 0, "started with no process");
    return 0;
}

/* A build in a checkout of another user's: that user counts as whom sudo came from. */
static void name_owner(const char *path)
{
    struct stat st;
    char uid[32];
    if (stat(path, &st) < 0 || st.st_uid == 0)
        return;
    (void)str_format(uid, sizeof uid, "%u", (unsigned)st.st_uid);
    (void)setenv("SUDO_UID", uid, 1);
}

const char *vmmfix_tool(const char *name)
{
    static char path[4096];
    char self[3072];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return NULL;
    self[n] = '\0';
    /* <build>/test/<module>/<test> */
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(self, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
    }
    if (str_format(path, sizeof path, "%s/tools/%s", self, name) < 0 || access(path, X_OK) < 0)
        return NULL;
    name_owner(path);
    return path;
}
