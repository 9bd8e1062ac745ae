/* fields.h: a struct's plain members and their JSON, one row each.
 *
 *   static const struct field rows[] = {
 *       FIELD_STR("user", struct lease, user),
 *       FIELD_I64("sshPort", struct lease, ssh_port),
 *   };
 *   fields_add(j, rows, ARRAY_LEN(rows), &lease);
 *   fields_read(j, rows, ARRAY_LEN(rows), &lease, err);
 */
#ifndef CRABBOX_BASE_FIELDS_H
#define CRABBOX_BASE_FIELDS_H

#include <stddef.h>

#include "base/json.h"

enum field_type { FIELD_IS_STR, FIELD_IS_I64, FIELD_IS_BOOL };

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size;
};

#define FIELD_OF(key, type, of, member)                                                            \
    {                                                                                              \
        key, type, offsetof(of, member), sizeof(((of *)0)->member)                                 \
    }
#define FIELD_STR(key, of, member)  FIELD_OF(key, FIELD_IS_STR, of, member) /* char[] */
#define FIELD_I64(key, of, member)  FIELD_OF(key, FIELD_IS_I64, of, member) /* int64_t */
#define FIELD_BOOL(key, of, member) FIELD_OF(key, FIELD_IS_BOOL, of, member)

/* Adds every row's member of `base` to the object. */
void fields_add(cJSON *j, const struct field *rows, size_t n, const void *base);

/* Reads every row into `base`. -1 (ERR_STATE) names the first key that is absent, of another type
 * or too long; `base` is then half filled. */
int fields_read(const cJSON *j, const struct field *rows, size_t n, void *base, struct error *err);

#endif
