#include "base/fields.h"

void fields_add(cJSON *j, const struct field *rows, size_t n, const void *base)
{
    for (const struct field *f = rows; f < rows + n; f++) {
        const void *p = (const char *)base + f->offset;
        if (f->type == FIELD_IS_STR)
            (void)cJSON_AddStringToObject(j, f->key, (const char *)p);
        else if (f->type == FIELD_IS_I64)
            json_add_i64(j, f->key, *(const int64_t *)p);
        else
            (void)cJSON_AddBoolToObject(j, f->key, *(const bool *)p);
    }
}

int fields_read(const cJSON *j, const struct field *rows, size_t n, void *base, struct error *err)
{
    for (const struct field *f = rows; f < rows + n; f++) {
        void *p = (char *)base + f->offset;
        int r = f->type == FIELD_IS_STR   ? json_copy_string(j, f->key, p, f->size, err)
                : f->type == FIELD_IS_I64 ? json_get_i64(j, f->key, p, err)
                                          : json_get_bool(j, f->key, p, err);
        if (r < 0)
            return -1;
    }
    return 0;
}
