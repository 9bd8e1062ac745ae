#include "lease/local.h"

#include "base/fields.h"
#include "base/str.h"

static const struct field rows[] = {
    FIELD_STR("imageKind", struct lease_local, image_kind),
    FIELD_STR("rootfs", struct lease_local, rootfs),
    FIELD_STR("kernelRelease", struct lease_local, kernel_release),
    FIELD_STR("rootfsPin", struct lease_local, pin),
    FIELD_STR("diskHow", struct lease_local, disk_how),
};

cJSON *lease_local_to_json(const struct lease_local *l)
{
    cJSON *j = cJSON_CreateObject();
    fields_add(j, rows, ARRAY_LEN(rows), l);
    if (l->disk_overcommit)
        (void)cJSON_AddBoolToObject(j, "diskOvercommit", true);
    (void)cJSON_AddItemToObject(j, "net", net_lease_to_json(&l->net));
    (void)cJSON_AddItemToObject(j, "vmm", vmm_ref_to_json(&l->vmm));
    if (l->plugin.pid > 0)
        proc_ref_add_json(cJSON_AddObjectToObject(j, "plugin"), &l->plugin);
    if (l->pasta.pid > 0)
        proc_ref_add_json(cJSON_AddObjectToObject(j, "pasta"), &l->pasta);
    return j;
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
    const cJSON *plugin = cJSON_GetObjectItemCaseSensitive(j, "plugin");
    if (plugin && proc_ref_from_json(plugin, &l.plugin, err) < 0)
        return error_prefix(err, "plugin");
    const cJSON *pasta = cJSON_GetObjectItemCaseSensitive(j, "pasta");
    if (pasta && proc_ref_from_json(pasta, &l.pasta, err) < 0)
        return error_prefix(err, "pasta");
    *out = l;
    return 0;
}
