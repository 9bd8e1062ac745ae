/* image_load over whole image directories and stock pairs: the good ones load, and each broken one
 * fails with a message that names the file, the reason and the next step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "image/manifest.h"
#include "sys/file.h"
#include "testutil/scratch.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GOOD                                                                                       \
    "{\"schema\":1,\"name\":\"default\",\"kernel\":\"vmlinux\",\"initrd\":\"initrd.cpio\","        \
    "\"rootfs\":\"rootfs.ext4\",\"rootfsType\":\"ext4\",\"kernelRelease\":\"6.1.0-test\","         \
    "\"init\":\"crabbox-init\",\"sha256\":{\"vmlinux\":\"" HASH "\",\"initrd.cpio\":\"" HASH       \
    "\",\"rootfs.ext4\":\"" HASH "\"}}"

static char kernel[PATH_MAX], rootfs[PATH_MAX];
static void put(const char *name, const void *data, size_t len)
{
    struct error err = ERROR_INIT;
    must(dir_remove_tree(scratch_fd, name, &err), &err);
    must(file_write_new(scratch_fd, name, data, len, 0600, &err), &err);
}

static void put_kernel(uint16_t machine)
{
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph;
    } k = {
        .eh = {.e_type = ET_EXEC,
               .e_machine = machine,
               .e_phoff = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 1},
        .ph = {.p_type = PT_LOAD, .p_filesz = sizeof k},
    };
    memcpy(k.eh.e_ident, ELFMAG, SELFMAG);
    k.eh.e_ident[EI_CLASS] = ELFCLASS64;
    k.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    put("vmlinux", &k, sizeof k);
}

/* A good image directory. */
static int fresh(void **state)
{
    struct error err = ERROR_INIT;
    (void)scratch_open(state);
    (void)str_format(kernel, sizeof kernel, "%s/vmlinux", scratch_dir);
    (void)str_format(rootfs, sizeof rootfs, "%s/rootfs.ext4", scratch_dir);
    put_kernel(EM_X86_64);
    put("initrd.cpio", "070701", 6);
    put(MANIFEST_NAME, GOOD, strlen(GOOD));
    must(image_make_disk(scratch_fd, "rootfs.ext4", 64, "root", &err), &err);
    return 0;
}

static struct config config_of(const char *image_dir, const char *k, const char *r)
{
    struct config cfg = {0};
    cfg.image.dir = image_dir;
    cfg.firecracker.kernel = k;
    cfg.firecracker.rootfs = r;
    cfg.pin.kernel = cfg.pin.initrd = cfg.pin.rootfs = "";
    return cfg;
}

/* Each says what to do. */
static void load_fails_as(enum err_kind kind, const struct config *cfg, const char *file,
                          const char *reason)
{
    struct error err = ERROR_INIT;
    struct image img = {.kind = IMAGE_STOCK, .dir = "untouched"};
    size_t len;
    assert_int_equal(image_load(cfg, &img, &err), -1);
    assert_int_equal(err.kind, kind);
    assert_non_null(error_next(&err, &len));
    assert_string_equal(img.dir, "untouched");
    if (!strstr(err.msg, file) || !strstr(err.msg, reason))
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", err.msg, file, reason);
}

static void load_fails(const struct config *cfg, const char *file, const char *reason)
{
    load_fails_as(ERR_CONFIG, cfg, file, reason);
}

static void ours_lacks(const char *file, const char *reason)
{
    struct config cfg = config_of(scratch_dir, "", "");
    load_fails_as(ERR_ENV, &cfg, file, reason);
}

static void ours_fails(const char *file, const char *reason)
{
    struct config cfg = config_of(scratch_dir, "", "");
    load_fails(&cfg, file, reason);
}

static void test_ours(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct config cfg = config_of(scratch_dir, "", "");
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    must(image_load(&cfg, &img, &err), &err);
    assert_int_equal(img.kind, IMAGE_OURS);
    assert_string_equal(img.dir, scratch_dir);
    assert_string_equal(img.kernel, kernel);
    assert_string_equal(img.rootfs, rootfs);
    assert_true(str_has_suffix(img.initrd, "/initrd.cpio"));
    assert_string_equal(img.rootfs_type, "ext4");
    assert_string_equal(img.kernel_release, "6.1.0-test");
    assert_string_equal(img.pins[IMAGE_KERNEL].sha256, HASH);
    assert_string_equal(img.pins[IMAGE_ROOTFS].sha256, HASH);
    assert_false(img.kernel_pvh);
}

static void test_stock(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct config cfg = config_of("", kernel, rootfs);
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    must(image_load(&cfg, &img, &err), &err);
    assert_int_equal(img.kind, IMAGE_STOCK);
    assert_string_equal(img.initrd, "");
    assert_string_equal(img.pins[IMAGE_ROOTFS].sha256, "");
    assert_string_equal(img.rootfs_type, "ext4");
}

