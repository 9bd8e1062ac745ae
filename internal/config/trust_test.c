/* trust_test.c: what a repository, a link, another user or a race can make the configuration say:
 * nothing that was not allowed. */
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

static int setup(void **state)
{
    static struct config_dir d;
    config_dir_make(&d);
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    config_dir_remove(*state);
    return 0;
}

/* Giving files away takes root. In CI that is not optional. */
static void need_root(void)
{
    if (geteuid() == 0)
        return;
    if (getenv("CI"))
        fail_msg("this test needs root");
    skip();
}

static void load_ok(const struct config_dir *d, struct config *cfg)
{
    struct error err = ERROR_INIT;
    if (config_dir_load(d, NULL, 0, cfg, &err) < 0)
        fail_msg("%s", err.msg);
}

static void expect_cpus(const struct config_dir *d, int64_t cpus)
{
    struct config cfg;
    load_ok(d, &cfg);
    assert_int_equal(cfg.firecracker.cpus, cpus);
    config_free(&cfg);
}

static void trust_repo(const struct config_dir *d)
{
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    if (trust_add(config_dir_envp(d), config_dir_path(d, REPO_FILE), NULL, &r, &err) < 0)
        fail_msg("%s", err.msg);
    strbuf_free(&r.keys);
}

/* ---- hostile repositories ---- */

static void test_hostile_files(void **state)
{
    struct config_dir *d = *state;
    static const struct {
        const char *text, *says;
        enum err_kind kind;
    } rows[] = {
        {"firecracker:\n  cpus: 2\n  binary: /tmp/evil\n",
         ":3:3: firecracker.binary concerns the host", ERR_TRUST},
        {"firecracker:\n  jailer: /tmp/evil\n", ":2:3: firecracker.jailer", ERR_TRUST},
        {"firecracker:\n  kernel: /tmp/evil\n", ":2:3: firecracker.kernel", ERR_TRUST},
        {"firecracker:\n  cniBinDir: /tmp/evil\n", ":2:3: firecracker.cniBinDir", ERR_TRUST},
        {"firecracker: {network: cni}\n", "firecracker.network", ERR_TRUST},
        {"vmm: qemu\nqemu: {accel: tcg}\n", ":1:1: vmm concerns the host", ERR_TRUST},
        {"network: {pool: 10.0.0.0/8}\n", "network.pool", ERR_TRUST},
        {"run: {allowEnv: [CI, AWS_SECRET_ACCESS_KEY]}\n", "run.allowEnv", ERR_TRUST},
        {"firecracker: {user: \"a\\nroot\"}\n", "control character", ERR_CONFIG},
        {"firecracker: {user: -oProxyCommand=id}\n", "not a user name", ERR_CONFIG},
        {"firecracker: {workRoot: /}\n", "the root of the guest", ERR_CONFIG},
        {"firecracker: {workRoot: /etc}\n", "system directory", ERR_CONFIG},
        {"firecracker: {cpus: 1e9}\n", "not a whole number", ERR_CONFIG},
        {"firecracker: {cpus: 1000000000}\n", "more than 32", ERR_CONFIG},
        {"firecracker: {diskMiB: 99999999TiB}\n", "more than 16TiB", ERR_CONFIG},
        {"floor: {locked: [vmm]}\n", "counts only in the system's file", ERR_CONFIG},
        {"a: &a [x]\nb: *a\n", "unknown key", ERR_CONFIG},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        config_dir_write(d, REPO_FILE, rows[i].text);
        assert_int_equal(config_dir_refused(d, rows[i].says), rows[i].kind);
    }
    config_dir_write(d, REPO_FILE, rows[0].text);
    (void)config_dir_refused(d, "nothing of the file was applied");
    (void)config_dir_refused(d, "crabbox-fc trust add '");
}

