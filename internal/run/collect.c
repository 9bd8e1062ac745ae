/* collect.c: fetches what a run leaves in the guest.
 *
 * collect_check opens all places on the host before the lease is made, so a wrong path fails early,
 * and the tree can't redirect it later. collect_results then fetches in the order downloads,
 * artifacts, reports. Reports are fetched into a directory inside the lease's, summed up (junit.h)
 * and removed. They come from the guest, so their number and size are limited.
 */
#include "run/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "fetch/fetch.h"
#include "run/place.h"
#include "sys/beneath.h"
#include "sys/file.h"

#define ARTIFACTS "artifacts"
enum { REPORTS_MAX = 1000 };
#define REPORTS_MAX_BYTES (256LL << 20)

static bool any(const char *const *list)
{
    return list && *list;
}

bool collect_wanted(const struct ops_collect *c)
{
    return c && (any(c->downloads) || any(c->artifacts) || any(c->required) || any(c->reports) ||
                 c->auto_reports);
}

static int check_globs(const char *const *globs, struct error *err)
{
    for (; any(globs); globs++)
        if (fetch_check_glob(*globs, err) < 0)
            return -1;
    return 0;
}

/* ---- places ---- */

struct download {
    struct place place;
    char *remote;
    bool in_home;
};

/* What collect_check found, for after the run. */
struct collect_places {
    struct download *downloads; /* one for each of the request */
    size_t n;
    struct place_dir artifacts;
};

void collect_close(struct ops_collect *c)
{
    struct collect_places *p = c->places;
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        place_close(&p->downloads[i].place);
        free(p->downloads[i].remote);
    }
    free(p->downloads);
    place_dir_close(&p->artifacts);
    free(p);
    c->places = NULL;
}

static int find_download(const struct ops_collect *c, const char *spec, struct error *err)
{
    struct collect_places *p = c->places;
    const char *eq = strchr(spec, '=');
    _cleanup_free_ char *remote = xasprintf("%.*s", (int)(eq - spec), spec);
    const char *path = remote;
    int in_home = fetch_home("--download", &path, err);
    if (in_home < 0)
        return -1;
    p->downloads = xrealloc(p->downloads, (p->n + 1) * sizeof *p->downloads);
    struct download *d = &p->downloads[p->n++];
    *d = (struct download){PLACE_INIT, xstrdup(*path ? path : "."), in_home};
    struct place_wish wish = {"--download", eq + 1, d->remote};
    return place_find(&wish, &d->place, err);
}

static int find_artifacts(const struct ops_collect *c, struct error *err)
{
    struct place_wish wish = {c->artifact_dir ? "--artifact-dir" : "the default of --artifact-dir,",
                              c->artifact_dir ? c->artifact_dir : ARTIFACTS, NULL};
    return place_dir_find(&wish, &c->places->artifacts, err);
}

/* Before the run, so that an hour's work does not end with such an error. The places found now are
 * the ones that the results go to later. */
static int find_places(struct ops_collect *c, struct error *err)
{
    c->places = xcalloc(1, sizeof *c->places);
    c->places->artifacts = (struct place_dir)PLACE_DIR_INIT;
    int r = 0;
    for (const char *const *d = c->downloads; r == 0 && any(d); d++)
        r = find_download(c, *d, err);
    if (r == 0 && (any(c->artifacts) || any(c->required)))
        r = find_artifacts(c, err);
    if (r < 0)
        collect_close(c);
    return r;
}

int collect_check(struct ops_collect *c, struct error *err)
{
    for (const char *const *d = c->downloads; any(d); d++) {
        const char *eq = strchr(*d, '=');
        if (!eq || eq == *d || !eq[1])
            return error_set(err, ERR_USAGE, 0,
                             "--download \"%s\" is not REMOTE=LOCAL, as in out/report.txt=.", *d);
    }
    if (c->artifact_dir && !any(c->artifacts) && !any(c->required))
        return error_set(err, ERR_USAGE, 0,
                         "--artifact-dir needs --artifact-glob or --require-artifact");
    if (check_globs(c->artifacts, err) < 0 || check_globs(c->required, err) < 0 ||
        check_globs(c->reports, err) < 0)
        return -1;
    return find_places(c, err);
}

/* One collecting, with what it needs everywhere. */
struct collect {
    struct session *session;
    const char *work_dir;
    const struct guest_run *run;
    bool good;
    const struct ops_collect *req;
    struct ops_collected *out;
    struct fetch_limits limits;
    struct deadline d;
};

static void on_progress(void *ctx, size_t files, int64_t bytes)
{
    struct collect *c = ctx;
    const struct ops_progress *p = &c->session->ops->progress;
    if (p->update)
        p->update(p->ctx, "collect", c->out->n_files + files, c->out->bytes + bytes);
}

