#include "run_plan.h"

#include "base/log.h"
#include "base/text.h"
#include "sync/sync.h"

/* A name may hold any byte but NUL; its row is one line. */
static void add_row(struct strbuf *out, const struct sync_file *f)
{
    strbuf_addf(out, "%12lld ", (long long)f->size);
    text_add(out, f->path);
    strbuf_addc(out, '\n');
}

int run_plan_print(struct invocation *in, int dir_fd, struct error *err)
{
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct deadline d = deadline_never();
    struct sync_list list = {0};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    d.cancel_fd = in->cancel_fd;
    limits.never = in->ops.store.path;
    if (in->opt.force_sync_large) {
        limits.max_files = 0;
        limits.max_bytes = 0;
    }
    if (sync_scan(dir_fd, in->cfg.run.exclude, &limits, &d, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.n_files; i++)
        add_row(&out, &list.files[i]);
    int r = out_text(out.buf, err);
    log_info("%zu files, %lld bytes of %s would go to %s/LEASE/%s; %zu left out%s%s", list.n_files,
             (long long)list.bytes, list.root, in->cfg.firecracker.work_root, list.name,
             list.n_skipped, list.first_skipped ? ", first " : "",
             list.first_skipped ? list.first_skipped : "");
    sync_list_free(&list);
    return r;
}
