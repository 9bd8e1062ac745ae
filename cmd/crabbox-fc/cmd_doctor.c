/* cmd_doctor.c: is this host ready, and if not, what would fix it? Exit code 0 or 1. */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "doctor/doctor.h"

/* --provider firecracker asks about Firecracker; another VMM on the same command line would have
 * to be ignored, and nothing is ever ignored. */
static int check_conflict(struct invocation *in, struct error *err)
{
    const struct config_key *vmm = config_key_by_flag("vmm");
    if (vmm && !str_eq(in->cfg.vmm, "firecracker") &&
        str_has_prefix(config_value_source(&in->cfg, vmm), "flag:"))
        return error_set(err, ERR_USAGE, 0,
                         "--provider firecracker asks about Firecracker, --vmm %s does not; next: "
                         "crabbox-fc doctor --vmm %s",
                         in->cfg.vmm, in->cfg.vmm);
    return 0;
}

static int print_report(const struct invocation *in, const struct doctor_report *r,
                        struct error *err)
{
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = doctor_json(r);
        return out_json(j, err);
    }
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    bool coloured = out_colours(STDOUT_FILENO);
    doctor_text(r, coloured, in->opt.quiet, out_width(STDOUT_FILENO), &text);
    if (!text.len) /* with --quiet, where all is well */
        return 0;
    return coloured ? out_coloured(text.buf, err) : out_text(text.buf, err);
}

int cmd_doctor(struct invocation *in, struct error *err)
{
    struct doctor_report r;
    const char *provider = in->opt.provider;
    if (provider && str_eq(provider, "crabbox-fc")) /* whatever its VMM */
        provider = NULL;
    if ((provider && check_conflict(in, err) < 0) ||
        doctor_run(&in->cfg, providers, in->opt.state_dir, provider, &r, err) < 0)
        return -1;
    int code = print_report(in, &r, err) < 0 ? -1 : r.ok ? 0 : 1;
    doctor_free(&r);
    return code;
}

/* Scripts that read the JSON want the reason in it. */
int cmd_doctor_refused(const struct invocation *in, struct error *err)
{
    struct doctor_report r;
    if (!in->opt.json)
        return -1;
    doctor_refused(err, &r);
    error_clear(err);
    int code = print_report(in, &r, err) < 0 ? -1 : 1;
    doctor_free(&r);
    return code;
}