static void add(struct collect *c, const struct fetch_result *res)
{
    c->out->n_files += res->n_files;
    c->out->bytes += res->bytes;
    if (res->n_skipped)
        log_warn("left out: %zu %s, first %s", res->n_skipped,
                 res->n_skipped == 1 ? "link or special file" : "links or special files",
                 res->first_skipped);
    if (res->n_obeyed)
        log_warn("left out: %zu name%s that programs on this host would obey, first %s; next: name "
                 "one explicitly to get it",
                 res->n_obeyed, res->n_obeyed == 1 ? "" : "s", res->first_obeyed);
}

static int download(struct collect *c, struct download *down, struct error *err)
{
    struct fetch_result res;
    struct place *place = &down->place;
    const char *from = down->in_home ? NULL : c->work_dir;
    if (place_open(place, err) < 0)
        return -1;
    struct fetch_rules rules = {.dirfd = place->dirfd,
                                .name = place->name,
                                .limits = c->limits,
                                .progress = on_progress,
                                .ctx = c};
    int r = fetch_path(c->session->conn, from, down->remote, &rules, &c->d, &res, err);
    place_end(place, r == 0);
    if (r == 0)
        add(c, &res);
    return r;
}

/* Adds the result of a part; `from` stands before names that can be fetched one by one. */
static void add_part(struct fetch_result *all, const struct fetch_result *part, const char *from)
{
    if (part->n_skipped && !all->n_skipped)
        (void)str_copy(all->first_skipped, sizeof all->first_skipped, part->first_skipped);
    if (part->n_obeyed && !all->n_obeyed)
        (void)str_format(all->first_obeyed, sizeof all->first_obeyed, "%s%s", from,
                         part->first_obeyed);
    all->n_files += part->n_files;
    all->bytes += part->bytes;
    all->n_skipped += part->n_skipped;
    all->n_obeyed += part->n_obeyed;
}

/* Those of rules->globs that begin with "~/", or the others. */
static int fetch_part(struct collect *c, struct fetch_rules rules, bool in_home,
                      struct fetch_result *all, struct error *err)
{
    _cleanup_free_ const char **globs = NULL;
    struct fetch_result res = {0};
    size_t n = 0;
    for (const char *const *g = rules.globs; *g; g++) {
        const char *rest = *g;
        if (fetch_home("the pattern", &rest, err) != in_home)
            continue;
        globs = xrealloc(globs, (n + 2) * sizeof *globs);
        globs[n++] = rest;
        globs[n] = NULL;
    }
    if (!n)
        return 0;
    rules.globs = globs;
    rules.limits.max_entries -= all->n_files;
    rules.limits.max_bytes -= all->bytes;
    const char *from = in_home ? NULL : c->work_dir;
    int r = fetch_globs(c->session->conn, from, &rules, &c->d, &res, err);
    add_part(all, &res, in_home ? "~/" : "");
    return r;
}

static int fetch_matching(struct collect *c, const struct fetch_rules *rules,
                          struct fetch_result *res, struct error *err)
{
    *res = (struct fetch_result){0};
    return fetch_part(c, *rules, false, res, err) < 0 ? -1 : fetch_part(c, *rules, true, res, err);
}

/* ---- artifacts ---- */

/* The default directory lies in the working tree: git, and so the next sync, need not see it. */
static int hide_from_git(int dirfd, struct error *err)
{
    return file_write_new(dirfd, ".gitignore", "*\n", 2, 0644, err);
}

static int artifacts_into(struct collect *c, int fd, const char *const *globs, size_t *n,
                          struct error *err)
{
    struct fetch_result res;
    struct fetch_rules rules = {
        .dirfd = fd, .globs = globs, .limits = c->limits, .progress = on_progress, .ctx = c};
    if (fetch_matching(c, &rules, &res, err) < 0)
        return -1;
    add(c, &res);
    *n += res.n_files;
    return 0;
}

/* Each pattern for itself, so that the one without a file is known. */
static int required_into(struct collect *c, int fd, size_t *n, struct error *err)
{
    for (const char *const *g = c->req->required; any(g); g++) {
        const char *const one[] = {*g, NULL};
        size_t before = *n;
        if (artifacts_into(c, fd, one, n, err) < 0)
            return -1;
        if (c->good && *n == before)
            return error_set(err, ERR_NOT_FOUND, 0,
                             "the command succeeded, but no file of the guest matches "
                             "--require-artifact %s",
                             *g);
    }
    return 0;
}

static int all_into(struct collect *c, int fd, size_t *n, struct error *err)
{
    const char *const *globs = c->req->artifacts;
    if (any(globs) && artifacts_into(c, fd, globs, n, err) < 0)
        return -1;
    if (any(globs) && !*n)
        log_warn("no file of the guest matches --artifact-glob %s%s", globs[0],
                 globs[1] ? " or the others" : "");
    int r = required_into(c, fd, n, err);
    if (*n && !c->req->artifact_dir && hide_from_git(fd, r < 0 ? NULL : err) < 0)
        r = -1;
    return r;
}