#define OTHER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* The configuration pins a stock image, and may repeat what a manifest says, but not contradict. */
static void test_pins_of_the_configuration(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct config cfg = config_of("", kernel, rootfs);
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    cfg.pin.kernel = OTHER;
    must(image_load(&cfg, &img, &err), &err);
    assert_string_equal(img.pins[IMAGE_KERNEL].sha256, OTHER);
    assert_int_equal(image_check_pins(&img, -1, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "the pin is " OTHER));

    error_clear(&err);
    image_close(&img);
    cfg = config_of("", kernel, rootfs);
    cfg.pin.initrd = OTHER;
    assert_int_equal(image_load(&cfg, &img, &err), -1);
    assert_non_null(strstr(err.msg, "pin.initrd is set, but the image has no initrd"));

    error_clear(&err);
    cfg = config_of(scratch_dir, "", "");
    cfg.pin.rootfs = HASH;
    must(image_load(&cfg, &img, &err), &err);
    cfg.pin.rootfs = OTHER;
    assert_int_equal(image_load(&cfg, &img, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "pin.rootfs is " OTHER));
}

static void test_stock_broken(void **state)
{
    (void)state;
    struct config cfg = config_of("", "", "");
    load_fails(&cfg, "firecracker.kernel", "build-image.sh");
    cfg = config_of("", kernel, "");
    load_fails(&cfg, "firecracker.rootfs", "is not");
    cfg = config_of("", "", rootfs);
    load_fails(&cfg, "firecracker.kernel", "is not");
    cfg = config_of("", "/nowhere/vmlinux", rootfs);
    load_fails_as(ERR_ENV, &cfg, "/nowhere/vmlinux", "firecracker.kernel");
    cfg = config_of("", kernel, kernel);
    load_fails(&cfg, kernel, "an ELF file");
    cfg = config_of("", rootfs, rootfs);
    load_fails(&cfg, rootfs, "not a kernel");
    put("rootfs.ext4", "", 0);
    cfg = config_of("", kernel, rootfs);
    load_fails(&cfg, rootfs, "is empty");
}

static void test_directory_broken(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct config cfg = config_of("/nowhere/image", "", "");
    load_fails_as(ERR_ENV, &cfg, "/nowhere/image", "scripts/build-image.sh");
    cfg = config_of(kernel, "", "");
    load_fails(&cfg, kernel, "not a directory");
    must(file_unlink(scratch_fd, MANIFEST_NAME, &err), &err);
    ours_lacks("image.json", "build-image.sh");
    assert_int_equal(symlinkat(MANIFEST_NAME, scratch_fd, MANIFEST_NAME), 0);
    ours_fails(scratch_dir, "image.json");
    must(file_unlink(scratch_fd, MANIFEST_NAME, &err), &err);
    assert_int_equal(mkdirat(scratch_fd, MANIFEST_NAME, 0700), 0);
    ours_fails(scratch_dir, "not a regular file");
    char *huge = xcalloc(1, MANIFEST_MAX + 2);
    memset(huge, ' ', MANIFEST_MAX + 1);
    put(MANIFEST_NAME, huge, MANIFEST_MAX + 1);
    free(huge);
    ours_fails(scratch_dir, "larger than");
}

static void test_files_broken(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    put_kernel(EM_AARCH64);
    ours_fails(kernel, "another machine");
    put("vmlinux", "", 0);
    ours_fails(kernel, "empty");
    put_kernel(EM_X86_64);
    put("initrd.cpio", "", 0);
    ours_fails("initrd.cpio", "empty");
    must(file_unlink(scratch_fd, "initrd.cpio", &err), &err);
    ours_lacks("initrd.cpio", "No such file");
    put("initrd.cpio", "070701", 6);
    assert_int_equal(truncate(rootfs, 32 << 20), 0);
    ours_fails(rootfs, "truncated");
    put("rootfs.ext4", "no filesystem", 13);
    ours_fails(rootfs, "not a known filesystem");
    uint8_t squash[96] = {'h', 's', 'q', 's', [28] = 4, [40] = 96};
    put("rootfs.ext4", squash, sizeof squash);
    ours_fails(rootfs, "says ext4");
}

/* A journal that wants replay: fine for a private clone, not for a shared read-only root. */
static void test_unclean_root(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    uint8_t incompat = 0;
    _cleanup_close_ int fd = openat(scratch_fd, "rootfs.ext4", O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &incompat, 1, 1024 + 0x60), 1);
    incompat |= 4;
    assert_int_equal(pwrite(fd, &incompat, 1, 1024 + 0x60), 1);
    ours_fails(rootfs, "next: e2fsck -f '/");
    struct config cfg = config_of("", kernel, rootfs);
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    must(image_load(&cfg, &img, &err), &err);
}

