/* trust_test.c: hostile repositories, and trust itself. access_test.c has owners, links and races.
 */
#include <errno.h>
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
#include "testutil/scratch.h"

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
        {"floor: {locked: [vmm]}\n", "is allowed only in the system's file", ERR_CONFIG},
        {"firecracker:\n  cpus: 5\n", ":2:3: firecracker.cpus is 5, but", ERR_TRUST},
        {"firecracker:\n  memoryMiB: 4097\n", ":2:3: firecracker.memoryMiB is 4097MiB", ERR_TRUST},
        {"firecracker: {diskMiB: 16TiB}\n", "gets at most 16GiB (default)", ERR_TRUST},
        {"firecracker: {launchTimeout: 1h}\n", "gets at most 2m (default)", ERR_TRUST},
        {"a: &a [x]\nb: *a\n", "unknown key", ERR_CONFIG},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        config_dir_write(d, REPO_FILE, rows[i].text);
        assert_int_equal(config_dir_refused(d, rows[i].says), rows[i].kind);
    }
    config_dir_write(d, REPO_FILE, rows[0].text);
    (void)config_dir_refused(d, "crabbox-fc trust add '");
    config_dir_trust_repo(d);
    config_dir_write(d, REPO_FILE, "vmm: qemu\n");
    (void)config_dir_refused(d, "may set it; it has changed since it was trusted at 20");
}

/* However long and odd the place is, the message keeps the reason and the way out. */
static void test_long_place(void **state)
{
    struct config_dir *d = *state;
    char dir[1400] = "repo", name[200], rel[1500];
    memset(name, 'n', sizeof name - 1);
    name[0] = '\x1b';
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 6; i++)
        assert_int_equal(str_format(dir + strlen(dir), sizeof dir - strlen(dir), "/%s", name), 0);
    (void)str_format(rel, sizeof rel, "%s/.crabbox-fc.yaml", dir);
    config_dir_write(d, rel, "firecracker: {binary: /x}\n");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, dir));
    assert_int_equal(config_dir_refused(d, "firecracker.binary concerns the host"), ERR_TRUST);
    (void)config_dir_refused(d, "crabbox-fc trust add");
    struct config cfg;
    struct error err = ERROR_INIT;
    assert_int_equal(config_dir_load(d, NULL, 0, &cfg, &err), -1);
    assert_null(strchr(err.msg, '\x1b'));
    config_dir_write(d, rel, "firecracker: {cpu: 1}\n");
    assert_int_equal(config_dir_refused(d, "did you mean \"cpus\"?"), ERR_CONFIG);
}

/* Every key of the table: host keys need trust, the others don't. */
static void test_every_key(void **state)
{
    struct config_dir *d = *state;
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        const char *dot = strchr(key->name, '.');
        const char *value = config_dir_weaker(key);
        char text[256];
        if (dot)
            (void)str_format(text, sizeof text, "%.*s:\n  %s: %s\n", (int)(dot - key->name),
                             key->name, dot + 1, value);
        else
            (void)str_format(text, sizeof text, "%s: %s\n", key->name, value);
        config_dir_write(d, REPO_FILE, text);
        bool weaker = !str_eq(value, key->fallback); /* of some, no limit is the default */
        if ((key->host || key->costs) && weaker) {
            assert_int_equal(config_dir_refused(d, key->name), ERR_TRUST);
            config_dir_trust_repo(d);
        }
        if (key->host)
            continue;
        struct config cfg;
        config_dir_load_ok(d, NULL, 0, &cfg);
        assert_true(str_has_prefix(config_value_source(&cfg, key), "repo:"));
        config_free(&cfg);
    }
}

static void test_tightening(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "run: {allowEnv: [NODE_OPTIONS]}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.run.allow_env, "NODE_OPTIONS");
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "run: {allowEnv: []}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.run.allow_env, "");
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "run: {allowEnv: [CI, AB]}\n"); /* as long as CI */
    assert_int_equal(config_dir_refused(d, "run.allowEnv"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "run: {allowEnv: [NODE_OPTION]}\n");
    assert_int_equal(config_dir_refused(d, "run.allowEnv"), ERR_TRUST);
}

