#include "testutil/config_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/keys.h"
#include "config/trust.h"
#include "sys/file.h"
#include "testutil/scratch.h"

const char *config_dir_path(const struct config_dir *d, const char *rel)
{
    static char buffers[8][PATH_MAX];
    static unsigned turn;
    char *out = buffers[turn++ % ARRAY_LEN(buffers)];
    assert_int_equal(str_format(out, PATH_MAX, "%s/%s", d->root, rel), 0);
    return out;
}

void config_dir_setenv(struct config_dir *d, const char *assignment)
{
    assert_true(d->n_env < CONFIG_DIR_ENV_MAX);
    d->env[d->n_env++] = xstrdup(assignment);
}

void config_dir_make(struct config_dir *d)
{
    struct error err = ERROR_INIT;
    memset(d, 0, sizeof *d);
    (void)str_copy(d->root, sizeof d->root, "/tmp/crabbox-config-XXXXXX");
    assert_non_null(mkdtemp(d->root));
    assert_int_equal(dir_make_all(config_dir_path(d, "repo/.git"), 0755, &err), 0);
    assert_int_equal(dir_make_all(config_dir_path(d, "repo/sub/deep"), 0755, &err), 0);
    assert_int_equal(dir_make_all(config_dir_path(d, "out"), 0755, &err), 0);
    assert_int_equal(dir_make_all(config_dir_path(d, "home/.config/crabbox-fc"), 0755, &err), 0);
    (void)str_copy(d->cwd, sizeof d->cwd, config_dir_path(d, "repo"));
    char home[PATH_MAX];
    assert_int_equal(str_format(home, sizeof home, "HOME=%s/home", d->root), 0);
    config_dir_setenv(d, home);
    config_dir_setenv(d, "PATH=/usr/bin:/bin");
}

void config_dir_remove(struct config_dir *d)
{
    struct error err = ERROR_INIT;
    assert_int_equal(dir_remove_tree(AT_FDCWD, d->root, &err), 0);
    for (size_t i = 0; i < d->n_env; i++)
        free(d->env[i]);
}

int config_dir_setup(void **state)
{
    static struct config_dir d;
    config_dir_make(&d);
    *state = &d;
    return 0;
}

int config_dir_teardown(void **state)
{
    set_dir(NULL);
    config_dir_remove(*state);
    return 0;
}

void config_dir_write(const struct config_dir *d, const char *rel, const char *text)
{
    struct error err = ERROR_INIT;
    const char *path = config_dir_path(d, rel);
    _cleanup_free_ char *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(dir_make_all(dir, 0755, &err), 0);
    (void)unlink(path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text), path, &err), 0);
}

const char *const *config_dir_envp(const struct config_dir *d)
{
    return (const char *const *)d->env;
}

int config_dir_load(const struct config_dir *d, const struct config_flag *flags, size_t n,
                    struct config *out, struct error *err)
{
    const struct config_args args = {.cwd = d->cwd,
                                     .envp = config_dir_envp(d),
                                     .flags = flags,
                                     .n_flags = n,
                                     .system_file = config_dir_path(d, SYS_FILE)};
    return config_load(&args, out, err);
}

void config_dir_load_ok(const struct config_dir *d, const struct config_flag *flags, size_t n,
                        struct config *out)
{
    struct error err = ERROR_INIT;
    if (config_dir_load(d, flags, n, out, &err) < 0)
        fail_msg("%s", err.msg);
}

void config_dir_expect_cpus(const struct config_dir *d, int64_t cpus)
{
    struct config cfg;
    config_dir_load_ok(d, NULL, 0, &cfg);
    assert_int_equal(cfg.firecracker.cpus, cpus);
    config_free(&cfg);
}

void config_dir_trust_repo(const struct config_dir *d)
{
    struct error err = ERROR_INIT;
    struct trust_report r = TRUST_REPORT_INIT;
    if (trust_add(config_dir_envp(d), config_dir_path(d, REPO_FILE), NULL, &r, &err) < 0)
        fail_msg("%s", err.msg);
    strbuf_free(&r.keys);
}

enum err_kind config_dir_refused(const struct config_dir *d, const char *part)
{
    struct config cfg;
    struct error err = ERROR_INIT;
    assert_int_equal(config_dir_load(d, NULL, 0, &cfg, &err), -1);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" is not in: %s", part, err.msg);
    assert_null(cfg.priv);
    return err.kind;
}

const char *config_dir_sample(const struct config_key *key)
{
    if (key->type == CFG_PATH)
        return "/x";
    if (key->rule == RULE_ENV_NAMES)
        return "SECRET";
    if (key->rule == RULE_SHA256)
        return "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    if (*key->fallback)
        return key->fallback;
    return key->type == CFG_ENUM ? "tcg" : "1.1.1.1";
}

const char *config_dir_weaker(const struct config_key *key)
{
    static char text[32];
    if (key->type == CFG_BOOL)
        return str_eq(key->fallback, "true") ? "false" : "true";
    if (key->type == CFG_ENUM && key->costs)
        return strrchr(key->choices, '|') + 1;
    if (!config_key_is_number(key))
        return config_dir_sample(key);
    (void)str_format(text, sizeof text, "%lld%s", (long long)(key->zero_is_most ? 0 : key->max),
                     key->type == CFG_DURATION ? "ms" : "");
    return text;
}
