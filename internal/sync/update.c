/* update.c: sync_update: how the guest's work directory is brought up to date.
 *
 * sync_scan has made a sorted list of the files to send, each with size, times and mode. A manifest
 * on the host has the same for every file that earlier syncs put into the guest. An entry is dirty
 * if the guest's copy of it is not known. An update goes like this:
 * 1. Lock, and load the manifest.
 * 2. Ask the guest what it changed (survey.c). The last sync left a marker file there; everything
 *    with a later change time becomes dirty. If the marker or the manifest is missing or wrong,
 *    everything becomes dirty.
 * 3. Compare the two sorted lists. Files that are new, different or dirty are sent. Files that are
 *    only in the manifest are deleted. Files that neither list has were made by the guest, and
 *    stay.
 * 4. Save the new manifest, in which all these files are dirty, before the guest is touched.
 * 5. Delete, then send the files in parts of limited size (push.c). Each part is one tar archive,
 *    made while it is sent. After each part the guest gets a new marker, the files of the part are
 *    no longer dirty, and the manifest is saved.
 *
 * So the manifest never claims more than is true. If we die or the connection breaks, the next
 * update repeats only the part that was under way. A file that changed just before the scan stays
 * dirty, because it may change again without getting another time.
 *
 * The guest's answers only ever make files dirty. A guest that lies gets files again, and harms
 * nobody else.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/manifest.h"
#include "sync/push.h"
#include "sync/survey.h"
#include "sys/lock.h"

/* File systems tick coarsely: what changed this shortly before the scan may change again without
 * getting another time. */
enum { TICK_NS = 50 * 1000 * 1000 };
#define COARSE_TICK_NS 2000000000LL
#define SECOND_NS      1000000000LL

struct update {
    const struct sync_list *list;
    struct manifest known; /* owned */
    struct manifest next;  /* owned */
    struct sync_list send; /* borrows paths; owns the array */
    const char **deletes;  /* owned array, borrows paths of `known` */
    size_t n_deletes;
    size_t n_dirs;           /* of them */
    struct survey_said said; /* owned */
    bool refresh;            /* worth a new marker though nothing is to be sent */
};

static void cleanup_update(struct update *u)
{
    sync_manifest_free(&u->known);
    sync_manifest_free(&u->next);
    free(u->send.files);
    free(u->deletes);
    survey_names_free(&u->said.mounts);
}

static bool is_racy(const struct sync_file *f, int64_t scanned_ns)
{
    int64_t tick = f->ctime_ns % SECOND_NS ? TICK_NS : COARSE_TICK_NS;
    return f->ctime_ns > scanned_ns - tick;
}

static bool same(const struct sync_file *a, const struct sync_file *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
           a->mode == b->mode;
}

static void all_dirty(struct manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        m->entries[i].dirty = true;
}

static void add_send(struct update *u, const struct sync_file *f)
{
    u->send.files[u->send.n_files++] = *f;
    u->send.bytes += f->size;
}

/* Merges the two sorted lists into `next`, `send` and `deletes`. */
static void compare(struct update *u)
{
    const struct sync_list *l = u->list;
    const struct manifest *known = &u->known;
    size_t i = 0;
    size_t k = 0;
    u->send.files = xcalloc(l->n_files + 1, sizeof *u->send.files);
    u->deletes = xcalloc(known->n + 1, sizeof *u->deletes);
    while (i < l->n_files || k < known->n) {
        int order = i == l->n_files ? 1
                    : k == known->n ? -1
                                    : strcmp(l->files[i].path, known->entries[k].file.path);
        if (order > 0) {
            /* stays in the manifest, dirty, until it is really gone; a directory may only have
             * ceased to be empty */
            u->n_dirs += S_ISDIR(known->entries[k].file.mode);
            sync_manifest_append(&u->next, &known->entries[k].file, true);
            u->deletes[u->n_deletes++] = known->entries[k++].file.path;
            continue;
        }
        bool current = order == 0 && !known->entries[k].dirty &&
                       same(&l->files[i], &known->entries[k].file);
        if (!current)
            add_send(u, &l->files[i]);
        sync_manifest_append(&u->next, &l->files[i], !current);
        i++;
        k += order == 0;
    }
}

