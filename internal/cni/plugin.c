/* plugin.c: starts a plugin, waits for it, and makes an error of what it says.
 *
 * run prepares all that the plugin gets: its configuration as a file in memory, its environment,
 * the root directory. Its output goes to files, which are read when it has ended, so it never waits
 * for us. start has the plugin written down before it may execute. If its time ends first, or the
 * user interrupts, kill_all ends it with all that it started. cni_settle does the same later, in
 * another process, for a plugin whose crabbox-fc was killed.
 */
#include "cni/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "cni/cni.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define ENV_MAX    8
#define ERRORS_MAX 4096

/* ---- what a plugin is given ---- */

/* A plugin's configuration: its entry of the list with the members that all entries share, as the
 * specification demands. */
static char *config_of(const struct cni_chain *c, size_t i, const cJSON *prev)
{
    const cJSON *entry = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(c->list, "plugins"),
                                            (int)i);
    _cleanup_json_ cJSON *j = cJSON_Duplicate(entry, true);
    cJSON_DeleteItemFromObjectCaseSensitive(j, "name");
    cJSON_DeleteItemFromObjectCaseSensitive(j, "cniVersion");
    cJSON_DeleteItemFromObjectCaseSensitive(j, "prevResult");
    (void)cJSON_AddStringToObject(j, "name", c->network);
    (void)cJSON_AddStringToObject(j, "cniVersion", json_opt_string(c->list, "cniVersion", ""));
    if (prev)
        (void)cJSON_AddItemToObject(j, "prevResult", cJSON_Duplicate(prev, true));
    return json_print(j, false);
}

/* A file in memory with `text`, at its start. */
static int memory_file(const char *text, struct error *err)
{
    _cleanup_close_ int fd = memfd_create("cni", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_ENV, errno, "make a file in memory");
    if (fd_write_all(fd, text, strlen(text), "a plugin's configuration", err) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "a file in memory");
    return TAKE_FD(fd);
}

static int fill_env(char *env[ENV_MAX], const struct cni_job *job, const char *verb,
                    struct error *err)
{
    size_t n = 0;
    _cleanup_free_ char *path = cni_plugins_path(err);
    if (!path)
        return -1;
    env[n++] = xasprintf("CNI_COMMAND=%s", verb);
    env[n++] = xasprintf("CNI_CONTAINERID=%s", job->id);
    /* The path leads through our descriptor, as the namespace has no name. */
    env[n++] = job->netns_fd >= 0
                   ? xasprintf("CNI_NETNS=/proc/%d/fd/%d", (int)getpid(), job->netns_fd)
                   : xstrdup("CNI_NETNS=");
    env[n++] = xstrdup("CNI_IFNAME=" CNI_IFNAME);
    env[n++] = xasprintf("CNI_PATH=%s", job->chain->bin_dir);
    env[n++] = xasprintf("PATH=%s", path);
    env[n] = NULL;
    return 0;
}

static void free_env(char *(*env)[ENV_MAX])
{
    for (size_t i = 0; i < ENV_MAX; i++)
        free((*env)[i]);
}

/* ---- running it ---- */

/* Kills the plugin and all that it started. It leads a session, so the number of its group is its
 * pid, and no other process gets that number before the plugin is reaped. */
static void kill_all(struct child *c)
{
    if (c->pid > 0)
        (void)kill(-c->pid, SIGKILL);
    child_kill(c);
}

static int start(const struct cni_job *job, const struct spawn_spec *spec, struct child *c,
                 struct error *err)
{
    struct proc_ref ref;
    if (spawn(spec, c, err) < 0)
        return -1;
    if (proc_ref_of(c->pid, &ref, err) < 0 ||
        (job->started && job->started(job->ctx, &ref, err) < 0))
        return -1;
    return spawn_release(c, spec->argv[0], err);
}

/* A failed plugin prints {"code", "msg", "details"}; one that crashed leaves text on stderr. */
static int say_failure(const struct cni_job *job, const char *verb, size_t i, int out_fd,
                       int err_fd, const struct exit_status *st, struct error *err)
{
    char how[64];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, said = STRBUF_INIT;
    if (lseek(out_fd, 0, SEEK_SET) == 0)
        (void)fd_read_all(out_fd, CNI_OUTPUT_MAX, "a plugin", &out, NULL);
    _cleanup_json_ cJSON *j = json_parse(out.buf, out.len, "a plugin", NULL);
    const char *msg = json_opt_string(j, "msg", "");
    if (*msg) {
        const char *details = json_opt_string(j, "details", "");
        strbuf_addf(&said, "code %lld: %s%s%s", (long long)json_opt_i64(j, "code", 0), msg,
                    *details ? ": " : "", details);
    } else if (lseek(err_fd, 0, SEEK_SET) == 0) {
        (void)fd_read_all(err_fd, ERRORS_MAX, "a plugin", &said, NULL);
    }
    text_flatten(&said, COMPLAINT_MAX);
    return error_set(err, ERR_NET, 0, "CNI network %s: plugin %s, %s: %s%s%s", job->chain->network,
                     cni_chain_type(job->chain, i), verb,
                     *msg ? "" : exit_status_text(st, how, sizeof how),
                     *msg || !said.len ? "" : ": ", said.buf);
}

