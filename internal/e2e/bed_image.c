#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "e2e/bed_internal.h"
#include "image/image.h"
#include "sys/file.h"
#include "sys/hash.h"

#define PVH_NOTE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

/* A kernel as far as its headers go: x86-64, one segment, the note that QEMU looks for. */
struct fake_kernel {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
    struct {
        Elf64_Nhdr nh;
        char name[4];
        uint32_t entry;
        uint32_t pad;
    } note;
    char code[64];
};

static void make_kernel(struct fake_kernel *k)
{
    *k = (struct fake_kernel){
        .eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
               .e_type = ET_EXEC,
               .e_machine = EM_X86_64,
               .e_version = EV_CURRENT,
               .e_entry = 0x1000000,
               .e_phoff = offsetof(struct fake_kernel, ph),
               .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 2},
        .ph = {{.p_type = PT_LOAD,
                .p_flags = PF_R | PF_X,
                .p_offset = offsetof(struct fake_kernel, code),
                .p_vaddr = 0x1000000,
                .p_paddr = 0x1000000,
                .p_filesz = sizeof k->code,
                .p_memsz = sizeof k->code},
               {.p_type = PT_NOTE,
                .p_flags = PF_R,
                .p_offset = offsetof(struct fake_kernel, note),
                .p_filesz = sizeof k->note,
                .p_memsz = sizeof k->note,
                .p_align = 4}},
        .note = {.nh = {.n_namesz = 4, .n_descsz = 8, .n_type = PVH_NOTE}, .entry = 0x1000000},
    };
    memcpy(k->note.name, "Xen", 4);
}

static int add_hash(cJSON *hashes, int dirfd, const char *name, struct error *err)
{
    char hex[SHA256_HEX_SIZE];
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open %s", name);
    if (sha256_fd(fd, name, NULL, hex, err) < 0)
        return -1;
    cJSON_AddStringToObject(hashes, name, hex);
    return 0;
}

static int write_manifest(int dirfd, struct error *err)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "schema", 1);
    cJSON_AddStringToObject(j, "name", "bed");
    cJSON_AddStringToObject(j, "kernel", "vmlinux");
    cJSON_AddStringToObject(j, "initrd", "initrd.cpio");
    cJSON_AddStringToObject(j, "rootfs", "rootfs.ext4");
    cJSON_AddStringToObject(j, "rootfsType", "ext4");
    cJSON_AddStringToObject(j, "kernelRelease", "0.0.0-bed");
    cJSON_AddStringToObject(j, "init", "crabbox-init");
    cJSON *hashes = cJSON_AddObjectToObject(j, "sha256");
    if (add_hash(hashes, dirfd, "vmlinux", err) < 0 ||
        add_hash(hashes, dirfd, "initrd.cpio", err) < 0 ||
        add_hash(hashes, dirfd, "rootfs.ext4", err) < 0)
        return -1;
    _cleanup_free_ char *text = json_print(j, true);
    return file_write_new(dirfd, "image.json", text, strlen(text), 0644, err);
}

int bed_make_image(const char *dir, struct error *err)
{
    struct fake_kernel kernel;
    static const char initrd[] = "070701 not really an archive\n";
    _cleanup_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return error_set(err, ERR_IO, errno, "open %s", dir);
    make_kernel(&kernel);
    if (file_write_new(dirfd, "vmlinux", &kernel, sizeof kernel, 0644, err) < 0 ||
        file_write_new(dirfd, "initrd.cpio", initrd, sizeof initrd - 1, 0644, err) < 0 ||
        image_make_disk(dirfd, "rootfs.ext4", 16, "bed-root", err) < 0 ||
        fchmodat(dirfd, "rootfs.ext4", 0644, 0) < 0)
        return -1;
    return write_manifest(dirfd, err);
}