static int check_deletes(const struct update *u, const struct sync_limits *limits,
                         struct error *err)
{
    size_t n = u->n_deletes - u->n_dirs;
    if (!limits->max_deletes || n < limits->max_deletes)
        return 0;
    return error_set(err, ERR_SYNC, 0,
                     "%s: %zu files that were synced before are gone here, %s first; deleting so "
                     "many in the guest is refused; if it is meant: --allow-mass-deletions",
                     u->list->root, n, u->deletes[0]);
}

/* What was deleted is forgotten. */
static void forget(struct update *u)
{
    size_t kept = 0;
    for (size_t i = 0, k = 0; i < u->next.n; i++) {
        struct manifest_entry *e = &u->next.entries[i];
        if (k < u->n_deletes && str_eq(e->file.path, u->deletes[k])) {
            free(e->file.path);
            k++;
            continue;
        }
        u->next.entries[kept++] = *e;
    }
    u->next.n = kept;
}

/* What was sent is known. */
static void settle(struct update *u, const struct sync_list *sent)
{
    for (size_t i = 0; i < sent->n_files; i++) {
        struct manifest_entry *e = sync_manifest_find(&u->next, sent->files[i].path);
        if (e)
            e->dirty = is_racy(&e->file, u->list->scanned_ns);
    }
}

/* The next part of what is to be sent (all of it borrowed), from file `at` on: at least one file if
 * there is one. */
static struct sync_list step(const struct update *u, size_t at)
{
    struct sync_list part = *u->list;
    part.files = u->send.files + at;
    part.n_files = 0;
    part.bytes = 0;
    while (at + part.n_files < u->send.n_files && part.n_files < SYNC_STEP_FILES &&
           part.bytes < SYNC_STEP_BYTES)
        part.bytes += part.files[part.n_files++].size;
    return part;
}

/* What an earlier update put there belongs to its tree. Another one, such as a second checkout of
 * the same name, would be built together with that one's files. 1: the directory is to be emptied,
 * 0, -1. */
static int check_tree(const struct manifest *known, const struct sync_list *l, bool reclaim,
                      struct error *err)
{
    switch (sync_manifest_compare(known, l)) {
    case MANIFEST_SAME:
        return 0;
    case MANIFEST_REPLACED:
        log_warn("%s is another directory than the one that was synced before: emptying the "
                 "guest's %s and copying everything",
                 l->root, known->remote);
        return 1;
    case MANIFEST_OTHER:
        break;
    }
    if (reclaim)
        return 1;
    return error_set(err, ERR_SYNC, 0,
                     "the guest's %s has the files of %s, which is another tree than %s; next: "
                     "--reclaim to empty it and copy this tree there, or take another lease",
                     known->remote, known->root, l->root);
}

/* Nothing is there and nothing is known. In this order: if it dies in between, the next update
 * still sees whose files may be left. */
static int start_over(struct update *u, struct ssh_conn *c, const char *remote_dir,
                      const struct sync_store *store, const struct deadline *d, struct error *err)
{
    if (push_clear(c, remote_dir, d, err) < 0)
        return -1;
    sync_manifest_free(&u->known);
    sync_manifest_begin(&u->known, u->list, remote_dir);
    return sync_manifest_save(&u->known, store, err);
}

