/* access_test.c: owners, modes, links, paths into the repository, and files that are exchanged
 * while they are read: none of them makes the configuration say what was not allowed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/keys.h"
#include "config/source.h"
#include "config/trust.h"
#include "testutil/config_dir.h"

#define STRANGER 65534

/* Giving files away takes root. In CI that is not optional. */
static void need_root(void)
{
    if (geteuid() == 0)
        return;
    if (getenv("CI"))
        fail_msg("this test needs root");
    skip();
}

#define HOSTILE "firecracker:\n  cpus: 2\n  binary: /opt/a/firecracker\n"
#define CHANGED "firecracker:\n  cpus: 2\n  binary: /opt/b/firecracker\n"

/* ---- whose file it is ---- */

static void test_repo_file_of_stranger(void **state)
{
    struct config_dir *d = *state;
    need_root();
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chown(config_dir_path(d, REPO_FILE), STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
    config_dir_trust_repo(d);
    config_dir_expect_cpus(d, 2);
}

static void test_repo_file_writable(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chmod(config_dir_path(d, REPO_FILE), 0664), 0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(chmod(config_dir_path(d, REPO_FILE), 0666), 0);
    assert_int_equal(config_dir_refused(d, "can be written by anybody"), ERR_TRUST);
}

/* The user's own repository, worked on through sudo. */
static void test_sudo(void **state)
{
    struct config_dir *d = *state;
    need_root();
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chown(config_dir_path(d, REPO_FILE), STRANGER, STRANGER), 0);
    config_dir_setenv(d, "SUDO_UID=65534");
    config_dir_expect_cpus(d, 2);
}

static void test_trusted_files_of_stranger(void **state)
{
    struct config_dir *d = *state;
    static const char *const files[] = {SYS_FILE, USER_FILE};
    need_root();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config_dir_write(d, files[i], "firecracker: {cpus: 2}\n");
        config_dir_expect_cpus(d, 2);
        assert_int_equal(chown(config_dir_path(d, files[i]), STRANGER, STRANGER), 0);
        assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
        assert_int_equal(unlink(config_dir_path(d, files[i])), 0);
    }
    config_dir_write(d, USER_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chown(config_dir_path(d, "home"), STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "/home is owned by uid 65534"), ERR_TRUST);
}

static void test_trusted_files_writable(void **state)
{
    struct config_dir *d = *state;
    static const char *const files[] = {SYS_FILE, USER_FILE};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config_dir_write(d, files[i], "firecracker: {cpus: 2}\n");
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0664), 0);
        assert_int_equal(config_dir_refused(d, "next: read it, then chmod go-w '/"), ERR_TRUST);
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0646), 0);
        assert_int_equal(config_dir_refused(d, "next: read it, then chmod go-w"), ERR_TRUST);
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0644), 0);
        config_dir_expect_cpus(d, 2);
    }
    assert_int_equal(chmod(config_dir_path(d, "home"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "is writable by everybody; next: chmod go-w /"),
                     ERR_TRUST);
    assert_int_equal(chmod(config_dir_path(d, "home"), 01777), 0);
    config_dir_expect_cpus(d, 2);
}

