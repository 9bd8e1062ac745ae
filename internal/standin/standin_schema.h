/* standin_schema.h: which fields the bodies of Firecracker's API may and must have.
 *
 * The real one refuses unknown fields, wrong types and missing required fields; so does
 * schema_check(), from tables. A field that came with a later version than the one that is played
 * counts as unknown.
 */
#ifndef CRABBOX_STANDIN_STANDIN_SCHEMA_H
#define CRABBOX_STANDIN_STANDIN_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

enum field_type { F_STRING, F_BOOL, F_UINT, F_CHOICE, F_OBJECT, F_ARRAY, F_ANY };

struct field {
    const char *name; /* NULL ends a table */
    enum field_type type;
    bool required;
    int64_t min, max;        /* F_UINT; max 0: no limit */
    const char *choices;     /* F_CHOICE: "|Unsafe|Writeback|" */
    const struct field *sub; /* F_OBJECT */
    unsigned since;          /* minor version of 1.x that brought it */
};

extern const struct field schema_machine[], schema_machine_patch[], schema_boot[], schema_drive[],
    schema_drive_patch[], schema_net[], schema_net_patch[], schema_vsock[], schema_logger[],
    schema_metrics[], schema_serial[], schema_balloon[], schema_entropy[], schema_mmds_config[],
    schema_action[], schema_vm[], schema_any[];

/* 0, or -1 with a message that names the field. Optional fields may be null. */
int schema_check(const cJSON *body, const struct field *fields, unsigned minor, struct error *err);

#endif
