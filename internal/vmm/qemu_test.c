/* The real QEMU, emulating, in a network namespace of the test's own: paused, asked, ended.
 * No guest code runs, so the "kernel" is a minimal ELF file that QEMU accepts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "vmm/vmm.h"

#define QEMU "/usr/bin/qemu-system-x86_64"
#define MAC  "02:00:00:00:00:07"

struct fixture {
    char dir[64];
    int dirfd;
    int netns;
    struct vmm_spec spec;
    struct vmm_ref ref;
    struct deadline d;
    unsigned started;
};

/* Missing pieces of the machine are a skip at a desk and a failure in CI. */
static bool missing(const char *what)
{
    if (getenv("CI"))
        fail_msg("this machine lacks %s", what);
    print_message("lacks %s\n", what);
    return true;
}

/* A persistent tap in this process's namespace. */
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

/* 64 bytes of header, one loadable segment of HLT, and the PVH note that names the entry. */
static void write_kernel(int dirfd, const char *name)
{
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph[2];
        Elf64_Nhdr nh;
        char owner[4];
        uint32_t entry;
        uint32_t pad;
        unsigned char code[16];
    } k;
    memset(&k, 0, sizeof k);
    memcpy(k.eh.e_ident, ELFMAG, SELFMAG);
    k.eh.e_ident[EI_CLASS] = ELFCLASS64;
    k.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    k.eh.e_ident[EI_VERSION] = EV_CURRENT;
    k.eh.e_type = ET_EXEC;
    k.eh.e_machine = EM_X86_64;
    k.eh.e_version = EV_CURRENT;
    k.eh.e_entry = 0x1000000;
    k.eh.e_phoff = offsetof(__typeof__(k), ph);
    k.eh.e_ehsize = sizeof k.eh;
    k.eh.e_phentsize = sizeof k.ph[0];
    k.eh.e_phnum = 2;
    k.eh.e_shentsize = sizeof(Elf64_Shdr);
    k.ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                           .p_flags = PF_R | PF_X,
                           .p_offset = offsetof(__typeof__(k), code),
                           .p_vaddr = 0x1000000,
                           .p_paddr = 0x1000000,
                           .p_filesz = sizeof k.code,
                           .p_memsz = sizeof k.code,
                           .p_align = 1};
    k.ph[1] = (Elf64_Phdr){.p_type = PT_NOTE,
                           .p_offset = offsetof(__typeof__(k), nh),
                           .p_filesz = sizeof k.nh + 4 + 4,
                           .p_memsz = sizeof k.nh + 4 + 4,
                           .p_align = 4};
    k.nh = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 4, .n_type = 18 /* XEN_ELFNOTE_PHYS32_ENTRY */};
    memcpy(k.owner, "Xen", 4);
    k.entry = 0x1000000;
    memset(k.code, 0xf4, sizeof k.code);
    assert_int_equal(file_write_new(dirfd, name, &k, sizeof k, 0600, NULL), 0);
}

static void write_drive(int dirfd, const char *name)
{
    static char zeros[65536];
    assert_int_equal(file_write_new(dirfd, name, zeros, sizeof zeros, 0600, NULL), 0);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->dir, sizeof f->dir, "/tmp/crabbox-qemu-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(f->dirfd >= 0 && f->netns >= 0);
    write_kernel(f->dirfd, "vmlinux");
    write_drive(f->dirfd, "root,base=1.img"); /* a name that needs care on a command line */
    write_drive(f->dirfd, "upper.img");
    f->spec = (struct vmm_spec){
        .lease_id = "cbx_000000000007",
        .vm_id = "cbx-000000000007",
        .binary = QEMU,
        .accel = "tcg",
        .dirfd = f->dirfd,
        .netns_fd = f->netns,
        .cpus = 2,
        .memory_mib = 64,
        .kernel = "vmlinux",
        .initrd = "",
        .cmdline = "crabbox.test=1",
        .drives = {{.id = "root", .path = "root,base=1.img", .read_only = true, .root = true},
                   {.id = "upper", .path = "upper.img"}},
        .n_drives = 2,
        .tap = "tap0",
        .guest_mac = MAC,
    };
    f->d = deadline_in_ms(30000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool alive = f->ref.proc.pid > 0 && proc_alive(&f->ref.proc);
    (void)vmm_end(&f->ref, f->dirfd, 0, NULL, NULL, NULL);
    (void)close(f->dirfd);
    (void)close(f->netns);
    (void)dir_remove_tree(AT_FDCWD, f->dir, NULL);
    free(f);
    return alive ? -1 : 0; /* a test that leaves its QEMU behind has failed */
}

static int on_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct fixture *f = ctx;
    (void)err;
    f->started++;
    assert_true(proc->pid > 1 && proc->start_time > 0);
    assert_true(proc_alive(proc));
    return 0;
}

static int refuse_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct fixture *f = ctx;
    f->ref.proc = *proc;
    f->started++;
    return error_set(err, ERR_IO, ENOSPC, "write the record");
}