/* The default has a directory for each run in it. */
static int artifacts(struct collect *c, struct error *err)
{
    const struct place_dir *place = &c->req->places->artifacts;
    char dir[PATH_MAX];
    const char *sub = c->req->artifact_dir ? "." : c->run->id;
    size_t n_files = 0;
    unsigned made, made_sub;
    int n = c->req->artifact_dir ? str_format(dir, sizeof dir, "%s", c->req->artifact_dir)
                                 : str_format(dir, sizeof dir, ARTIFACTS "/%s", c->run->id);
    if (n < 0)
        return error_set(err, ERR_IO, ENAMETOOLONG, "%s", c->req->artifact_dir);
    _cleanup_close_ int top = place_dir_make(place, &made, err);
    if (top < 0)
        return -1;
    _cleanup_close_ int fd = beneath_mkdirs(top, sub, 0777, &made_sub);
    int r = fd < 0 ? error_set(err, ERR_IO, errno, "make %s", dir) : all_into(c, fd, &n_files, err);
    if (!n_files) {
        beneath_rmdirs(top, sub, made_sub);
        beneath_rmdirs(place->b.dirfd, place->path, made);
    } else {
        (void)str_copy(c->out->artifact_dir, sizeof c->out->artifact_dir, dir);
    }
    return r;
}

/* ---- reports ---- */

static void cleanup_reader(struct junit_reader **r)
{
    junit_reader_free(*r);
}

int collect_read_reports(int dirfd, const struct strbuf *names, bool strict, int cancel_fd,
                         struct junit *sum, struct error *err)
{
    _cleanup_(cleanup_reader) struct junit_reader *reader = junit_reader_new();
    for (size_t at = 0; at < names->len; at += strlen(names->buf + at) + 1) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        const char *name = names->buf + at;
        struct error e = ERROR_INIT;
        if (file_read_at(dirfd, name, JUNIT_MAX_BYTES, &text, &e) == 0 &&
            junit_read(reader, text.buf, text.len, name, cancel_fd, sum, &e) == 0)
            continue;
        if (strict || e.kind == ERR_CANCELLED) {
            *err = e;
            return -1;
        }
        log_warn("%s", e.msg);
    }
    return 0;
}

/* What test runners call their reports. */
static const char *const usual_reports[] = {"**/junit*.xml", "**/TEST-*.xml", "**/results.xml",
                                            NULL};

/* Reports by pattern, or where there is none by their usual names. */
static int reports_into(struct collect *c, int dirfd, struct error *err)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    struct fetch_result res;
    bool strict = c->req->strict_reports, named = any(c->req->reports);
    struct fetch_rules rules = {.dirfd = dirfd,
                                .globs = named ? c->req->reports : usual_reports,
                                .since = named ? NULL : c->run->dir,
                                .limits = {REPORTS_MAX, REPORTS_MAX_BYTES, c->limits.idle_ms},
                                .names = &names};
    _cleanup_close_ int held = -1;
    if (session_hold_disk(c->session, &held, &rules.limits.max_bytes, err) < 0)
        return -1;
    if (fetch_matching(c, &rules, &res, err) < 0)
        return -1;
    if (!res.n_files && !strict) {
        log_info("the command has left no test report");
        return 0;
    }
    if (!res.n_files)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "no file of the guest matches --junit %s%s, so there is no test report",
                         c->req->reports[0], c->req->reports[1] ? " or the others" : "");
    struct junit *sum = &c->out->junit;
    if (collect_read_reports(dirfd, &names, strict, c->d.cancel_fd, sum, err) < 0)
        return -1;
    c->out->tests_failed = c->req->fail_on_test_failures && sum->failures + sum->errors > 0;
    return 0;
}

/* Reports are only read: they go into a directory that goes away again. It is the lease's own,
 * where nobody else can put a link in its place. */
static int reports(struct collect *c, struct error *err)
{
    const struct lease_handle *dir = &c->session->dir;
    _cleanup_free_ char *name = xasprintf("reports-%s", c->run->id);
    if (mkdirat(dir->dirfd, name, 0700) < 0)
        return error_set(err, ERR_IO, errno, "make %s/%s", dir->path, name);
    _cleanup_close_ int fd = beneath_open(dir->dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    int r = fd < 0 ? error_set(err, ERR_IO, errno, "open %s/%s", dir->path, name)
                   : reports_into(c, fd, err);
    (void)dir_remove_tree(dir->dirfd, name, NULL);
    return r;
}

int collect_results(struct session *s, const char *work_dir, const struct guest_run *run, bool good,
                    const struct ops_collect *req, struct ops_collected *out, struct error *err)
{
    struct collect c = {s, work_dir, run, good, req, out, FETCH_LIMITS_DEFAULT, deadline_never()};
    int64_t t0 = clock_boot_us();
    int r = 0;
    c.limits.idle_ms = s->stall_ms;
    c.d.cancel_fd = s->ops->cancel_fd;
    for (size_t i = 0; r == 0 && i < req->places->n; i++)
        r = download(&c, &req->places->downloads[i], err);
    if (r == 0 && (any(req->artifacts) || any(req->required)))
        r = artifacts(&c, err);
    if (r == 0 && (any(req->reports) || req->auto_reports))
        r = reports(&c, err);
    out->us = clock_boot_us() - t0;
    return r;
}