static int run(const struct cni_job *job, const char *verb, size_t i, const char *config,
               int out_fd, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", job->chain->bin_dir,
                                          cni_chain_type(job->chain, i));
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int in = memory_file(config, err);
    _cleanup_close_ int errors = in < 0 ? -1 : memory_file("", err);
    _cleanup_(kill_all) struct child c = CHILD_INIT;
    _cleanup_(free_env) char *env[ENV_MAX] = {NULL};
    const char *const argv[] = {path, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    if (in < 0 || errors < 0 || cni_chain_trusted(job->chain, err) < 0 ||
        fill_env(env, job, verb, err) < 0)
        return -1;
    spec.argv = argv;
    spec.envp = (const char *const *)env;
    spec.cwd_fd = root;
    spec.stdin_fd = in;
    spec.stdout_fd = out_fd;
    spec.stderr_fd = errors;
    spec.new_session = true;
    spec.held = true;
    if (start(job, &spec, &c, err) < 0 || child_wait(&c, job->deadline, &st, err) < 0)
        return error_prefix(err, "CNI network %s: plugin %s, %s", job->chain->network,
                            cni_chain_type(job->chain, i), verb);
    if (!st.exited || st.code != 0)
        return say_failure(job, verb, i, out_fd, errors, &st, err);
    return 0;
}

int cni_plugin_run(const struct cni_job *job, const char *verb, size_t i, const cJSON *prev,
                   int out_fd, struct error *err)
{
    _cleanup_free_ char *config = config_of(job->chain, i, prev);
    _cleanup_close_ int nowhere = out_fd < 0 ? memory_file("", err) : -1;
    if (out_fd < 0 && nowhere < 0)
        return -1;
    return run(job, verb, i, config, out_fd < 0 ? nowhere : out_fd, err);
}

/* ---- VERSION ---- */

static int check_spoken(const struct cni_chain *chain, size_t i, int fd, struct error *err)
{
    const char *want = json_opt_string(chain->list, "cniVersion", "");
    const char *type = cni_chain_type(chain, i);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, CNI_OUTPUT_MAX, type, &text, err) < 0)
        return error_prefix(err, "plugin %s, VERSION", type);
    _cleanup_json_ cJSON *j = json_parse(text.buf, text.len, type, err);
    if (!j)
        return -1;
    const cJSON *v;
    cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(j, "supportedVersions"))
    {
        if (cJSON_IsString(v) && str_eq(v->valuestring, want))
            return 0;
    }
    return error_set(
        err, ERR_CONFIG, 0,
        "CNI plugin %s does not support the list's cniVersion %s; next: set a version that "
        "it supports (%s < /dev/null with CNI_COMMAND=VERSION lists them)",
        type, want, type);
}

int cni_plugins_ask(const struct cni_chain *chain, const struct deadline *d, struct error *err)
{
    struct cni_job job = {
        .chain = chain, .dirfd = -1, .id = "version", .netns_fd = -1, .deadline = d};
    for (size_t i = 0; i < cni_chain_len(chain); i++) {
        _cleanup_close_ int out = memory_file("", err);
        if (out < 0 || cni_plugin_run(&job, "VERSION", i, NULL, out, err) < 0 ||
            check_spoken(chain, i, out, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- after a crash ---- */

int cni_settle(const struct proc_ref *proc, const struct deadline *d, struct error *err)
{
    struct error e = ERROR_INIT;
    _cleanup_close_ int fd = proc_open(proc, &e);
    if (fd < 0 && e.kind != ERR_NOT_RUNNING) {
        *err = e;
        return error_prefix(err, "wait for a CNI plugin");
    }
    if (fd < 0 || pidfd_wait(fd, d, NULL) == 0)
        return 0;
    /* It still leads its session, so the number of its group is its pid. */
    if (kill(-proc->pid, SIGKILL) < 0 && pidfd_signal(fd, SIGKILL, err) < 0)
        return error_prefix(err, "end a CNI plugin");
    struct deadline after_kill = deadline_in_ms(5000);
    return pidfd_wait(fd, &after_kill, err) < 0 ? error_prefix(err, "end a CNI plugin") : 0;
}