static int look(struct update *u, struct ssh_conn *c, const char *remote_dir,
                const struct sync_store *store, const struct sync_limits *limits,
                const struct deadline *d, struct sync_result *res, struct error *err)
{
    int survey = SURVEY_LOST;
    bool known = sync_manifest_load(&u->known, store, u->list, remote_dir);
    int over = limits->from_scratch ? 1 : 0;
    if (known && !over)
        over = check_tree(&u->known, u->list, limits->reclaim, err);
    if (over < 0 || (over && start_over(u, c, remote_dir, store, d, err) < 0))
        return -1;
    if (known && !over) {
        survey = survey_guest(c, &u->known, d, &u->said, err);
        if (survey < 0)
            return -1;
    }
    if (survey == SURVEY_LOST)
        all_dirty(&u->known);
    else
        (void)str_copy(res->git_id, sizeof res->git_id, u->said.git_id);
    u->refresh = survey != SURVEY_DONE;
    res->full = survey == SURVEY_LOST;
    u->next.root = xstrdup(u->list->root); /* it may have moved */
    (void)str_copy(u->next.mark, sizeof u->next.mark, u->list->mark);
    u->next.remote = xstrdup(u->known.remote);
    memcpy(u->next.id, u->known.id, sizeof u->next.id);
    return 0;
}

/* Whether a file of either side is at this place or below it. */
static bool is_ours(const struct manifest *m, const char *place)
{
    size_t len = strlen(place);
    size_t low = 0;
    for (size_t high = m->n; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(m->entries[mid].file.path, place) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    /* "a" comes before "a-b", and that before "a/b". */
    for (; low < m->n && strncmp(m->entries[low].file.path, place, len) == 0; low++) {
        char next = m->entries[low].file.path[len];
        if (next == '\0' || next == '/')
            return true;
        if (next > '/')
            break;
    }
    return false;
}

/* What is mounted over files of the tree would take them, and cover what is there now. */
static int uncover(struct update *u, struct ssh_conn *c, const char *remote_dir,
                   const struct deadline *d, struct error *err)
{
    struct survey_names *mounts = &u->said.mounts;
    size_t n = 0;
    for (size_t i = 0; i < mounts->n; i++)
        if (is_ours(&u->next, mounts->v[i]))
            mounts->v[n++] = mounts->v[i];
    mounts->n = n;
    return n ? push_unmount(c, remote_dir, mounts->v, n, d, err) : 0;
}

/* A step for each part, and one with nothing in it where only the marker is to be new. */
static int change(struct update *u, struct ssh_conn *c, const char *remote_dir,
                  const struct sync_store *store, const struct deadline *d,
                  const struct push_progress *progress, struct sync_result *res, struct error *err)
{
    if (sync_manifest_save(&u->next, store, err) < 0)
        return -1;
    if (uncover(u, c, remote_dir, d, err) < 0)
        return -1;
    if (u->n_deletes && push_deletes(c, remote_dir, u->deletes, u->n_deletes, d, err) < 0)
        return -1;
    res->n_deleted = u->n_deletes - u->n_dirs;
    forget(u);
    size_t at = 0;
    do {
        struct sync_list part = step(u, at);
        if (push_files(c, &part, remote_dir, u->next.id, d, progress, res, err) < 0)
            return -1;
        settle(u, &part);
        if (sync_manifest_save(&u->next, store, err) < 0)
            return -1;
        at += part.n_files;
    } while (at < u->send.n_files);
    return 0;
}

int sync_update(struct ssh_conn *c, const struct sync_list *l, const char *remote_dir,
                const struct sync_store *store, const struct sync_limits *limits,
                const struct deadline *d, sync_progress_fn *progress, void *ctx,
                struct sync_result *res, struct error *err)
{
    static const struct sync_limits defaults = SYNC_LIMITS_DEFAULT;
    struct push_progress p = {progress, ctx};
    _cleanup_(cleanup_update) struct update u = {.list = l};
    _cleanup_free_ char *lock_name = xasprintf("lock.%s", store->name);
    *res = (struct sync_result){0};
    _cleanup_close_ int lock = lock_wait(store->dirfd, lock_name, true, d, err);
    limits = limits ? limits : &defaults;
    if (lock < 0 || look(&u, c, remote_dir, store, limits, d, res, err) < 0)
        return -1;
    compare(&u);
    if (check_deletes(&u, limits, err) < 0)
        return -1;
    if (!u.send.n_files && !u.n_deletes && !u.refresh)
        return 0;
    return change(&u, c, remote_dir, store, d, &p, res, err);
}