/* Every key of the table: host keys need trust, the others don't. */
static void test_every_key(void **state)
{
    struct config_dir *d = *state;
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        const char *dot = strchr(key->name, '.');
        const char *value = key->type == CFG_PATH ? "/x"
                            : key->type == CFG_ENUM
                                ? (str_has_prefix(key->choices, "kvm") ? "tcg" : key->fallback)
                            : key->rule == RULE_ENV_NAMES ? "SECRET"
                            : *key->fallback              ? key->fallback
                                                          : "1.1.1.1";
        char text[256];
        if (dot)
            (void)str_format(text, sizeof text, "%.*s:\n  %s: %s\n", (int)(dot - key->name),
                             key->name, dot + 1, value);
        else
            (void)str_format(text, sizeof text, "%s: %s\n", key->name, value);
        config_dir_write(d, REPO_FILE, text);
        if (key->host) {
            assert_int_equal(config_dir_refused(d, key->name), ERR_TRUST);
            continue;
        }
        struct config cfg;
        load_ok(d, &cfg);
        assert_true(str_has_prefix(config_value_source(&cfg, key), "repo:"));
        config_free(&cfg);
    }
}

static void test_tightening(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "run: {allowEnv: [NODE_OPTIONS]}\n");
    load_ok(d, &cfg);
    assert_string_equal(cfg.run.allow_env, "NODE_OPTIONS");
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "run: {allowEnv: []}\n");
    load_ok(d, &cfg);
    assert_string_equal(cfg.run.allow_env, "");
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "run: {allowEnv: [NODE_OPTION]}\n");
    assert_int_equal(config_dir_refused(d, "run.allowEnv"), ERR_TRUST);
}

