/* gitindex.c: the layout is in git's Documentation/gitformat-index.txt. */
#include "sync/gitindex.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sync/repo.h"
#include "sys/hash.h"

enum {
    HEADER = 12,
    STAT_PART = 40,    /* of an entry: what comes before the hash */
    MODE_AT = 24,      /* in that */
    EXTENDED = 0x4000, /* in the flags: two more bytes of flags follow */
    NAME_MASK = 0xfff,
    SKIP_WORKTREE = 0x4000, /* in those */
    ENTRIES_MAX = 10000000,
    NAME_MAX_BYTES = 65536,
    NAMES_MAX_BYTES = 128 * 1024 * 1024, /* together: version 4 can say much in a few bytes */
};

/* Of struct gitindex.change. */
enum { KEEP, REPLACE, DELETE };

struct reader {
    const unsigned char *at, *end;
    unsigned version;
    size_t hash; /* bytes of an object's name: 20 or 32 */
};

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const unsigned char *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

void gitindex_free(struct gitindex *x)
{
    for (size_t i = 0; i < x->n; i++)
        free(x->entries[i].path);
    free(x->entries);
    free(x->change);
    *x = (struct gitindex){0};
}

/* ---- one entry ---- */

/* git's variable length number: how much of the previous path goes. */
static int read_varint(struct reader *r, size_t *out)
{
    size_t v = 0;
    for (bool more = true; more; r->at++) {
        if (r->at == r->end || v > SIZE_MAX >> 8)
            return -1;
        v = (v << 7) | (*r->at & 0x7f);
        more = *r->at & 0x80;
        v += more;
    }
    *out = v;
    return 0;
}

/* The path of an entry of version 4: the beginning of the last one, and what follows here. */
static int read_short_name(struct reader *r, struct strbuf *last)
{
    size_t drop = 0;
    if (read_varint(r, &drop) < 0 || drop > last->len)
        return -1;
    const unsigned char *nul = memchr(r->at, '\0', left(r));
    if (!nul)
        return -1;
    last->len -= drop;
    strbuf_add(last, r->at, (size_t)(nul - r->at));
    r->at = nul + 1;
    return 0;
}

/* The path of an earlier version, ended by one to eight NULs up to a multiple of eight. */
static int read_whole_name(struct reader *r, const unsigned char *start, size_t len,
                           struct strbuf *last)
{
    const unsigned char *nul = memchr(r->at, '\0', left(r));
    if (!nul || (len < NAME_MASK ? (size_t)(nul - r->at) != len : nul - r->at < NAME_MASK))
        return -1;
    strbuf_reset(last);
    strbuf_add(last, r->at, (size_t)(nul - r->at));
    size_t whole = ((size_t)(nul - start) + 8) & ~(size_t)7;
    if ((size_t)(r->end - start) < whole)
        return -1;
    for (r->at = nul; r->at < start + whole; r->at++)
        if (*r->at)
            return -1;
    return 0;
}

static enum gitindex_kind kind_of(uint32_t mode)
{
    switch (mode & 0170000) {
    case 0160000:
        return GITINDEX_LINK;
    case 0040000:
        return GITINDEX_SPARSE;
    default:
        return GITINDEX_FILE;
    }
}

static int read_entry(struct reader *r, struct gitindex_entry *e, struct strbuf *last)
{
    const unsigned char *start = r->at;
    if (left(r) < STAT_PART + r->hash + 2)
        return -1;
    unsigned flags = be32(start + STAT_PART + r->hash - 2) & 0xffff;
    *e = (struct gitindex_entry){.kind = kind_of(be32(start + MODE_AT))};
    memcpy(e->oid, start + STAT_PART, r->hash);
    r->at += STAT_PART + r->hash + 2;
    if (flags & EXTENDED) {
        if (r->version < 3 || left(r) < 2)
            return -1;
        e->skipped = r->at[0] & (SKIP_WORKTREE >> 8);
        r->at += 2;
    }
    return r->version == 4 ? read_short_name(r, last)
                           : read_whole_name(r, start, flags & NAME_MASK, last);
}

/* ---- the whole file ---- */

static int read_entries(struct reader *r, struct gitindex *x, size_t count)
{
    _cleanup_strbuf_ struct strbuf last = STRBUF_INIT;
    size_t total = 0;
    if (count > ENTRIES_MAX || count > left(r) / (STAT_PART + r->hash + 2))
        return -1;
    x->entries = xcalloc(count + 1, sizeof *x->entries);
    while (x->n < count) {
        struct gitindex_entry *e = &x->entries[x->n];
        if (read_entry(r, e, &last) < 0 || last.len > NAME_MAX_BYTES ||
            (total += last.len) > NAMES_MAX_BYTES)
            return -1;
        size_t len = last.len;
        if (len && last.buf[len - 1] == '/')
            len--; /* of a sparse directory */
        e->path = xcalloc(1, len + 1);
        memcpy(e->path, last.buf, len);
        x->n++;
    }
    return 0;
}

