/* cni.c: the chain of one lease, from ADD to DEL.
 *
 * The lease's directory has everything that DEL needs: the list as it was read (cni.json) and one
 * file for each plugin, into which the plugin writes its result itself. Another process can read
 * these files after a crash. An empty file (cni.del) is made before the first DEL, so a later DEL
 * knows that it is not the first one.
 */
#include "cni/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sys/file.h"

#define SAVED_FILE "cni.json"
#define DEL_FILE   "cni.del" /* exists once a DEL has begun */
#define SAVED_MAX  (1u << 20)

static void result_name(size_t i, char out[static 16])
{
    (void)str_format(out, 16, "cni.%zu", i);
}

int cni_save(const struct cni_chain *c, int dirfd, struct error *err)
{
    char boot_id[BOOT_ID_SIZE];
    if (proc_boot_id(boot_id, err) < 0)
        return -1;
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    json_add_i64(j, "schema", 1);
    (void)cJSON_AddStringToObject(j, "bootId", boot_id);
    (void)cJSON_AddStringToObject(j, "binDir", c->bin_dir);
    (void)cJSON_AddItemToObject(j, "list", cJSON_Duplicate(c->list, true));
    _cleanup_free_ char *text = json_print(j, false);
    return file_write_atomic(dirfd, SAVED_FILE, text, strlen(text), 0600, err);
}

/* ---- ADD ---- */

/* The result of plugin i, from its file. */
static cJSON *read_result(const struct cni_chain *c, int dirfd, size_t i, struct error *err)
{
    char name[16];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    result_name(i, name);
    if (file_read_at(dirfd, name, CNI_OUTPUT_MAX, &text, err) < 0)
        return NULL;
    cJSON *j = json_parse(text.buf, text.len, cni_chain_type(c, i), err);
    struct cni_result unused;
    if (j && cni_result_parse(j, CNI_IFNAME, &unused, err) < 0) {
        cJSON_Delete(j);
        return NULL;
    }
    return j;
}