static void test_user_file_links(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, "out/mine.yaml", "firecracker: {cpus: 2}\n");
    assert_int_equal(symlink(config_dir_path(d, "out/mine.yaml"), config_dir_path(d, USER_FILE)),
                     0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(chmod(config_dir_path(d, "out"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "is writable by everybody; next: chmod go-w /"),
                     ERR_TRUST);
    assert_int_equal(unlink(config_dir_path(d, USER_FILE)), 0);

    config_dir_write(d, "repo/theirs.yaml", "vmm: qemu\n");
    assert_int_equal(symlink(config_dir_path(d, "repo/theirs.yaml"), config_dir_path(d, USER_FILE)),
                     0);
    assert_int_equal(config_dir_refused(d, "leads into the repository"), ERR_TRUST);
    assert_int_equal(unlink(config_dir_path(d, USER_FILE)), 0);

    assert_int_equal(symlink("/nowhere/at/all", config_dir_path(d, USER_FILE)), 0);
    assert_int_equal(config_dir_refused(d, "leads nowhere"), ERR_CONFIG);
}

/* A link that another user could make or replace leads wherever they like, for example to a file of
 * our own that is no configuration. The path counts as it is written. */
static void test_way_of_strangers(void **state)
{
    struct config_dir *d = *state;
    char link[PATH_MAX], second[PATH_MAX];
    need_root();
    (void)str_copy(link, sizeof link, config_dir_path(d, "home/.config"));
    (void)str_copy(second, sizeof second, config_dir_path(d, "out/second"));
    config_dir_write(d, "out/elsewhere/crabbox-fc/config.yaml", "firecracker: {cpus: 2}\n");
    assert_int_equal(rmdir(config_dir_path(d, "home/.config/crabbox-fc")), 0);
    assert_int_equal(rmdir(link), 0);
    assert_int_equal(symlink("../out/../out/./elsewhere", link), 0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(lchown(link, STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "home/.config is owned by uid 65534"), ERR_TRUST);
    assert_int_equal(lchown(link, 0, 0), 0);
    assert_int_equal(chmod(config_dir_path(d, "home"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "is writable by everybody; next: chmod go-w /"),
                     ERR_TRUST);
    assert_int_equal(chmod(config_dir_path(d, "home"), 01777), 0);
    config_dir_expect_cpus(d, 2);

    /* Of several links each counts, and a circle ends. */
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(second, link), 0);
    assert_int_equal(symlink("elsewhere", second), 0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(lchown(second, STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "out/second is owned by uid 65534"), ERR_TRUST);
    assert_int_equal(unlink(second), 0);
    assert_int_equal(symlink(second, second), 0);
    assert_int_equal(config_dir_refused(d, "config.yaml"), ERR_CONFIG);
}

/* ---- paths into the repository ---- */

static void test_paths_into_repo(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    char text[PATH_MAX + 64];
    const char *const leads[] = {"repo/vmlinux", "repo/not/there/yet", "out/link/vmlinux",
                                 "out/../repo/vmlinux", "repo/tools/vmlinux"};
    config_dir_write(d, "repo/vmlinux", "x");
    assert_int_equal(symlink(config_dir_path(d, "repo"), config_dir_path(d, "out/link")), 0);
    /* Where it leads today, the repository's next version may change. */
    assert_int_equal(symlink("/usr/lib", config_dir_path(d, "repo/tools")), 0);
    for (size_t i = 0; i < ARRAY_LEN(leads); i++) {
        (void)str_format(text, sizeof text, "firecracker: {kernel: %s}\n",
                         config_dir_path(d, leads[i]));
        config_dir_write(d, USER_FILE, text);
        assert_int_equal(config_dir_refused(d, "leads into the repository"), ERR_TRUST);
    }
    /* A neighbour whose name starts like the repository's is another place. */
    (void)str_format(text, sizeof text, "firecracker: {kernel: %s}\n",
                     config_dir_path(d, "repository/vmlinux"));
    config_dir_write(d, USER_FILE, text);
    config_dir_load_ok(d, NULL, 0, &cfg);
    config_free(&cfg);
    /* The trusted content of the repository's own file does not cover the rest of it. */
    config_dir_write(d, USER_FILE, "");
    (void)str_format(text, sizeof text, "firecracker: {kernel: %s}\n",
                     config_dir_path(d, "repo/vmlinux"));
    config_dir_write(d, REPO_FILE, text);
    config_dir_trust_repo(d);
    assert_int_equal(config_dir_refused(d, "leads into the repository"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "");
    /* A flag is the user's own word for this call. */
    const struct config_flag flag = {"firecracker.kernel", "vmlinux", "--firecracker-kernel"};
    assert_int_equal(config_dir_load(d, &flag, 1, &cfg, &err), 0);
    assert_string_equal(cfg.firecracker.kernel, config_dir_path(d, "repo/vmlinux"));
    config_free(&cfg);
}

/* Without a .git the archive around the working directory is what came with the code. */
static void test_paths_into_an_archive(void **state)
{
    struct config_dir *d = *state;
    struct config_dir away; /* another one's home is in no archive of this one's */
    const char *const files[] = {SYS_FILE, "arc/sub/.crabbox-fc.yaml"};
    _cleanup_free_ char *text = xasprintf("firecracker: {cpus: 2}\nqemu: {binary: %s}\n",
                                          config_dir_path(d, "arc/bin/q"));
    config_dir_make(&away);
    free(d->env[0]);
    d->env[0] = xasprintf("HOME=%s", config_dir_path(&away, "home"));
    config_dir_write(d, "arc/bin/q", "#!/bin/sh\n");
    config_dir_write(d, "arc/sub/file", "");
    config_dir_write(d, SYS_FILE, text);
    config_dir_expect_cpus(d, 2); /* from repo/, beside it */
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "arc/sub"));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct error err = ERROR_INIT;
        struct trust_report r = TRUST_REPORT_INIT;
        config_dir_write(d, files[i], text);
        if (i > 0)
            assert_int_equal(
                trust_add(config_dir_envp(d), config_dir_path(d, files[i]), NULL, &r, &err), 0);
        strbuf_free(&r.keys);
        assert_int_equal(config_dir_refused(d, "whose content trust does not cover"), ERR_TRUST);
        assert_int_equal(unlink(config_dir_path(d, files[i])), 0);
    }
    config_dir_remove(&away);
}

/* PATH may not find the program in the repository, nor wherever one happens to stand. */
static void test_path_into_repo(void **state)
{
    struct config_dir *d = *state;
    char path[PATH_MAX];
    config_dir_write(d, "repo/bin/firecracker", "#!/bin/sh\n");
    assert_int_equal(chmod(config_dir_path(d, "repo/bin/firecracker"), 0755), 0);
    (void)str_format(path, sizeof path, "PATH=/nonexistent:%s", config_dir_path(d, "repo/bin"));
    free(d->env[1]);
    d->env[1] = xstrdup(path);
    assert_int_equal(config_dir_refused(d, "firecracker.binary: PATH finds"), ERR_TRUST);
    /* A directory outside that comes first is what would be run. */
    config_dir_write(d, "out/firecracker", "#!/bin/sh\n");
    assert_int_equal(chmod(config_dir_path(d, "out/firecracker"), 0755), 0);
    (void)str_format(path, sizeof path, "PATH=%s:%s", config_dir_path(d, "out"),
                     config_dir_path(d, "repo/bin"));
    free(d->env[1]);
    d->env[1] = xstrdup(path);
    config_dir_expect_cpus(d, 4);
}

static void test_path_relative(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *before = get_current_dir_name();
    config_dir_write(d, "out/firecracker", "#!/bin/sh\n");
    assert_int_equal(chmod(config_dir_path(d, "out/firecracker"), 0755), 0);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "out")); /* and no repository */
    assert_int_equal(chdir(d->cwd), 0);
    free(d->env[1]);
    d->env[1] = xstrdup("PATH=:/nonexistent");
    enum err_kind kind = config_dir_refused(d,
                                            "may have come with the code that you are working on");
    /* Without PATH the system's directories are meant, not the working directory. */
    free(d->env[1]);
    d->env[1] = xstrdup("NO_PATH=");
    config_dir_expect_cpus(d, 4);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(kind, ERR_TRUST);
}