/* A repository may narrow what goes, but not name more than the user does. */
static void test_include_only_narrows(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "sync: {include: [src, '*.json']}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.run.include, "src\n*.json");
    config_free(&cfg);
    config_dir_write(d, USER_FILE, "sync: {include: [src/a]}\n");
    assert_int_equal(config_dir_refused(d, "sync.include"), ERR_TRUST);
}

/* What the user keeps out of the guest stays out: a repository only adds to it. */
static void test_exclude_is_added_to(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    config_dir_write(d, REPO_FILE, "sync: {exclude: [a, '!b']}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.run.exclude, "a\n!b");
    config_free(&cfg);
    config_dir_write(d, USER_FILE, "sync: {exclude: [.env, '*.pem']}\n");
    assert_int_equal(config_dir_refused(d, "sync.exclude"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "sync: {exclude: ['!.env']}\n");
    assert_int_equal(config_dir_refused(d, "sync.exclude"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, "sync: {exclude: [zzz]}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.run.exclude, ".env\n*.pem\nzzz");
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "sync: {exclude: []}\n");
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_non_null(strstr(cfg.run.exclude, ".env\n*.pem"));
    config_free(&cfg);
}

/* A guest of a repository that is not trusted does not outlive its work, nor learn more: times get
 * shorter, and a switch goes to its safe side, or they are the user's to set. */
static void test_a_guest_does_not_outlive_its_work(void **state)
{
    struct config_dir *d = *state;
    static const struct {
        const char *text, *key; /* NULL: accepted */
    } cases[] = {
        {"lease: {ttl: 90m, idleTimeout: 1m, stopTimeout: 0s}\n", NULL},
        {"lease: {ttl: 1.5h}\n", NULL},
        {"lease: {ttl: 91m}\n", "lease.ttl"},
        {"lease: {idleTimeout: 30d}\n", "lease.idleTimeout"},
        {"lease: {stopTimeout: 10m}\n", "lease.stopTimeout"},
        {"firecracker: {deleteOnRelease: true}\nnetwork: {peers: false}\n", NULL},
        {"firecracker: {deleteOnRelease: false}\n", "firecracker.deleteOnRelease"},
        {"network: {peers: true}\n", "network.peers"},
        {"sync: {git: none}\n", NULL},
        {"sync: {git: full}\n", "gets at most shallow (default)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config cfg;
        config_dir_write(d, REPO_FILE, cases[i].text);
        if (cases[i].key) {
            assert_int_equal(config_dir_refused(d, cases[i].key), ERR_TRUST);
            continue;
        }
        config_dir_load_ok(d, NULL, 0, &cfg);
        config_free(&cfg);
    }
}

/* It gets what it would get without its file, or less: by what the user and the system set. */
static void test_no_more_than_without_the_file(void **state)
{
    struct config_dir *d = *state;
    struct config cfg;
    const struct config_flag flag = {"firecracker.cpus", "8", "--cpus"};
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 4, memoryMiB: 4GiB, diskMiB: 16GiB}\n");
    config_dir_expect_cpus(d, 4);
    config_dir_write(d, USER_FILE, "firecracker: {cpus: 6, diskMiB: 2GiB}\n");
    assert_int_equal(config_dir_refused(d, "firecracker.diskMiB is 16GiB, but a repository that is "
                                           "not trusted gets at most 2GiB (user:"),
                     ERR_TRUST);
    (void)config_dir_refused(d, "or set it in your own configuration, or read the file, then run: "
                                "crabbox-fc trust add '");
    config_dir_write(d, SYS_FILE, "sync: {git: none}\n");
    config_dir_write(d, REPO_FILE, "sync: {git: shallow}\n");
    (void)config_dir_refused(d, "sync.git is shallow, but a repository that is not trusted gets at "
                                "most none (system:");
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 5, diskMiB: 2048}\n");
    config_dir_expect_cpus(d, 5);
    config_dir_load_ok(d, &flag, 1, &cfg); /* what is typed is the user's own word */
    assert_int_equal(cfg.firecracker.cpus, 8);
    config_free(&cfg);
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 7, diskMiB: 64}\n");
    (void)config_dir_refused(d, "firecracker.cpus is 7, but");
    config_dir_trust_repo(d);
    config_dir_expect_cpus(d, 7);
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

/* A FIFO must not hang, a directory not be read, and a device not be opened at all. A socket stands
 * in for one: it can't be opened. */
static void test_repo_not_a_file(void **state)
{
    struct config_dir *d = *state;
    assert_int_equal(mkfifo(config_dir_path(d, REPO_FILE), 0644), 0);
    assert_int_equal(config_dir_refused(d, "is not a regular file"), ERR_CONFIG);
    assert_int_equal(unlink(config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(mkdir(config_dir_path(d, REPO_FILE), 0755), 0);
    assert_int_equal(config_dir_refused(d, "is not a regular file"), ERR_CONFIG);
    assert_int_equal(rmdir(config_dir_path(d, REPO_FILE)), 0);
    assert_int_equal(mknod(config_dir_path(d, REPO_FILE), S_IFSOCK | 0644, 0), 0);
    assert_int_equal(config_dir_refused(d, "is not a regular file"), ERR_CONFIG);
}

/* A .git that is a file (a worktree) or a link ends the search as well. */
static void test_git_file(void **state)
{
    struct config_dir *d = *state;
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 2}\n");
    config_dir_write(d, "repo/sub/.git", "gitdir: /x\n");
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "repo/sub/deep"));
    config_dir_expect_cpus(d, 4);
    assert_int_equal(unlink(config_dir_path(d, "repo/sub/.git")), 0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(symlink("/nowhere", config_dir_path(d, "repo/sub/.git")), 0);
    config_dir_expect_cpus(d, 4);
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
    config_dir_trust_repo(d);
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_string_equal(cfg.firecracker.binary, "/opt/a/firecracker");
    assert_int_equal(cfg.firecracker.cpus, 2);
    config_free(&cfg);

    config_dir_write(d, REPO_FILE, CHANGED);
    assert_int_equal(config_dir_refused(d, "firecracker.binary"), ERR_TRUST);
    config_dir_write(d, REPO_FILE, HOSTILE);
    config_dir_expect_cpus(d, 2);

    /* Trusting the new content forgets the old. */
    config_dir_write(d, REPO_FILE, CHANGED);
    config_dir_trust_repo(d);
    config_dir_expect_cpus(d, 2);
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
    config_dir_trust_repo(d);
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
    config_dir_trust_repo(d);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "link"));
    config_dir_expect_cpus(d, 2);
}

