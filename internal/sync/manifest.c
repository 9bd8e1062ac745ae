/* manifest.c: the file is a sequence of NUL-terminated strings, as paths may hold anything else:
 * magic, root, mark, remote, id, then for each entry "mode size mtime ctime dirty" and its path.
 */
#include "sync/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "sys/hash.h"

#define MAGIC        "crabbox-fc sync manifest 2"
#define MANIFEST_MAX (256 * 1024 * 1024)
#define PREFIX       "sync-" /* of a manifest's name */

enum { HEAD_MAX = 4 * PATH_MAX }; /* of a manifest: all before its entries */
enum { NAME_KEPT = 120 }; /* bytes; with lock.sync- before it and a hash after it, a file's name */

int sync_store_name(const char *tree, char out[static SYNC_STORE_NAME_SIZE], struct error *err)
{
    char hash[SHA256_HEX_SIZE];
    size_t len = strlen(tree);
    if (len > NAME_KEPT && sha256_bytes(tree, len, hash, err) < 0)
        return -1;
    return len > NAME_KEPT
               ? str_format(out, SYNC_STORE_NAME_SIZE, PREFIX "%.*s-%s", NAME_KEPT, tree, hash)
               : str_format(out, SYNC_STORE_NAME_SIZE, PREFIX "%s", tree);
}

void sync_manifest_free(struct manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->entries[i].file.path);
    free(m->entries);
    free(m->root);
    free(m->remote);
    *m = (struct manifest){0};
}

void sync_manifest_append(struct manifest *m, const struct sync_file *f, bool dirty)
{
    if (m->n == m->alloc) {
        m->alloc = m->alloc ? 2 * m->alloc : 256;
        m->entries = xrealloc(m->entries, m->alloc * sizeof *m->entries);
    }
    m->entries[m->n] = (struct manifest_entry){.file = *f, .dirty = dirty};
    m->entries[m->n++].file.path = xstrdup(f->path);
}

static int compare(const void *key, const void *entry)
{
    return strcmp(key, ((const struct manifest_entry *)entry)->file.path);
}

struct manifest_entry *sync_manifest_find(const struct manifest *m, const char *path)
{
    return m->n ? bsearch(path, m->entries, m->n, sizeof *m->entries, compare) : NULL;
}

/* The next string of the buffer, or NULL where none ends. */
static const char *next_string(const char **at, const char *end)
{
    const char *s = *at;
    const char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;
    if (!nul)
        return NULL;
    *at = nul + 1;
    return s;
}

/* One decimal number and the blank or end behind it. */
static int next_number(const char **at, int64_t *out)
{
    char *end;
    errno = 0;
    if (**at != '-' && (**at < '0' || **at > '9'))
        return -1;
    *out = strtoll(*at, &end, 10);
    if (errno || end == *at || (*end && *end != ' '))
        return -1;
    *at = end + (*end == ' ');
    return 0;
}

static int parse_entry(const char *numbers, struct sync_file *f, bool *dirty)
{
    int64_t mode;
    int64_t flag;
    if (next_number(&numbers, &mode) < 0 || next_number(&numbers, &f->size) < 0 ||
        next_number(&numbers, &f->mtime_ns) < 0 || next_number(&numbers, &f->ctime_ns) < 0 ||
        next_number(&numbers, &flag) < 0 || *numbers)
        return -1;
    if (mode < 0 || mode > 0177777 || f->size < 0 || flag < 0 || flag > 1)
        return -1;
    f->mode = (mode_t)mode;
    *dirty = flag;
    return 0;
}

/* What may be deleted in the guest by this name: nothing above or beside the work directory. */
static bool path_is_safe(const char *path)
{
    if (!*path || *path == '/')
        return false;
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += len;
        if (*p == '/' && p[1] == '\0')
            return false;
        p += *p == '/';
    }
    return true;
}

static bool id_is_hex(const char *id)
{
    return strlen(id) == MANIFEST_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == strlen(id);
}

static int parse_head(struct manifest *m, const char **at, const char *end)
{
    const char *magic = next_string(at, end);
    const char *root = next_string(at, end);
    const char *mark = next_string(at, end);
    const char *remote = next_string(at, end);
    const char *id = next_string(at, end);
    *m = (struct manifest){0};
    if (!id || !str_eq(magic, MAGIC) || !id_is_hex(id) ||
        str_copy(m->mark, sizeof m->mark, mark) < 0)
        return -1;
    m->root = xstrdup(root);
    m->remote = xstrdup(remote);
    (void)str_copy(m->id, sizeof m->id, id);
    return 0;
}