/* Between the check and the use anybody who owns the directory may put another file there. */
static void test_a_file_put_in_its_place_is_not_used(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct config cfg = config_of("", kernel, rootfs);
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    enum clone_how how;
    must(image_load(&cfg, &img, &err), &err);
    must(image_check_pins(&img, -1, NULL, &err), &err);
    put("rootfs.ext4", "root:x:0:0", 10);
    must(image_clone(img.fds[IMAGE_ROOTFS], rootfs, scratch_fd, "clone", 0, NULL, &how, &err),
         &err);
    uint8_t magic[2] = {0};
    _cleanup_close_ int clone = openat(scratch_fd, "clone", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(clone, magic, 2, 1024 + 0x38), 2);
    assert_true(magic[0] == 0x53 && magic[1] == 0xef);
    _cleanup_close_ int again = open(img.open_at[IMAGE_ROOTFS], O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(again, magic, 2, 1024 + 0x38), 2);
    assert_true(magic[0] == 0x53 && magic[1] == 0xef);
}

/* A link of a working tree could lead to any file that root may read. */
static void test_no_link_of_a_tree_is_followed(void **state)
{
    (void)state;
    static const char *const links[] = {"rootfs.ext4", "vmlinux"};
    struct config ours = config_of(scratch_dir, "", "");
    struct config stock = config_of("", kernel, rootfs);
    assert_int_equal(mkdirat(scratch_fd, ".git", 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        assert_int_equal(renameat(scratch_fd, links[i], scratch_fd, "moved"), 0);
        assert_int_equal(symlinkat("moved", scratch_fd, links[i]), 0);
        for (int k = 0; k < 2; k++) {
            struct error err = ERROR_INIT;
            _cleanup_(image_close) struct image img = IMAGE_INIT;
            assert_int_equal(image_load(k ? &stock : &ours, &img, &err), -1);
            assert_int_equal(err.kind, ERR_USAGE);
            assert_non_null(strstr(err.msg, "is a symbolic link in the working tree"));
        }
        assert_int_equal(renameat(scratch_fd, "moved", scratch_fd, links[i]), 0);
    }
}

/* The manifest alone: one change each to the good one. */
static void test_manifest(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\"schema\":1", "\"schema\":2", "schema 2"},
        {"\"schema\":1", "\"schema\":\"1\"", "schema"},
        {"\"schema\":1,", "", "schema"},
        {"\"schema\":1", "\"schema\":1,\"kernell\":1", "did you mean \"kernel\""},
        {"\"schema\":1", "\"schema\":1,\"schema\":1", "twice"},
        {"\"vmlinux\",", "\"../vmlinux\",", "kernel"},
        {"\"vmlinux\",", "\"..\",", "plain name"},
        {"\"vmlinux\",", "\"a\\nb\",", "plain name"},
        {"\"vmlinux\",", "\"\",", "plain name"},
        {"\"vmlinux\",", "7,", "kernel"},
        {"\"vmlinux\",", "\"initrd.cpio\",", "same file"},
        {"\"name\":\"default\"", "\"name\":null", "name"},
        {"\"rootfsType\":\"ext4\",", "", "rootfsType"},
        {"\"schema\":1", "\"schema\":1,\"distribution\":7", "distribution"},
        {"\"vmlinux\":\"0", "\"vmlinux\":\"X", "64 lower-case hex"},
        {"\"vmlinux\":\"01", "\"vmlinux\":\"1", "64 lower-case hex"},
        {"{\"vmlinux\"", "{\"vmlinuz\"", "sha256 of the kernel"},
        {"{\"vmlinux\"", "{\"more\":\"x\",\"vmlinux\"", "beyond"},
        {"}}", "}", "not valid JSON"},
        {"}}", "}}x", "after"},
    };
    struct manifest m;
    struct error err = ERROR_INIT;
    must(image_manifest_parse(GOOD, strlen(GOOD), "image.json", &m, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        const char *at = strstr(GOOD, cases[i].from);
        assert_non_null(at);
        strbuf_add(&text, GOOD, (size_t)(at - GOOD));
        strbuf_adds(&text, cases[i].to);
        strbuf_adds(&text, at + strlen(cases[i].from));
        error_clear(&err);
        assert_int_equal(image_manifest_parse(text.buf, text.len, "/i/image.json", &m, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        if (!strstr(err.msg, cases[i].words) || !strstr(err.msg, "/i/image.json"))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.msg, cases[i].words);
    }
    error_clear(&err);
    assert_int_equal(image_manifest_parse("[]", 2, "image.json", &m, &err), -1);
    assert_int_equal(image_manifest_parse("", 0, "image.json", &m, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ours, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_stock, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_pins_of_the_configuration, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_stock_broken, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_directory_broken, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_files_broken, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_unclean_root, fresh, scratch_close),
        cmocka_unit_test_setup_teardown(test_a_file_put_in_its_place_is_not_used, fresh,
                                        scratch_close),
        cmocka_unit_test_setup_teardown(test_no_link_of_a_tree_is_followed, fresh, scratch_close),
        cmocka_unit_test(test_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