/* A link of the tree in the typed path is refused, as in any other, before anybody follows it. */
static void test_trust_follows_no_link_of_the_tree(void **state)
{
    static const char *const args[] = {"away", "away/.crabbox-fc.yaml", "away/sub"};
    struct config_dir *d = *state;
    char found[PATH_MAX];
    _cleanup_free_ char *link = xstrdup(config_dir_path(d, "repo/away"));
    config_dir_write(d, "repo/.git/HEAD", "");
    make_link("/nonexistent/x", link);
    for (size_t i = 0; i < ARRAY_LEN(args); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(trust_find(config_dir_path(d, "repo"), args[i], found, &err), -1);
        assert_non_null(strstr(err.msg, "/repo/away is a symbolic link in the working tree"));
    }
    assert_false(link_was_read(link));
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
    assert_string_equal(r.keys.buf, "firecracker.cpus = 2 (line 2)\n"
                                    "firecracker.binary = /opt/a/firecracker (line 3)\n");
    strbuf_free(&r.keys);
    /* What the file may not set without trust is what trusting it shows. */
    config_dir_write(d, REPO_FILE, "sync: {exclude: ['!.env']}\n");
    assert_int_equal(trust_add(config_dir_envp(d), path, NULL, &r, &err), 0);
    assert_non_null(strstr(r.keys.buf, "sync.exclude = "));
    strbuf_free(&r.keys);
    /* And which of the user's patterns it takes away. */
    config_dir_write(d, USER_FILE, "sync: {exclude: [secret.env, tmp, '*.pem']}\n");
    config_dir_write(d, REPO_FILE, "sync: {exclude: [tm, tmp]}\n");
    assert_int_equal(trust_add(config_dir_envp(d), path, NULL, &r, &err), 0);
    assert_string_equal(r.keys.buf,
                        "sync.exclude = tm\\ntmp (line 1); no longer left out by yours: "
                        "secret.env, *.pem\n");
    strbuf_free(&r.keys);
}

