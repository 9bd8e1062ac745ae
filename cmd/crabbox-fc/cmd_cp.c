#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "fetch/fetch.h"
#include "run/copy.h"

/* "lease:path": a colon before any slash, as scp has it. Returns the lease's part (to be freed) or
 * NULL for a path of the host. */
static char *split_place(const char *word, const char **path)
{
    const char *colon = strchr(word, ':');
    const char *slash = strchr(word, '/');
    *path = word;
    if (!colon || colon == word || (slash && slash < colon))
        return NULL;
    *path = colon + 1;
    return xasprintf("%.*s", (int)(colon - word), word);
}

static int print(struct invocation *in, const struct ops_copied *c, struct error *err)
{
    if (c->n_skipped)
        log_warn("left out: %zu %s, first %s", c->n_skipped,
                 c->n_skipped == 1 ? "link or special file" : "links or special files",
                 c->first_skipped);
    if (c->n_obeyed)
        log_warn("left out: %zu name%s that programs on this host would obey, first %s; next: copy "
                 "one by its own name to get it",
                 c->n_obeyed, c->n_obeyed == 1 ? "" : "s", c->first_obeyed);
    if (!in->opt.json) {
        log_info("copied %zu file%s, %lld bytes in %lldms", c->n_files, c->n_files == 1 ? "" : "s",
                 (long long)c->bytes, (long long)(c->us / 1000));
        return 0;
    }
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    json_add_i64(j, "files", (int64_t)c->n_files);
    json_add_i64(j, "bytes", c->bytes);
    json_add_i64(j, "skipped", (int64_t)(c->n_skipped + c->n_obeyed));
    json_add_i64(j, "copyMs", c->us / 1000);
    return out_json(j, err);
}

/* With --id the lease is named there, and what stands before the colon is Crabbox's word for it. */
static int check_id(const char *id, const char *lease, struct error *err)
{
    if (!id || str_eq(lease, "SANDBOX") || str_eq(lease, id))
        return 0;
    return error_set(err, ERR_USAGE, 0,
                     "cp: --id %s and \"%s:\" name two leases; next: write SANDBOX:PATH, or leave "
                     "--id out",
                     id, lease);
}

/* What scp does not do either. Files of other kinds have their own messages. */
static int check_stream(const char *local, bool is_out, const char *ref, struct error *err)
{
    struct stat st;
    if (!str_eq(local, "-") && (!str_has_prefix(local, "/dev/") || stat(local, &st) < 0 ||
                                (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))))
        return 0;
    return is_out
               ? error_set(err, ERR_USAGE, 0,
                           "cp: \"%s\" is a stream, not a file; next: crabbox-fc ssh %s cat PATH",
                           local, ref)
               : error_set(err, ERR_USAGE, 0,
                           "cp: \"%s\" is a stream, not a file; next: crabbox-fc ssh %s "
                           "'cat >PATH'",
                           local, ref);
}

/* Neither or both are in the guest. The name of a lease alone lacks its colon. */
static int refuse_places(struct invocation *in, struct error *err)
{
    struct lease_entry e;
    for (int i = 0; i < 2; i++)
        if (!strchr(in->args[i], ':') && ops_entry(&in->ops, in->args[i], &e, NULL) == 0)
            return error_set(
                err, ERR_USAGE, 0,
                "cp: \"%s\" is a lease, but without a colon it names a file here; next: "
                "write %s: or %s:PATH",
                in->args[i], in->args[i], in->args[i]);
    return error_set(err, ERR_USAGE, 0,
                     "cp: exactly one of \"%s\" and \"%s\" must be LEASE:PATH; next: crabbox-fc cp "
                     "--help",
                     in->args[0], in->args[1]);
}

int cmd_cp(struct invocation *in, struct error *err)
{
    const char *from;
    const char *to;
    struct ops_copied copied;
    int64_t stall_ms = 0;
    _cleanup_free_ char *from_lease = split_place(in->args[0], &from);
    _cleanup_free_ char *to_lease = split_place(in->args[1], &to);
    if (!from_lease == !to_lease)
        return refuse_places(in, err);
    const char *named = from_lease ? from_lease : to_lease;
    if (option_time("stall-timeout", in->opt.stall_timeout, &stall_ms, err) < 0 ||
        way_here_check(in, err) < 0 || check_id(in->opt.id, named, err) < 0 ||
        check_stream(from_lease ? to : from, from_lease, in->opt.id ? in->opt.id : named, err) <
            0 ||
        fetch_home("cp", from_lease ? &from : &to, err) < 0)
        return -1;
    const char *ref = in->opt.id ? in->opt.id : named;
    int r = from_lease ? ops_copy_out(&in->ops, ref, from, to, stall_ms, &copied, err)
                       : ops_copy_in(&in->ops, from, ref, to, stall_ms, &copied, err);
    return r < 0 ? -1 : print(in, &copied, err);
}