/* ---- races ---- */

/* Whoever owns a directory above ours puts another project, which is trusted, in its place: we
 * still stand in his tree. */
static void exchange(const struct config_dir *d)
{
    assert_int_equal(rename(config_dir_path(d, "his"), config_dir_path(d, "moved")), 0);
    assert_int_equal(symlink(config_dir_path(d, "mine"), config_dir_path(d, "his")), 0);
}

static void stand_in(struct config_dir *d, const char *rel)
{
    assert_int_equal(chdir(config_dir_path(d, rel)), 0);
    (void)str_copy(d->cwd, sizeof d->cwd, ".");
}

static void test_exchanged_above(void **state)
{
    struct config_dir *d = *state;
    struct trust_report r = TRUST_REPORT_INIT;
    struct error err = ERROR_INIT;
    struct config cfg;
    char found[PATH_MAX];
    _cleanup_free_ char *before = get_current_dir_name();
    config_dir_write(d, "his/repo/.git/HEAD", "");
    config_dir_write(d, "his/repo/sub/x", "");
    config_dir_write(d, "mine/repo/.git/HEAD", "");
    config_dir_write(d, "mine/repo/sub/x", "");
    config_dir_write(d, "mine/repo/.crabbox-fc.yaml", "firecracker: {cpus: 8}\n");
    const char *mine = config_dir_path(d, "mine/repo/.crabbox-fc.yaml");
    assert_int_equal(trust_add(config_dir_envp(d), mine, NULL, &r, &err), 0);
    strbuf_free(&r.keys);
    stand_in(d, "his/repo/sub");
    exchange(d);
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, 4);
    assert_string_equal(config_repo_root(&cfg), config_dir_path(d, "moved/repo"));
    config_free(&cfg);
    assert_int_equal(trust_find(".", NULL, found, &err), -1);
    /* His own file is his, under the name that it has now. */
    config_dir_write(d, "moved/repo/.crabbox-fc.yaml", "firecracker: {cpus: 8}\n");
    assert_int_equal(config_dir_refused(d, config_dir_path(d, "moved/repo/.crabbox-fc.yaml")),
                     ERR_TRUST);
    assert_int_equal(trust_find(".", NULL, found, &err), 0);
    assert_string_equal(found, config_dir_path(d, "moved/repo/.crabbox-fc.yaml"));
    assert_int_equal(chdir(before), 0);
}