static void mark(struct gitindex *x, size_t from, uint64_t n, uint8_t how)
{
    for (size_t i = from; n && i < x->n_change; i++, n--)
        x->change[i] = how;
}

/* A compressed bitmap (git's Documentation/technical/bitmap-format.txt): words that repeat a bit
 * and words as they are, in turn. */
static int read_bitmap(struct reader *r, struct gitindex *x, uint8_t how)
{
    if (left(r) < 8)
        return -1;
    size_t bits = be32(r->at);
    size_t words = be32(r->at + 4);
    r->at += 8;
    if (bits > ENTRIES_MAX || left(r) < 4 || words > (left(r) - 4) / 8)
        return -1;
    if (bits > x->n_change) {
        x->change = xrealloc(x->change, bits);
        memset(x->change + x->n_change, KEEP, bits - x->n_change);
        x->n_change = bits;
    }
    const unsigned char *end = r->at + words * 8;
    for (size_t at = 0; r->at < end;) {
        uint64_t head = be64(r->at);
        uint64_t run = (head >> 1 & UINT32_MAX) * 64;
        uint64_t literal = head >> 33;
        r->at += 8;
        if (head & 1)
            mark(x, at, run, how);
        at = run < x->n_change - at ? at + (size_t)run : x->n_change;
        for (; literal && r->at < end; literal--, r->at += 8) {
            uint64_t word = be64(r->at);
            for (size_t bit = 0; bit < 64; bit++)
                if (word >> bit & 1 && at + bit < x->n_change)
                    x->change[at + bit] = how;
            at = x->n_change - at > 64 ? at + 64 : x->n_change;
        }
        if (literal)
            return -1;
    }
    r->at = end + 4;
    return 0;
}

/* The extension of a split index. */
static int read_link(const struct reader *r, const unsigned char *data, size_t size,
                     struct gitindex *x)
{
    struct reader in = {data, data + size, r->version, r->hash};
    static const unsigned char none[32];
    if (size < r->hash)
        return -1;
    in.at += r->hash;
    if (memcmp(data, none, r->hash) != 0)
        str_hex(data, r->hash, x->base);
    if (!left(&in))
        return 0;
    return read_bitmap(&in, x, DELETE) < 0 || read_bitmap(&in, x, REPLACE) < 0 ? -1 : 0;
}

/* To the end of the file without its checksum. Sets *unknown where one must be understood. Only one
 * can tell how the index is split: each marks up to ENTRIES_MAX places with a few bytes. */
static int read_extensions(struct reader *r, struct gitindex *x, char unknown[static 5])
{
    bool linked = false;
    while (left(r)) {
        if (left(r) < 8 || left(r) - 8 < be32(r->at + 4))
            return -1;
        const unsigned char *name = r->at;
        size_t size = be32(name + 4);
        r->at += 8 + size;
        if (memcmp(name, "link", 4) == 0) {
            if (linked || read_link(r, name + 8, size, x) < 0)
                return -1;
            linked = true;
        } else if ((name[0] < 'A' || name[0] > 'Z') && memcmp(name, "sdir", 4) != 0) {
            memcpy(unknown, name, 4);
        }
    }
    return 0;
}

static int damaged(const char *what, struct error *err)
{
    return error_set(err, ERR_SYNC, 0, "%s is damaged; next: git status" REPO_IF_TRUSTED, what);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct gitindex_entry *)a)->path,
                  ((const struct gitindex_entry *)b)->path);
}

int gitindex_settle(struct gitindex *x, const char *what, struct error *err)
{
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 1; sorted && i < x->n; i++)
        sorted = by_path(&x->entries[i - 1], &x->entries[i]) <= 0;
    if (!sorted)
        qsort(x->entries, x->n, sizeof *x->entries, by_path);
    for (size_t i = 1; i < x->n; i++) {
        struct gitindex_entry *last = &x->entries[kept];
        struct gitindex_entry *e = &x->entries[i];
        if (!str_eq(last->path, e->path)) {
            x->entries[++kept] = *e;
            continue;
        }
        last->kind = e->kind == GITINDEX_LINK ? GITINDEX_LINK : last->kind;
        last->skipped = last->skipped && e->skipped;
        free(e->path);
    }
    x->n = x->n ? kept + 1 : 0;
    if (x->n && !*x->entries[0].path)
        return damaged(what, err);
    return 0;
}