static void launch_ok(struct fixture *f)
{
    struct error err = ERROR_INIT;
    if (vmm_qemu.launch(&f->spec, &f->ref, on_started, f, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->started, 1);
}

static void end_it(struct fixture *f)
{
    bool graceful = true;
    struct error err = ERROR_INIT;
    if (vmm_end(&f->ref, f->dirfd, 5000, &f->d, &graceful, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(graceful);
    assert_false(proc_alive(&f->ref.proc));
}

static void launches_paused_and_ends(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct vmm_status st = {0};
    launch_ok(f);
    assert_string_equal(f->ref.backend, "qemu");
    assert_string_equal(f->ref.accel, "tcg");
    assert_true(f->ref.version[0] >= '1' && f->ref.version[0] <= '9');
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_true(st.process_alive);
    assert_string_equal(st.state, "not started");
    /* A guest that has not begun is not waited for: 5 s of grace are not spent. */
    int64_t before = clock_boot_ms();
    end_it(f);
    assert_true(clock_boot_ms() - before < 3000);
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_false(st.process_alive);
    assert_string_equal(st.state, "gone");
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 5000, &f->d, NULL, &err), 0);
}

static void boot_lets_it_run(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct vmm_status st = {0};
    launch_ok(f);
    if (vmm_qemu.boot(&f->ref, f->dirfd, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_string_equal(st.state, "running");
    assert_int_equal(vmm_qemu.shutdown(&f->ref, f->dirfd, &f->d, &err), 0);
    bool graceful = true;
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 200, &f->d, &graceful, &err), 0);
    assert_false(graceful); /* this kernel only halts */
    assert_false(proc_alive(&f->ref.proc));
}

/* The VMM is alone in a session, so a terminal's Ctrl-C can't reach it; its logs are private. */
static void stands_apart(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    launch_ok(f);
    assert_int_equal(getsid(f->ref.proc.pid), f->ref.proc.pid);
    assert_int_equal(fstatat(f->dirfd, VMM_LOG, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fstatat(f->dirfd, VMM_CONSOLE_LOG, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    end_it(f);
}

static void unwritten_record_runs_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    struct vmm_ref ref;
    assert_int_equal(vmm_qemu.launch(&f->spec, &ref, refuse_started, f, &f->d, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.msg, "write the record"));
    assert_int_equal(f->started, 1);
    assert_false(proc_alive(&f->ref.proc));
    assert_int_equal(fstatat(f->dirfd, VMM_LOG, &st, 0), 0);
    assert_int_equal(st.st_size, 0);
}

static void expect_failure(struct fixture *f, enum err_kind kind, const char *word)
{
    struct error err = ERROR_INIT;
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, on_started, f, &f->d, &err), -1);
    if (err.kind != kind || !strstr(err.msg, word))
        fail_msg("kind %s: %s", error_kind_name(err.kind), err.msg);
    assert_false(f->ref.proc.pid > 0 && proc_alive(&f->ref.proc));
}

static void missing_kernel_is_named(void **state)
{
    struct fixture *f = *state;
    f->spec.kernel = "no-such-kernel";
    expect_failure(f, ERR_VMM, "no-such-kernel");
}

static void missing_drive_is_named(void **state)
{
    struct fixture *f = *state;
    f->spec.drives[1].path = "no-such-drive";
    expect_failure(f, ERR_VMM, "no-such-drive");
}

static void missing_binary_is_named(void **state)
{
    struct fixture *f = *state;
    f->spec.binary = "/no/such/qemu";
    expect_failure(f, ERR_ENV, "/no/such/qemu");
}

static void accel_is_never_guessed(void **state)
{
    struct fixture *f = *state;
    f->spec.accel = "";
    expect_failure(f, ERR_CONFIG, "accel");
    f->spec.accel = "hax";
    expect_failure(f, ERR_CONFIG, "hax");
    assert_int_equal(f->started, 0);
}

static void passed_deadline_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct deadline now = deadline_in_ms(0);
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, on_started, f, &now, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_false(proc_alive(&f->ref.proc));
}

static void probe_tells_version(void **state)
{
    struct fixture *f = *state;
    char version[64];
    struct error err = ERROR_INIT;
    assert_int_equal(vmm_qemu.probe(QEMU, &f->d, version, sizeof version, &err), 0);
    assert_true(version[0] >= '1' && version[0] <= '9');
    assert_int_equal(vmm_firecracker.probe(QEMU, &f->d, version, sizeof version, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    error_clear(&err);
    assert_int_equal(vmm_qemu.probe("/no/such/qemu", &f->d, version, sizeof version, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(launches_paused_and_ends),
        T(boot_lets_it_run),
        T(stands_apart),
        T(unwritten_record_runs_nothing),
        T(missing_kernel_is_named),
        T(missing_drive_is_named),
        T(missing_binary_is_named),
        T(accel_is_never_guessed),
        T(passed_deadline_leaves_nothing),
        T(probe_tells_version),
    };
    if (access(QEMU, X_OK) < 0 && missing("qemu-system-x86"))
        return 0;
    if (unshare(CLONE_NEWNET) < 0 && missing("the right to make a network namespace"))
        return 0;
    if (make_tap("tap0") < 0 && missing("/dev/net/tun"))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
