#include "lease/local.h"

#include "base/cleanup.h"
#include "base/fields.h"
#include "base/str.h"
#include "base/text.h"

static const struct field rows[] = {
    FIELD_STR("imageKind", struct lease_local, image_kind),
    FIELD_STR("rootfs", struct lease_local, rootfs),
    FIELD_STR("kernelRelease", struct lease_local, kernel_release),
    FIELD_STR("rootfsPin", struct lease_local, pin),
    FIELD_STR("diskHow", struct lease_local, disk_how),
};

void lease_local_lacks(struct lease_local *l, const char *what)
{
    _cleanup_free_ char *all = xasprintf("%s%s%s", l->lacks, *l->lacks && *what ? "; " : "", what);
    text_copy(l->lacks, sizeof l->lacks, all);
}

cJSON *lease_local_to_json(const struct lease_local *l)
{
    cJSON *j = cJSON_CreateObject();
    fields_add(j, rows, ARRAY_LEN(rows), l);
    if (l->disk_overcommit)
        (void)cJSON_AddBoolToObject(j, "diskOvercommit", true);
    if (*l->cgroup)
        (void)cJSON_AddStringToObject(j, "cgroup", l->cgroup);
    if (*l->lacks)
        (void)cJSON_AddStringToObject(j, "lacks", l->lacks);
    (void)cJSON_AddItemToObject(j, "net", net_lease_to_json(&l->net));
    (void)cJSON_AddItemToObject(j, "vmm", vmm_ref_to_json(&l->vmm));
    if (l->plugin.pid > 0)
        proc_ref_add_json(cJSON_AddObjectToObject(j, "plugin"), &l->plugin);
    if (l->pasta.pid > 0)
        proc_ref_add_json(cJSON_AddObjectToObject(j, "pasta"), &l->pasta);
    return j;
}

/* Absent where there is no more to say, and in leases of older versions. */
static int read_isolation(const cJSON *j, struct lease_local *l, struct error *err)
{
    bool grouped = cJSON_HasObjectItem(j, "cgroup"), lacks = cJSON_HasObjectItem(j, "lacks");
    if ((grouped && json_copy_string(j, "cgroup", l->cgroup, sizeof l->cgroup, err) < 0) ||
        (lacks && json_copy_string(j, "lacks", l->lacks, sizeof l->lacks, err) < 0))
        return -1;
    const char *wrong = grouped ? cgroup_name_check(l->cgroup) : NULL;
    return wrong ? error_set(err, ERR_STATE, 0, "cgroup \"%s\": %s", SHOWN(l->cgroup), wrong) : 0;
}

int lease_local_from_json(const cJSON *j, struct lease_local *out, struct error *err)
{
    struct lease_local l = {.disk_overcommit = json_opt_bool(j, "diskOvercommit", false)};
    if (fields_read(j, rows, ARRAY_LEN(rows), &l, err) < 0)
        return -1;
    if (net_lease_from_json(cJSON_GetObjectItemCaseSensitive(j, "net"), &l.net, err) < 0)
        return error_prefix(err, "net");
    if (vmm_ref_from_json(cJSON_GetObjectItemCaseSensitive(j, "vmm"), &l.vmm, err) < 0)
        return error_prefix(err, "vmm");
    if (read_isolation(j, &l, err) < 0)
        return -1;
    const cJSON *plugin = cJSON_GetObjectItemCaseSensitive(j, "plugin");
    if (plugin && proc_ref_from_json(plugin, &l.plugin, err) < 0)
        return error_prefix(err, "plugin");
    const cJSON *pasta = cJSON_GetObjectItemCaseSensitive(j, "pasta");
    if (pasta && proc_ref_from_json(pasta, &l.pasta, err) < 0)
        return error_prefix(err, "pasta");
    *out = l;
    return 0;
}