int sync_manifest_parse(struct manifest *m, const char *text, size_t len)
{
    const char *at = text;
    const char *end = text + len;
    if (parse_head(m, &at, end) < 0)
        return -1;
    while (at < end) {
        struct sync_file f = {0};
        bool dirty = true;
        const char *numbers = next_string(&at, end);
        const char *path = next_string(&at, end);
        if (!path || parse_entry(numbers, &f, &dirty) < 0 || !path_is_safe(path))
            return -1;
        if (m->n && strcmp(m->entries[m->n - 1].file.path, path) >= 0)
            return -1;
        union {
            const char *in;
            char *out;
        } borrowed = {.in = path};
        f.path = borrowed.out; /* copied */
        sync_manifest_append(m, &f, dirty);
    }
    return 0;
}

void sync_manifest_begin(struct manifest *m, const struct sync_list *tree, const char *remote)
{
    uint8_t raw[(MANIFEST_ID_SIZE - 1) / 2];
    *m = (struct manifest){.root = xstrdup(tree->root), .remote = xstrdup(remote)};
    (void)str_copy(m->mark, sizeof m->mark, tree->mark);
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, m->id);
}

bool sync_manifest_load(struct manifest *m, const struct sync_store *store,
                        const struct sync_list *tree, const char *remote)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    *m = (struct manifest){0};
    if (file_read_at(store->dirfd, store->name, MANIFEST_MAX, &text, NULL) == 0 &&
        sync_manifest_parse(m, text.buf, text.len) == 0 && str_eq(m->remote, remote))
        return true;
    sync_manifest_free(m);
    sync_manifest_begin(m, tree, remote);
    return false;
}

enum manifest_tree sync_manifest_compare(const struct manifest *m, const struct sync_list *tree)
{
    bool place = str_eq(m->root, tree->root);
    if (*m->mark && *tree->mark ? str_eq(m->mark, tree->mark) : place)
        return MANIFEST_SAME;
    return place ? MANIFEST_REPLACED : MANIFEST_OTHER;
}

bool sync_is_there(const struct sync_store *store, const struct sync_list *tree,
                   const char *remote_dir)
{
    struct manifest m;
    bool same = sync_manifest_load(&m, store, tree, remote_dir) &&
                sync_manifest_compare(&m, tree) == MANIFEST_SAME;
    sync_manifest_free(&m);
    return same;
}

/* The name in the guest, if this file is the manifest of the tree. */
static char *name_of(int dirfd, const char *file, const struct sync_list *tree)
{
    char head[HEAD_MAX];
    struct manifest m = {0};
    char *name = NULL;
    _cleanup_close_ int fd = file_open_at(dirfd, file, false, NULL);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    const char *at = head;
    if (n > 0 && parse_head(&m, &at, head + n) == 0 && str_eq(m.mark, tree->mark)) {
        const char *slash = strrchr(m.remote, '/');
        name = slash && slash[1] ? xstrdup(slash + 1) : NULL;
    }
    sync_manifest_free(&m);
    return name;
}

char *sync_first_name(int dirfd, const struct sync_list *tree)
{
    _cleanup_free_ char *found = NULL;
    _cleanup_closedir_ DIR *dir = *tree->mark ? dir_reopen(dirfd) : NULL;
    for (struct dirent *e; dir && (e = dir_next(dir));) {
        _cleanup_free_ char *name = str_has_prefix(e->d_name, PREFIX)
                                        ? name_of(dirfd, e->d_name, tree)
                                        : NULL;
        if (name && str_eq(name, tree->name))
            return TAKE_PTR(name);
        if (name && (!found || strcmp(name, found) < 0)) {
            free(found);
            found = TAKE_PTR(name);
        }
    }
    return TAKE_PTR(found);
}

int sync_manifest_save(const struct manifest *m, const struct sync_store *store, struct error *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    const char *const head[] = {MAGIC, m->root, m->mark, m->remote, m->id};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        strbuf_add(&out, head[i], strlen(head[i]) + 1);
    for (size_t i = 0; i < m->n; i++) {
        const struct sync_file *f = &m->entries[i].file;
        strbuf_addf(&out, "%u %lld %lld %lld %d", (unsigned)f->mode, (long long)f->size,
                    (long long)f->mtime_ns, (long long)f->ctime_ns, m->entries[i].dirty);
        strbuf_addc(&out, '\0');
        strbuf_add(&out, f->path, strlen(f->path) + 1);
    }
    return file_write_new(store->dirfd, store->name, out.buf, out.len, 0600, err);
}