/* The same while it is looked for. */
static void test_exchanged_meanwhile(void **state)
{
    struct config_dir *d = *state;
    struct trust_report r = TRUST_REPORT_INIT;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *before = get_current_dir_name();
    config_dir_write(d, "his/repo/.git/HEAD", "");
    config_dir_write(d, "mine/repo/.git/HEAD", "");
    config_dir_write(d, "mine/repo/.crabbox-fc.yaml", "firecracker: {cpus: 8}\n");
    const char *mine = config_dir_path(d, "mine/repo/.crabbox-fc.yaml");
    assert_int_equal(trust_add(config_dir_envp(d), mine, NULL, &r, &err), 0);
    strbuf_free(&r.keys);
    stand_in(d, "his/repo");
    assert_int_equal(symlink("mine", config_dir_path(d, "link")), 0);
    const char *his = config_dir_path(d, "his"), *link = config_dir_path(d, "link");
    pid_t pid = fork();
    assert_true(pid >= 0);
    while (pid == 0)
        (void)renameat2(AT_FDCWD, his, AT_FDCWD, link, RENAME_EXCHANGE);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 2000; i++) {
        struct config cfg;
        config_dir_load_ok(d, NULL, 0, &cfg);
        wrong += cfg.firecracker.cpus != 4;
        config_free(&cfg);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(wrong, 0);
}

