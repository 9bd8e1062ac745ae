/* config_dir.h: a throw-away home, repository and system file for tests of the configuration.
 *
 * Layout below a fresh directory: etc/config.yaml, home/.config/crabbox-fc/config.yaml, repo/ (with
 * a .git) and out/. Nothing of the machine's own configuration is read. Every helper ends the test
 * when it fails itself.
 *
 *     static void test_a_file_counts(void **state)
 *     {
 *         struct config_dir *d = *state;
 *         config_dir_write(d, USER_FILE, "firecracker: {cpus: 2}\n");
 *         config_dir_expect_cpus(d, 2);
 *     }
 *
 * and in the table of tests: CONFIG_DIR_TEST(test_a_file_counts)
 */
#ifndef CRABBOX_TESTUTIL_CONFIG_DIR_H
#define CRABBOX_TESTUTIL_CONFIG_DIR_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define CONFIG_DIR_ENV_MAX 16

#define USER_FILE "home/.config/crabbox-fc/config.yaml"
#define REPO_FILE "repo/.crabbox-fc.yaml"
#define SYS_FILE  "etc/config.yaml"

struct config_dir {
    char root[64];
    char cwd[PATH_MAX]; /* where loading starts: root/repo */
    char *env[CONFIG_DIR_ENV_MAX + 1];
    size_t n_env;
};

void config_dir_make(struct config_dir *d);
void config_dir_remove(struct config_dir *d);

/* A test with a fresh one in *state. */
#define CONFIG_DIR_TEST(f) cmocka_unit_test_setup_teardown(f, config_dir_setup, config_dir_teardown)
int config_dir_setup(void **state);
int config_dir_teardown(void **state);

/* Absolute path of `rel`, in one of a few static buffers. */
const char *config_dir_path(const struct config_dir *d, const char *rel);
/* Writes a file, making its directories; mode 0644. */
void config_dir_write(const struct config_dir *d, const char *rel, const char *text);
/* Adds "NAME=value" to the environment. */
void config_dir_setenv(struct config_dir *d, const char *assignment);

const char *const *config_dir_envp(const struct config_dir *d);

/* config_load with this environment and `n` flags. */
int config_dir_load(const struct config_dir *d, const struct config_flag *flags, size_t n,
                    struct config *out, struct error *err);

/* The same, where it has to succeed; the caller frees the configuration. */
void config_dir_load_ok(const struct config_dir *d, const struct config_flag *flags, size_t n,
                        struct config *out);

/* Loads, and firecracker.cpus is this: enough to see which file counted. */
void config_dir_expect_cpus(const struct config_dir *d, int64_t cpus);

/* What `crabbox-fc trust add` does with the repository's file. */
void config_dir_trust_repo(const struct config_dir *d);

/* A value that the key takes: its default where it has one. */
const char *config_dir_sample(const struct config_key *key);

/* One that is less strict than its default, where there are degrees of it. */
const char *config_dir_weaker(const struct config_key *key);

/* Loads, expects a failure whose message contains `part`, and returns its kind. */
enum err_kind config_dir_refused(const struct config_dir *d, const char *part);

#endif
