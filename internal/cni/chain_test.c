#include "cni/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file.h"
#include "testutil/config_dir.h"
#include "testutil/scratch.h"

static struct config_dir dir;
static char conf[PATH_MAX];

static int setup(void **state)
{
    (void)state;
    config_dir_make(&dir);
    (void)str_format(conf, sizeof conf, "%s", config_dir_path(&dir, "cni"));
    return mkdir(conf, 0700);
}

static int teardown(void **state)
{
    (void)state;
    config_dir_remove(&dir);
    return 0;
}

static int load(const char *network, struct cni_chain *c, struct error *err)
{
    return cni_chain_load(conf, "/opt/cni/bin", network, c, err);
}

#define LIST(name, plugins)                                                                        \
    "{\"cniVersion\":\"0.4.0\",\"name\":\"" name "\",\"plugins\":[" plugins "]}"

static void refused(const char *network, enum err_kind kind, const char *message)
{
    struct error err = ERROR_INIT;
    struct cni_chain c;
    assert_int_equal(load(network, &c, &err), -1);
    assert_null(c.list);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, message))
        fail_msg("\"%s\" is not in: %s", message, err.msg);
}

static void test_a_list_is_found_by_its_name(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    config_dir_write(&dir, "cni/10-a.conflist", LIST("a", "{\"type\":\"x\"}"));
    config_dir_write(&dir, "cni/20-b.conflist", LIST("b", "{\"type\":\"y\"},{\"type\":\"z\"}"));
    config_dir_write(&dir, "cni/30-b.conf",
                     "{\"cniVersion\":\"1.0.0\",\"name\":\"b\",\"type\":\"single\"}");
    config_dir_write(&dir, "cni/40-c.json",
                     "{\"cniVersion\":\"1.0.0\",\"name\":\"c\",\"type\":\"single\"}");
    config_dir_write(&dir, "cni/README", "not a list");
    _cleanup_chain_ struct cni_chain b = {.list = NULL};
    assert_int_equal(load("b", &b, &err), 0);
    assert_string_equal(b.file, "20-b.conflist"); /* a list goes before a single plugin */
    assert_int_equal(cni_chain_len(&b), 2);
    assert_string_equal(cni_chain_type(&b, 1), "z");
    assert_true(cni_chain_speaks(&b, 0, 4));
    assert_false(cni_chain_speaks(&b, 1, 0));
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    assert_int_equal(load("c", &c, &err), 0);
    assert_int_equal(cni_chain_len(&c), 1);
    assert_true(cni_chain_speaks(&c, 0, 4));
    assert_string_equal(c.network, "c");
    refused("d", ERR_CONFIG, "no CNI network list is named \"d\"");
}

static void test_a_link_to_a_list_is_followed(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    _cleanup_free_ char *name = xasprintf("%s/10-a.conflist", conf);
    config_dir_write(&dir, "elsewhere", LIST("a", "{\"type\":\"x\"}"));
    assert_int_equal(symlink("../elsewhere", name), 0);
    assert_int_equal(load("a", &c, &err), 0);
}

static void test_two_lists_of_one_name_are_refused(void **state)
{
    (void)state;
    config_dir_write(&dir, "cni/10-a.conflist", LIST("a", "{\"type\":\"x\"}"));
    config_dir_write(&dir, "cni/20-a.conflist", LIST("a", "{\"type\":\"y\"}"));
    refused("a", ERR_CONFIG, "10-a.conflist and 20-a.conflist both name the network \"a\"");
}

static void test_what_can_not_be_read_is_not_passed_over(void **state)
{
    (void)state;
    refused("a", ERR_CONFIG, "no CNI network list");
    config_dir_write(&dir, "cni/10-a.conflist", LIST("a", "{\"type\":\"x\"}"));
    config_dir_write(&dir, "cni/20-b.conflist", "{");
    refused("a", ERR_CONFIG, "20-b.conflist: not valid JSON");
    _cleanup_free_ char *fifo = xasprintf("%s/15-f.conflist", conf);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refused("a", ERR_CONFIG, "15-f.conflist is not a file");
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(mknod(fifo, S_IFSOCK | 0600, 0), 0); /* which can't even be opened */
    refused("a", ERR_CONFIG, "15-f.conflist is not a file");
    (void)str_copy(conf + strlen(conf), 8, "-none");
    refused("a", ERR_ENV, "use --firecracker-network nat");
}

/* Plugins that a newer library would load from a folder are not left out in silence. */
static void test_plugins_from_a_folder_are_refused(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *folder = xasprintf("%s/a", conf);
    config_dir_write(&dir, "cni/10-a.conflist", LIST("a", "{\"type\":\"x\"}"));
    assert_int_equal(mkdir(folder, 0700), 0);
    refused("a", ERR_CONFIG, "plugins from the folder a are not built yet");
    config_dir_write(&dir, "cni/10-a.conflist",
                     "{\"cniVersion\":\"1.1.0\",\"name\":\"a\",\"loadOnlyInlinedPlugins\":true,"
                     "\"plugins\":[{\"type\":\"x\"}]}");
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    assert_int_equal(load("a", &c, &err), 0);
}