/* Between finding the file and reading it. */
static void test_exchanged_between(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct source_repo repo;
    struct source_file f = SOURCE_FILE_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    _cleanup_free_ char *before = get_current_dir_name();
    config_dir_write(d, "his/.crabbox-fc.yaml", HOSTILE);
    config_dir_write(d, "mine/.crabbox-fc.yaml", CHANGED);
    stand_in(d, "his");
    assert_int_equal(source_find_repo(".", &repo, &err), 0);
    assert_string_equal(repo.file, config_dir_path(d, "his/.crabbox-fc.yaml"));
    exchange(d);
    assert_int_equal(source_read_repo(repo.dir_fd, repo.file, config_dir_envp(d), &f, &err), 0);
    assert_string_equal(f.text.buf, HOSTILE);
    strbuf_free(&f.text);
    /* Trust is for what lies at the path, not for what somebody's link leads to. */
    assert_int_equal(trust_add(config_dir_envp(d), repo.file, NULL, &r, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_non_null(strstr(err.msg, "moved or replaced"));
    source_repo_free(&repo);
    assert_int_equal(chdir(before), 0);
}

/* What was read is what counts: hash and text come from one descriptor. */
static void test_snapshot(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct source_file f = SOURCE_FILE_INIT;
    char sha256[SHA256_HEX_SIZE];
    config_dir_write(d, REPO_FILE, HOSTILE);
    assert_int_equal(
        source_read(SRC_REPO, config_dir_path(d, REPO_FILE), d->cwd, config_dir_envp(d), &f, &err),
        0);
    config_dir_write(d, REPO_FILE, CHANGED);
    assert_int_equal(sha256_bytes(f.text.buf, f.text.len, sha256, &err), 0);
    assert_string_equal(sha256, f.sha256);
    assert_string_equal(f.text.buf, HOSTILE);
    strbuf_free(&f.text);
}

/* Exchanges the file as fast as it can until killed. */
static pid_t start_flipping(const struct config_dir *d)
{
    config_dir_write(d, "repo/good", HOSTILE);
    config_dir_write(d, "repo/bad", CHANGED);
    const char *good = config_dir_path(d, "repo/good"), *bad = config_dir_path(d, "repo/bad");
    const char *file = config_dir_path(d, REPO_FILE), *tmp = config_dir_path(d, "repo/tmp");
    pid_t pid = fork();
    assert_true(pid >= 0);
    for (bool turn = false; pid == 0; turn = !turn)
        if (link(turn ? good : bad, tmp) < 0 || rename(tmp, file) < 0)
            _exit(1);
    return pid;
}

static void test_race(void **state)
{
    struct config_dir *d = *state;
    unsigned trusted = 0, refused = 0;
    config_dir_write(d, REPO_FILE, HOSTILE);
    config_dir_trust_repo(d);
    pid_t pid = start_flipping(d);
    for (unsigned i = 0; i < 20000 && (i < 500 || !trusted || !refused); i++) {
        struct config cfg;
        struct error err = ERROR_INIT;
        if (config_dir_load(d, NULL, 0, &cfg, &err) < 0) {
            assert_int_equal(err.kind, ERR_TRUST);
            refused++;
            continue;
        }
        assert_string_equal(cfg.firecracker.binary, "/opt/a/firecracker");
        config_free(&cfg);
        trusted++;
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(trusted > 0);
    assert_true(refused > 0);
}

/* Several processes trust at once: no entry is lost. */
static void test_concurrent_add(void **state)
{
    struct config_dir *d = *state;
    enum { N = 8 };
    pid_t pids[N];
    char rel[N][64];
    struct trust_store s;
    struct error err = ERROR_INIT;
    for (int i = 0; i < N; i++) {
        (void)str_format(rel[i], sizeof rel[i], "r%d/.crabbox-fc.yaml", i);
        config_dir_write(d, rel[i], HOSTILE);
    }
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        struct trust_report r = TRUST_REPORT_INIT;
        if (pids[i] == 0)
            _exit(trust_add(config_dir_envp(d), config_dir_path(d, rel[i]), NULL, &r, &err) < 0);
    }
    for (int i = 0; i < N; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(trust_list(config_dir_envp(d), &s, &err), 0);
    assert_int_equal(s.n, N);
    trust_store_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_DIR_TEST(test_repo_file_of_stranger),
        CONFIG_DIR_TEST(test_repo_file_writable),
        CONFIG_DIR_TEST(test_sudo),
        CONFIG_DIR_TEST(test_trusted_files_of_stranger),
        CONFIG_DIR_TEST(test_trusted_files_writable),
        CONFIG_DIR_TEST(test_user_file_links),
        CONFIG_DIR_TEST(test_way_of_strangers),
        CONFIG_DIR_TEST(test_paths_into_repo),
        CONFIG_DIR_TEST(test_paths_into_an_archive),
        CONFIG_DIR_TEST(test_path_into_repo),
        CONFIG_DIR_TEST(test_path_relative),
        CONFIG_DIR_TEST(test_exchanged_above),
        CONFIG_DIR_TEST(test_exchanged_meanwhile),
        CONFIG_DIR_TEST(test_exchanged_between),
        CONFIG_DIR_TEST(test_snapshot),
        CONFIG_DIR_TEST(test_race),
        CONFIG_DIR_TEST(test_concurrent_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
