/* cmd_trust.c: which repository files may set keys that concern the host. Never loads the
 * configuration, so it works exactly when the other verbs refuse to. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "cmd.h"
#include "config/trust.h"
#include "config/values.h"

extern char **environ;

static const char *const *environment(void)
{
    return (const char *const *)environ;
}

static void cleanup_report(struct trust_report *r)
{
    strbuf_free(&r->keys);
}

/* The file that FILE, or the working directory where there is none, stands for. */
static int find(const char *arg, char path[static PATH_MAX], struct error *err)
{
    if (!arg)
        return trust_find(".", NULL, path, err);
    _cleanup_free_ char *cwd = get_current_dir_name();
    if (!cwd)
        return error_set(err, ERR_IO, errno, "working directory");
    return trust_find(cwd, arg, path, err);
}

static int trust_file(const struct invocation *in, const char *arg, struct error *err)
{
    char path[PATH_MAX];
    _cleanup_(cleanup_report) struct trust_report r = TRUST_REPORT_INIT;
    if (find(arg, path, err) < 0 || trust_add(environment(), path, in->opt.sha256, &r, err) < 0)
        return -1;
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "path", r.path);
        (void)cJSON_AddStringToObject(j, "sha256", r.sha256);
        cJSON *grants = cJSON_AddArrayToObject(j, "grants");
        for (char *rest = r.keys.buf, *line; (line = strsep(&rest, "\n")) && *line;)
            (void)cJSON_AddItemToArray(grants, cJSON_CreateString(line));
        return out_json(j, err);
    }
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    trust_report_text(&r, &sb);
    return out_text(sb.buf, err);
}

static int revoke_file(const struct invocation *in, const char *arg, struct error *err)
{
    char path[PATH_MAX];
    bool removed;
    if (find(arg, path, err) < 0 || trust_revoke(environment(), path, &removed, err) < 0)
        return -1;
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "path", path);
        (void)cJSON_AddBoolToObject(j, "removed", removed);
        return out_json(j, err);
    }
    return out_line(err, "%s %s", removed ? "no longer trusted:" : "was not trusted:", SHOWN(path));
}

static int list_files(const struct invocation *in, struct error *err)
{
    _cleanup_(trust_store_free) struct trust_store store = TRUST_STORE_INIT;
    if (trust_list(environment(), &store, err) < 0)
        return -1;
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = trust_list_json(&store);
        return out_json(j, err);
    }
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    trust_list_text(&store, &sb);
    return store.n ? out_text(sb.buf, err) : out_text("no file is trusted\n", err);
}

int cmd_trust(struct invocation *in, struct error *err)
{
    const char *word = in->n_args ? in->args[0] : "list"; /* the parser lets no other words pass */
    const char *file = in->n_args > 1 ? in->args[1] : NULL;
    if (in->opt.sha256 && !str_eq(word, "add"))
        return error_set(err, ERR_USAGE, 0, "--sha256 goes with: crabbox-fc trust add");
    if (str_eq(word, "add"))
        return trust_file(in, file, err);
    if (str_eq(word, "revoke"))
        return revoke_file(in, file, err);
    return file ? error_set(err, ERR_USAGE, 0, "trust list takes no file") : list_files(in, err);
}