/* The link's target is never read: no word of it may show up anywhere. */
static void test_repo_symlink(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, "out/secret", "root:$6$hash\n");
    assert_int_equal(symlink(config_dir_path(d, "out/secret"), config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(config_dir_refused(d, "is a symbolic link"), ERR_TRUST);
    struct config cfg;
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    assert_int_equal(config_dir_load(d, NULL, 0, &cfg, &err), -1);
    assert_null(strstr(err.msg, "$6$"));
    assert_int_equal(trust_add(config_dir_envp(d), config_dir_path(d, REPO_FILE), NULL, &r, &err),
                     -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_null(strstr(err.msg, "$6$"));
    assert_int_equal(r.keys.len, 0);
}

static void test_repo_symlink_shadow(void **state)
{
    struct config_dir *d = *state;
    assert_int_equal(symlink("/etc/shadow", config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(config_dir_refused(d, "is a symbolic link"), ERR_TRUST);
    assert_int_equal(unlink(config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(symlink("/nowhere", config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(config_dir_refused(d, "is a symbolic link"), ERR_TRUST);
}

/* A FIFO must not hang, a directory not be read. */
static void test_repo_not_a_file(void **state)
{
    struct config_dir *d = *state;
    assert_int_equal(mkfifo(config_dir_path(d, REPO_FILE), 0644), 0);
    assert_int_equal(config_dir_refused(d, "is not a regular file"), ERR_CONFIG);
    assert_int_equal(unlink(config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(mkdir(config_dir_path(d, REPO_FILE), 0755), 0);
    assert_int_equal(config_dir_refused(d, "is not a regular file"), ERR_CONFIG);
}

/* A .git that is a file (a worktree) or a link ends the search as well. */
static void test_git_file(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    config_dir_write(d, "repo/sub/.git", "gitdir: /x\n");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "repo/sub/deep"));
    expect_cpus(d, 4);
    assert_int_equal(unlink(config_dir_path(d, "repo/sub/.git")), 0);
    expect_cpus(d, 2);
    assert_int_equal(symlink("/nowhere", config_dir_path(d, "repo/sub/.git")), 0);
    expect_cpus(d, 4);
}

/* ---- trusting ---- */

#define HOSTILE "firecracker:\n  cpus: 2\n  binary: /opt/a/firecracker\n"
#define CHANGED "firecracker:\n  cpus: 2\n  binary: /opt/b/firecracker\n"

static void test_trust_roundtrip(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    bool removed;
    config_dir_write(d, REPO_FILE, HOSTILE);
    (void)config_dir_refused(d, "firecracker.binary");
    trust_repo(d);
    load_ok(d, &cfg);
    assert_string_equal(cfg.firecracker.binary, "/opt/a/firecracker");
    assert_int_equal(cfg.firecracker.cpus, 2);
    config_free(&cfg);

    config_dir_write(d, REPO_FILE, CHANGED);
    assert_int_equal(config_dir_refused(d, "firecracker.binary"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, HOSTILE);
    expect_cpus(d, 2);

    /* Trusting the new content forgets the old. */
    config_dir_write(d, REPO_FILE, CHANGED);
    trust_repo(d);
    expect_cpus(d, 2);
    config_dir_write(d, REPO_FILE, HOSTILE);
    (void)config_dir_refused(d, "firecracker.binary");

    config_dir_write(d, REPO_FILE, CHANGED);
    assert_int_equal(
        trust_revoke(config_dir_envp(d), config_dir_path(d, REPO_FILE), &removed, &err), 0);
    assert_true(removed);
    (void)config_dir_refused(d, "firecracker.binary");
    assert_int_equal(
        trust_revoke(config_dir_envp(d), config_dir_path(d, REPO_FILE), &removed, &err), 0);
    assert_false(removed);
}

/* Trust is of a path and a content: the same bytes elsewhere are not trusted. */
static void test_trust_elsewhere(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, REPO_FILE, HOSTILE);
    trust_repo(d);
    config_dir_write(d, "repo/sub/.crabbox-fc.yaml", HOSTILE);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "repo/sub"));
    assert_int_equal(config_dir_refused(d, "firecracker.binary"), ERR_TRUST);
}

/* Through a link to the repository it is the same file. */
static void test_trust_real_path(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    char found[PATH_MAX];
    config_dir_write(d, REPO_FILE, HOSTILE);
    assert_int_equal(symlink("repo", config_dir_path(d, "link")), 0);
    const char *const args[] = {"link", "link/.crabbox-fc.yaml", "repo/sub/..", "repo/"};
    for (size_t i = 0; i < ARRAY_LEN(args); i++) {
        assert_int_equal(trust_find(d->root, args[i], found, &err), 0);
        assert_string_equal(found, config_dir_path(d, REPO_FILE));
    }
    assert_int_equal(trust_find(config_dir_path(d, "repo/sub/deep"), NULL, found, &err), 0);
    assert_string_equal(found, config_dir_path(d, REPO_FILE));
    trust_repo(d);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "link"));
    expect_cpus(d, 2);
}

static void test_trust_find_errors(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    char found[PATH_MAX];
    assert_int_equal(trust_find(d->cwd, NULL, found, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(trust_find(d->cwd, "other.yaml", found, &err), -1);
    assert_non_null(strstr(err.msg, "only files named"));
    /* What is gone can still be named, to be revoked. */
    assert_int_equal(trust_find(d->cwd, "/gone/.crabbox-fc.yaml", found, &err), 0);
    assert_string_equal(found, "/gone/.crabbox-fc.yaml");
}

static void test_trust_add_errors(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    struct trust_store s;
    char shown[SHA256_HEX_SIZE];
    const char *path = config_dir_path(d, REPO_FILE);
    assert_int_equal(trust_add(config_dir_envp(d), path, NULL, &r, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    config_dir_write(d, REPO_FILE, "firecracker: {cpu: 2}\n");
    assert_int_equal(trust_add(config_dir_envp(d), path, NULL, &r, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    config_dir_write(d, REPO_FILE, HOSTILE);
    assert_int_equal(trust_add(config_dir_envp(d), path, "00", &r, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_int_equal(trust_list(config_dir_envp(d), &s, &err), 0);
    assert_int_equal(s.n, 0);
    (void)str_copy(shown, sizeof shown, r.sha256);
    assert_int_equal(trust_add(config_dir_envp(d), path, shown, &r, &err), 0);
    assert_string_equal(r.keys.buf, "firecracker.binary = /opt/a/firecracker (line 3)\n");
    strbuf_free(&r.keys);
}

static void test_trust_list(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_store s;
    config_dir_write(d, REPO_FILE, HOSTILE);
    trust_repo(d);
    assert_int_equal(trust_list(config_dir_envp(d), &s, &err), 0);
    assert_int_equal(s.n, 1);
    assert_string_equal(trust_entry_state(&s.entries[0]), "trusted");
    config_dir_write(d, REPO_FILE, CHANGED);
    assert_string_equal(trust_entry_state(&s.entries[0]), "changed");
    assert_int_equal(unlink(config_dir_path(d, REPO_FILE)), 0);
    assert_string_equal(trust_entry_state(&s.entries[0]), "missing");
    assert_int_equal(symlink("/etc/passwd", config_dir_path(d, REPO_FILE)), 0);
    assert_string_equal(trust_entry_state(&s.entries[0]), "unreadable");
    _cleanup_json_ cJSON *j = trust_list_json(&s);
    assert_string_equal(json_opt_string(cJSON_GetArrayItem(j, 0), "state", ""), "unreadable");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    trust_list_text(&s, &text);
    assert_non_null(strstr(text.buf, config_dir_path(d, REPO_FILE)));
    trust_store_free(&s);
}

/* ---- a store that can't be believed ---- */

#define STORE "home/.config/crabbox-fc/trust.json"

static void test_broken_store(void **state)
{
    struct config_dir *d = *state;
    static const char *const broken[] = {"",
                                         "{",
                                         "[]",
                                         "{\"version\":1}",
                                         "{\"version\":2,\"entries\":[]}",
                                         "{\"version\":1,\"entries\":[],\"x\":1}",
                                         "{\"version\":1,\"entries\":[{}]}",
                                         "{\"version\":1,\"entries\":[]} trailing"};
    config_dir_write(d, REPO_FILE, HOSTILE);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        config_dir_write(d, STORE, broken[i]);
        assert_int_equal(config_dir_refused(d, "trust.json"), ERR_TRUST);
    }
    /* A file without host keys does not need the store. */
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 3}\n");
    expect_cpus(d, 3);
}

static void test_store_permissions(void **state)
{
    struct config_dir *d = *state;
    struct stat st;
    config_dir_write(d, REPO_FILE, HOSTILE);
    trust_repo(d);
    assert_int_equal(stat(config_dir_path(d, STORE), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(config_dir_path(d, STORE), 0622), 0);
    assert_int_equal(config_dir_refused(d, "can be written by others"), ERR_TRUST);
    assert_int_equal(chmod(config_dir_path(d, STORE), 0600), 0);
    expect_cpus(d, 2);
    assert_int_equal(chmod(config_dir_path(d, "home/.config/crabbox-fc"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "which others can write to"), ERR_TRUST);
}

/* ---- whose file it is ---- */

static void test_repo_file_of_stranger(void **state)
{
    struct config_dir *d = *state;
    need_root();
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chown(config_dir_path(d, REPO_FILE), STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
    trust_repo(d);
    expect_cpus(d, 2);
}

static void test_repo_file_writable(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chmod(config_dir_path(d, REPO_FILE), 0664), 0);
    expect_cpus(d, 2);
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
    expect_cpus(d, 2);
}

static void test_trusted_files_of_stranger(void **state)
{
    struct config_dir *d = *state;
    static const char *const files[] = {SYS_FILE, USER_FILE};
    need_root();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config_dir_write(d, files[i], "firecracker: {cpus: 2}\n");
        expect_cpus(d, 2);
        assert_int_equal(chown(config_dir_path(d, files[i]), STRANGER, STRANGER), 0);
        assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
        assert_int_equal(unlink(config_dir_path(d, files[i])), 0);
    }
    config_dir_write(d, USER_FILE, "firecracker: {cpus: 2}\n");
    assert_int_equal(chown(config_dir_path(d, "home"), STRANGER, STRANGER), 0);
    assert_int_equal(config_dir_refused(d, "belongs to another user"), ERR_TRUST);
}

static void test_trusted_files_writable(void **state)
{
    struct config_dir *d = *state;
    static const char *const files[] = {SYS_FILE, USER_FILE};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config_dir_write(d, files[i], "firecracker: {cpus: 2}\n");
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0664), 0);
        assert_int_equal(config_dir_refused(d, "run: chmod go-w"), ERR_TRUST);
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0646), 0);
        assert_int_equal(config_dir_refused(d, "can be written by others"), ERR_TRUST);
        assert_int_equal(chmod(config_dir_path(d, files[i]), 0644), 0);
        expect_cpus(d, 2);
    }
    assert_int_equal(chmod(config_dir_path(d, "home"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "which others can write to"), ERR_TRUST);
    assert_int_equal(chmod(config_dir_path(d, "home"), 01777), 0);
    expect_cpus(d, 2);
}

static void test_user_file_links(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, "out/mine.yaml", "firecracker: {cpus: 2}\n");
    assert_int_equal(symlink(config_dir_path(d, "out/mine.yaml"), config_dir_path(d, USER_FILE)),
                     0);
    expect_cpus(d, 2);
    assert_int_equal(chmod(config_dir_path(d, "out"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "which others can write to"), ERR_TRUST);
    assert_int_equal(unlink(config_dir_path(d, USER_FILE)), 0);

    config_dir_write(d, "repo/theirs.yaml", "vmm: qemu\n");
    assert_int_equal(symlink(config_dir_path(d, "repo/theirs.yaml"), config_dir_path(d, USER_FILE)),
                     0);
    assert_int_equal(config_dir_refused(d, "leads into the repository"), ERR_TRUST);
    assert_int_equal(unlink(config_dir_path(d, USER_FILE)), 0);

    assert_int_equal(symlink("/nowhere/at/all", config_dir_path(d, USER_FILE)), 0);
    assert_int_equal(config_dir_refused(d, "leads nowhere"), ERR_CONFIG);
}

/* ---- paths into the repository ---- */

static void test_paths_into_repo(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    struct error err = ERROR_INIT;
    char text[PATH_MAX + 64];
    const char *const leads[] = {"repo/vmlinux", "repo/not/there/yet", "out/link/vmlinux",
                                 "out/../repo/vmlinux"};
    config_dir_write(d, "repo/vmlinux", "x");
    assert_int_equal(symlink(config_dir_path(d, "repo"), config_dir_path(d, "out/link")), 0);
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
    load_ok(d, &cfg);
    config_free(&cfg);
    /* The trusted content of the repository's own file does not cover the rest of it. */
    config_dir_write(d, USER_FILE, "");
    (void)str_format(text, sizeof text, "firecracker: {kernel: %s}\n",
                     config_dir_path(d, "repo/vmlinux"));
    config_dir_write(d, REPO_FILE, text);
    trust_repo(d);
    assert_int_equal(config_dir_refused(d, "leads into the repository"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "");
    /* A flag is the user's own word for this call. */
    const struct config_flag flag = {"firecracker.kernel", "vmlinux", "--firecracker-kernel"};
    assert_int_equal(config_dir_load(d, &flag, 1, &cfg, &err), 0);
    assert_string_equal(cfg.firecracker.kernel, config_dir_path(d, "repo/vmlinux"));
    config_free(&cfg);
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
    expect_cpus(d, 4);
}

static void test_path_relative(void **state)
{
    struct config_dir *d = *state;
    _cleanup_free_ char *before = getcwd(NULL, 0);
    config_dir_write(d, "repo/firecracker", "#!/bin/sh\n");
    assert_int_equal(chmod(config_dir_path(d, "repo/firecracker"), 0755), 0);
    assert_int_equal(chdir(config_dir_path(d, "repo")), 0);
    free(d->env[1]);
    d->env[1] = xstrdup("PATH=:/nonexistent");
    enum err_kind kind = config_dir_refused(d, "relative to the working directory");
    assert_int_equal(chdir(before), 0);
    assert_int_equal(kind, ERR_TRUST);
}

/* ---- races ---- */

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
    trust_repo(d);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_hostile_files),
        T(test_every_key),
        T(test_tightening),
        T(test_repo_symlink),
        T(test_repo_symlink_shadow),
        T(test_repo_not_a_file),
        T(test_git_file),
        T(test_trust_roundtrip),
        T(test_trust_elsewhere),
        T(test_trust_real_path),
        T(test_trust_find_errors),
        T(test_trust_add_errors),
        T(test_trust_list),
        T(test_broken_store),
        T(test_store_permissions),
        T(test_repo_file_of_stranger),
        T(test_repo_file_writable),
        T(test_sudo),
        T(test_trusted_files_of_stranger),
        T(test_trusted_files_writable),
        T(test_user_file_links),
        T(test_paths_into_repo),
        T(test_path_into_repo),
        T(test_path_relative),
        T(test_snapshot),
        T(test_race),
        T(test_concurrent_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