static int parse_as(struct gitindex *x, const unsigned char *data, size_t len, size_t hash,
                    char unknown[static 5])
{
    struct reader r = {data + HEADER, data + len, be32(data + 4), hash};
    if (left(&r) < hash)
        return -1;
    r.end -= hash;
    x->hash = hash;
    if (read_entries(&r, x, be32(data + 8)) < 0)
        return -1;
    x->extensions = (size_t)(r.at - data);
    return read_extensions(&r, x, unknown);
}

int gitindex_strip(const struct gitindex *x, struct strbuf *file, struct error *err)
{
    static const char *const stay[] = {"TREE", "link", "sdir"};
    unsigned char *bytes = (unsigned char *)file->buf, *to = bytes + x->extensions;
    struct reader r = {to, bytes + file->len - x->hash, 0, x->hash};
    while (left(&r)) {
        const unsigned char *at = r.at;
        size_t size = 8 + be32(at + 4);
        r.at += size;
        for (size_t i = 0; i < ARRAY_LEN(stay); i++)
            if (memcmp(at, stay[i], 4) == 0) {
                memmove(to, at, size);
                to += size;
            }
    }
    file->len = (size_t)(to - bytes) + x->hash;
    return hash_for_git(bytes, file->len - x->hash, to, x->hash, err);
}

int gitindex_parse(struct gitindex *x, const void *data, size_t len, const char *what,
                   struct error *err)
{
    static const size_t hashes[] = {20, 32};
    const unsigned char *bytes = data;
    *x = (struct gitindex){0};
    if (len < HEADER || memcmp(bytes, "DIRC", 4) != 0)
        return error_set(err, ERR_SYNC, 0,
                         "%s is not a git index; next: git status" REPO_IF_TRUSTED, what);
    if (be32(bytes + 4) < 2 || be32(bytes + 4) > 4)
        return error_set(err, ERR_SYNC, 0,
                         "%s has version %u, which is not supported; next: git update-index "
                         "--index-version 4" REPO_IF_TRUSTED,
                         what, (unsigned)be32(bytes + 4));
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        _cleanup_(gitindex_free) struct gitindex try = {0};
        char unknown[5] = "";
        if (parse_as(&try, bytes, len, hashes[i], unknown) < 0)
            continue;
        if (*unknown)
            return error_set(err, ERR_SYNC, 0,
                             "%s has an extension '%s', which is not supported; next: --no-sync",
                             what, unknown);
        *x = try;
        try = (struct gitindex){0};
        return 0;
    }
    return damaged(what, err);
}

int gitindex_merge(struct gitindex *x, struct gitindex *base, const char *what, struct error *err)
{
    _cleanup_(gitindex_free) struct gitindex from = *base;
    size_t next = 0;
    size_t own = x->n;
    *base = (struct gitindex){0};
    if (*from.base || x->n_change > from.n || from.hash != x->hash)
        return damaged(what, err);
    x->entries = xrealloc(x->entries, (x->n + from.n + 1) * sizeof *x->entries);
    for (size_t i = 0; i < from.n; i++) {
        uint8_t change = i < x->n_change ? x->change[i] : KEEP;
        struct gitindex_entry *e = &from.entries[i];
        if (change == REPLACE) {
            /* The entry is in x, in the same order, without its path. */
            if (next == own || *x->entries[next].path)
                return damaged(what, err);
            free(x->entries[next].path);
            x->entries[next++].path = TAKE_PTR(e->path);
        } else if (change == KEEP) {
            x->entries[x->n++] = *e;
            e->path = NULL;
        }
    }
    x->base[0] = '\0';
    return 0;
}

/* ---- looking up ---- */

/* The first entry that is not before `path`. */
static size_t lower_bound(const struct gitindex *x, const char *path)
{
    size_t low = 0;
    size_t high = x->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(x->entries[mid].path, path) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct gitindex_entry *gitindex_find(const struct gitindex *x, const char *path)
{
    size_t i = lower_bound(x, path);
    return i < x->n && str_eq(x->entries[i].path, path) ? &x->entries[i] : NULL;
}

bool gitindex_holds(const struct gitindex *x, const char *path)
{
    _cleanup_free_ char *below = xasprintf("%s/", path);
    size_t i = lower_bound(x, below);
    return i < x->n && str_has_prefix(x->entries[i].path, below);
}