static void test_trust_list(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_store s;
    config_dir_write(d, REPO_FILE, HOSTILE);
    config_dir_trust_repo(d);
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

#define ENTRY_OF(path)                                                                             \
    "{\"version\":1,\"entries\":[{\"path\":\"" path "\",\"sha256\":\""                             \
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"added\":1}]}"

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
                                         ENTRY_OF("etc/shadow"),
                                         ENTRY_OF("/etc/shadow"),
                                         ENTRY_OF("/etc/.crabbox-fc.yaml.x"),
                                         "{\"version\":1,\"entries\":[]} trailing"};
    config_dir_write(d, REPO_FILE, HOSTILE);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        config_dir_write(d, STORE, broken[i]);
        assert_int_equal(config_dir_refused(d, "trust.json"), ERR_TRUST);
        assert_int_equal(config_dir_refused(d, "next: fix the file or remove it"), ERR_TRUST);
    }
    /* A file without host keys does not need the store. */
    config_dir_write(d, REPO_FILE, "firecracker: {cpus: 3}\n");
    config_dir_expect_cpus(d, 3);
}

static void test_store_permissions(void **state)
{
    struct config_dir *d = *state;
    struct stat st;
    config_dir_write(d, REPO_FILE, HOSTILE);
    config_dir_trust_repo(d);
    assert_int_equal(stat(config_dir_path(d, STORE), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(config_dir_path(d, STORE), 0622), 0);
    assert_int_equal(config_dir_refused(d, "can be written by others"), ERR_TRUST);
    assert_int_equal(chmod(config_dir_path(d, STORE), 0600), 0);
    config_dir_expect_cpus(d, 2);
    assert_int_equal(chmod(config_dir_path(d, "home/.config/crabbox-fc"), 0777), 0);
    assert_int_equal(config_dir_refused(d, "crabbox-fc is writable by everybody"), ERR_TRUST);
}

/* Nothing is written into a directory where the store could not be read afterwards. */
static void test_store_directory(void **state)
{
    struct config_dir *d = *state;
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    const char *path = config_dir_path(d, REPO_FILE);
    config_dir_write(d, REPO_FILE, HOSTILE);
    assert_int_equal(chmod(config_dir_path(d, "home/.config"), 0777), 0);
    assert_int_equal(trust_add(config_dir_envp(d), path, NULL, &r, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_non_null(strstr(err.msg, "/home/.config is writable by everybody; next: chmod go-w /"));
    strbuf_free(&r.keys);
    assert_int_equal(access(config_dir_path(d, STORE), F_OK), -1);
    assert_int_equal(access(config_dir_path(d, "home/.config/crabbox-fc/trust.lock"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_DIR_TEST(test_hostile_files),
        CONFIG_DIR_TEST(test_long_place),
        CONFIG_DIR_TEST(test_every_key),
        CONFIG_DIR_TEST(test_tightening),
        CONFIG_DIR_TEST(test_exclude_is_added_to),
        CONFIG_DIR_TEST(test_include_only_narrows),
        CONFIG_DIR_TEST(test_a_guest_does_not_outlive_its_work),
        CONFIG_DIR_TEST(test_no_more_than_without_the_file),
        CONFIG_DIR_TEST(test_repo_symlink),
        CONFIG_DIR_TEST(test_repo_symlink_shadow),
        CONFIG_DIR_TEST(test_repo_not_a_file),
        CONFIG_DIR_TEST(test_git_file),
        CONFIG_DIR_TEST(test_trust_roundtrip),
        CONFIG_DIR_TEST(test_trust_elsewhere),
        CONFIG_DIR_TEST(test_trust_real_path),
        CONFIG_DIR_TEST(test_trust_find_errors),
        CONFIG_DIR_TEST(test_trust_follows_no_link_of_the_tree),
        CONFIG_DIR_TEST(test_trust_add_errors),
        CONFIG_DIR_TEST(test_trust_list),
        CONFIG_DIR_TEST(test_broken_store),
        CONFIG_DIR_TEST(test_store_permissions),
        CONFIG_DIR_TEST(test_store_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