static void test_programs_that_are_missing_are_named(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *bin = xstrdup(config_dir_path(&dir, "bin"));
    _cleanup_free_ char *there = xstrdup(config_dir_path(&dir, "bin/there"));
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT, missing = STRBUF_INIT;
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    config_dir_write(&dir, "bin/there", "#!/bin/sh\n");
    config_dir_write(&dir, "bin/closed", "#!/bin/sh\n");
    assert_int_equal(chmod(there, 0700), 0);
    config_dir_write(&dir, "cni/10-a.conflist",
                     LIST("a", "{\"type\":\"there\",\"ipam\":{\"type\":\"gone\"}},"
                               "{\"type\":\"closed\"},{\"type\":\"there\",\"ipam\":{}}"));
    assert_int_equal(cni_chain_load(conf, bin, "a", &c, &err), 0);
    assert_int_equal(cni_chain_programs(&c, &all, &missing), 2);
    assert_string_equal(all.buf, "there,gone,closed,there");
    assert_string_equal(missing.buf, "gone, closed");
}

static void judged(const char *bin_dir, bool recorded, const char *message)
{
    struct error err = ERROR_INIT;
    _cleanup_chain_ struct cni_chain c = {.list = NULL};
    static const char text[] = LIST("a", "{\"type\":\"sh\"}");
    cJSON *list = json_parse(text, sizeof text - 1, "list", &err);
    assert_int_equal(cni_chain_take(list, bin_dir, &c, &err), 0);
    c.recorded = recorded;
    int r = cni_chain_trusted(&c, &err);
    if (!message && r < 0)
        fail_msg("%s", err.msg);
    if (message && (r == 0 || err.kind != ERR_TRUST || !strstr(err.msg, message)))
        fail_msg("\"%s\" is not in: %s", message, err.msg);
}

static void untrusted(const char *bin_dir, const char *message)
{
    judged(bin_dir, false, message);
}

static void test_a_directory_of_plugins_is_not_just_any(void **state)
{
    (void)state;
    config_dir_write(&dir, "plugins/sh", "#!/bin/sh\n");
    config_dir_write(&dir, "tree/bin/sh", "#!/bin/sh\n");
    config_dir_write(&dir, "tree/.git/HEAD", "");
    _cleanup_free_ char *plugins = xstrdup(config_dir_path(&dir, "plugins"));
    _cleanup_free_ char *tree = xstrdup(config_dir_path(&dir, "tree/bin"));
    _cleanup_free_ char *link = xstrdup(config_dir_path(&dir, "link"));
    untrusted(plugins, NULL);
    untrusted(tree, "/tree, which is a working tree");
    assert_int_equal(symlink(tree, link), 0);
    untrusted(link, "/tree, which is a working tree");
    /* An archive without a .git, in which one stands further down. */
    _cleanup_free_ char *before = getcwd(NULL, 0);
    config_dir_write(&dir, "archive/src/deep/file", "");
    assert_return_code(chdir(config_dir_path(&dir, "archive/src/deep")), errno);
    untrusted(plugins, "may have come with the code");
    judged(plugins, true, NULL);
    assert_return_code(chdir(before), errno);
    /* Or one that --dir names. */
    set_dir(config_dir_path(&dir, "archive/src/deep"));
    untrusted(plugins, "may have come with the code");
    set_dir(NULL);
    untrusted("plugins", "is not an absolute path");
    untrusted("/bin", "holds ordinary programs");
    untrusted("/usr/local/../bin", "holds ordinary programs");
    untrusted("/usr/local/bin", "holds ordinary programs");
}

/* A lease must be undone with the plugins that made it, wherever one stands by then. */
static void test_a_recorded_directory_is_judged_for_undoing(void **state)
{
    (void)state;
    config_dir_write(&dir, "tree/bin/sh", "#!/bin/sh\n");
    config_dir_write(&dir, "tree/.git/HEAD", "");
    _cleanup_free_ char *tree = xstrdup(config_dir_path(&dir, "tree/bin"));
    judged("/bin", true, "as the lease's record names it, can't be one");
    judged("plugins", true, "as the lease's record names it, can't be one");
    judged("/usr/local/bin", true, NULL);
    judged(tree, true, "/tree; next: move its .git away until the lease is stopped");
    assert_return_code(rename(config_dir_path(&dir, "tree/.git"), config_dir_path(&dir, "git")),
                       errno);
    judged(tree, true, NULL);
}

/* Here no directory is root's any more. An empty PATH would be the working directory. */
static void test_without_a_directory_of_programs_there_is_no_path(void **state)
{
    int status = -1;
    (void)state;
    _cleanup_free_ char *path = cni_plugins_path(NULL);
    assert_non_null(path);
    assert_true(*path == '/');
    pid_t pid = fork();
    if (pid == 0) {
        struct error err = ERROR_INIT;
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(2);
        _exit(cni_plugins_path(&err) == NULL && err.kind == ERR_TRUST && *err.msg ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_list_is_found_by_its_name),
        T(test_a_link_to_a_list_is_followed),
        T(test_two_lists_of_one_name_are_refused),
        T(test_what_can_not_be_read_is_not_passed_over),
        T(test_plugins_from_a_folder_are_refused),
        T(test_programs_that_are_missing_are_named),
        T(test_a_directory_of_plugins_is_not_just_any),
        T(test_a_recorded_directory_is_judged_for_undoing),
        T(test_without_a_directory_of_programs_there_is_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