static cJSON *add_one(const struct cni_job *job, size_t i, const cJSON *prev, struct error *err)
{
    char name[16];
    result_name(i, name);
    _cleanup_close_ int out = openat(job->dirfd, name,
                                     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return error_null(err, ERR_IO, errno, "make %s", name);
    if (cni_plugin_run(job, "ADD", i, prev, out, err) < 0)
        return NULL;
    cJSON *j = read_result(job->chain, job->dirfd, i, err);
    if (!j) {
        if (err)
            err->kind = ERR_NET;
        (void)error_prefix(err, "CNI network %s: the answer of plugin %s", job->chain->network,
                           cni_chain_type(job->chain, i));
    }
    return j;
}

int cni_add(const struct cni_job *job, struct cni_result *out, struct error *err)
{
    _cleanup_json_ cJSON *result = NULL;
    for (size_t i = 0; i < cni_chain_len(job->chain); i++) {
        cJSON *next = add_one(job, i, result, err);
        if (!next)
            return -1;
        cJSON_Delete(result);
        result = next;
    }
    if (cni_result_parse(result, CNI_IFNAME, out, err) < 0)
        return -1;
    if (!out->addr[0])
        return error_set(err, ERR_NET, 0,
                         "CNI network %s gave the lease no IPv4 address; next: give its list an "
                         "\"ipam\" with an IPv4 range",
                         job->chain->network);
    return 0;
}

/* ---- CHECK ---- */

int cni_check(const struct cni_job *job, struct error *err)
{
    size_t n = cni_chain_len(job->chain);
    if (!cni_chain_speaks(job->chain, 0, 4) ||
        json_opt_bool(job->chain->list, "disableCheck", false))
        return 0;
    _cleanup_json_ cJSON *result = read_result(job->chain, job->dirfd, n - 1, err);
    if (!result)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (cni_plugin_run(job, "CHECK", i, result, -1, err) < 0)
            return -1;
    return 0;
}

/* ---- DEL ---- */

void cni_saved_free(struct cni_saved *s)
{
    cni_chain_free(&s->chain);
    cJSON_Delete(s->result);
    s->result = NULL;
}

static int saved_parse(const struct strbuf *text, struct cni_saved *s, struct error *err)
{
    int64_t schema;
    const char *bin_dir;
    _cleanup_json_ cJSON *j = json_parse(text->buf, text->len, SAVED_FILE, err);
    if (!j || json_get_i64(j, "schema", &schema, err) < 0)
        return -1;
    if (schema != 1)
        return error_set(err, ERR_STATE, 0,
                         "schema %lld; next: use the version of crabbox-fc that made it",
                         (long long)schema);
    if (json_copy_string(j, "bootId", s->boot_id, sizeof s->boot_id, err) < 0 ||
        json_get_string(j, "binDir", &bin_dir, err) < 0)
        return -1;
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(j, "list");
    if (!list)
        return error_set(err, ERR_STATE, 0, "\"list\" is missing");
    if (cni_chain_take(list, bin_dir, &s->chain, err) < 0)
        return -1;
    s->chain.recorded = true;
    return 0;
}

int cni_saved_load(int dirfd, struct cni_saved *out, struct error *err)
{
    struct error e = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    *out = (struct cni_saved){.result = NULL};
    if (file_read_at(dirfd, SAVED_FILE, SAVED_MAX, &text, &e) < 0) {
        if (e.sys == ENOENT)
            return 0;
        if (err)
            *err = e;
        return -1;
    }
    if (saved_parse(&text, out, err) < 0) {
        cni_saved_free(out);
        if (err)
            err->kind = ERR_STATE;
        return error_prefix(err, SAVED_FILE);
    }
    for (size_t i = cni_chain_len(&out->chain); i-- > 0 && !out->result;)
        out->result = read_result(&out->chain, dirfd, i, NULL);
    if (out->result)
        (void)cni_result_parse(out->result, CNI_IFNAME, &out->read, NULL);
    out->del_begun = faccessat(dirfd, DEL_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    return 1;
}

/* Calls every plugin, even after one has failed, as each has its own things to remove. The error is
 * that of the first failure. */
static int del_each(const struct cni_job *job, const cJSON *result, struct error *err)
{
    const cJSON *prev = cni_chain_speaks(job->chain, 0, 4) ? result : NULL;
    int r = 0;
    for (size_t i = cni_chain_len(job->chain); i-- > 0;) {
        struct error e = ERROR_INIT;
        if (cni_plugin_run(job, "DEL", i, prev, -1, &e) == 0)
            continue;
        if (r == 0 && err)
            *err = e;
        r = -1;
    }
    return r;
}

int cni_del(const struct cni_job *job, const struct cni_saved *s, struct error *err)
{
    if (file_write_new(job->dirfd, DEL_FILE, "", 0, 0600, err) < 0)
        return -1;
    struct error e = ERROR_INIT;
    if (del_each(job, s->result, &e) == 0)
        return 0;
    struct cni_job without = *job;
    without.netns_fd = -1;
    if (s->del_begun && job->netns_fd >= 0 && del_each(&without, s->result, NULL) == 0) {
        log_warn(
            "%s; a second DEL, without a namespace, succeeded, so the lease's network counts as "
            "removed, but the plugin may have left rules of %s behind",
            e.msg, job->id);
        return 0;
    }
    if (err)
        *err = e;
    return -1;
}

int cni_forget(int dirfd, struct error *err)
{
    char name[16];
    for (size_t i = 0; i < CNI_PLUGINS_MAX; i++) {
        result_name(i, name);
        if (file_unlink(dirfd, name, err) < 0)
            return -1;
    }
    /* This file last: without it the others have no meaning. */
    if (file_unlink(dirfd, DEL_FILE, err) < 0)
        return -1;
    return file_unlink(dirfd, SAVED_FILE, err);
}
