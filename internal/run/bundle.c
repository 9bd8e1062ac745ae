#include "run/bundle.h"

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/room.h"
#include "run/redact.h"
#include "sys/file.h"
#include "vmm/vmm.h"

enum { BUNDLE_MAX = 1 << 20 };

void bundle_free(struct bundle *b)
{
    strbuf_wipe(&b->out.text);
    strbuf_wipe(&b->errout.text);
    strbuf_wipe(&b->console.text);
    strbuf_wipe(&b->vmm.text);
}

static void keep_end(struct tail *t, size_t max)
{
    struct strbuf *sb = &t->text;
    if (sb->len <= max)
        return;
    memmove(sb->buf, sb->buf + sb->len - max, max + 1);
    sb->len = max;
    t->cut = true;
}

void bundle_hear(void *ctx, bool is_stderr, const void *data, size_t len)
{
    struct bundle *b = ctx;
    struct tail *t = is_stderr ? &b->errout : &b->out;
    strbuf_add(&t->text, data, len);
    if (t->text.len >= 2 * (size_t)BUNDLE_STREAM_MAX) /* so that not each piece moves all of it */
        keep_end(t, BUNDLE_STREAM_MAX);
}

void bundle_take_logs(struct bundle *b, const struct lease_handle *h)
{
    store_log_end(h, VMM_CONSOLE_LOG, BUNDLE_LOG_MAX, &b->console.text, &b->console.cut);
    store_log_end(h, VMM_LOG, BUNDLE_LOG_MAX, &b->vmm.text, &b->vmm.cut);
}

static void add_names(const struct env_set *env, struct strbuf *out)
{
    for (size_t i = 0; i < env->n; i++)
        strbuf_addf(out, "%.*s\n", (int)strcspn(env->entries[i], "="), env->entries[i]);
    strbuf_adds(out, "CRABBOX_LEASE_ID\nCRABBOX_RUN_ID\nCRABBOX_SLUG\n");
}

/* What a bundle is made with. */
struct making {
    int dirfd;
    const struct deadline *d;
    struct redactor redactor;
};

static void making_end(struct making *m)
{
    redact_end(&m->redactor);
}

/* `clean`: all values have been taken out of it. */
static int put_clean(struct making *m, const char *name, bool clean, struct tail *t,
                     struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (!clean && m->redactor.effort.stop == EFFORT_CANCELLED)
        return deadline_check(m->d, "what is kept of a failed run", err);
    keep_end(t, clean ? BUNDLE_STREAM_MAX : 0); /* a name may be longer than its value */
    if (!clean)
        strbuf_adds(&text, "[left out: to look for the values of all variables in it takes too "
                           "long]\n");
    else if (t->cut)
        strbuf_adds(&text, "[cut: what came before is not kept]\n");
    strbuf_add(&text, t->text.buf, t->text.len);
    return file_write_new(m->dirfd, name, text.buf, text.len, 0600, err);
}

static int put(struct making *m, const char *name, struct tail *t, struct error *err)
{
    return t->text.len ? put_clean(m, name, redact(&m->redactor, &t->text, t->cut), t, err) : 0;
}

static int put_text(struct making *m, const char *name, const char *text, struct error *err)
{
    struct tail t = TAIL_INIT;
    strbuf_adds(&t.text, text ? text : "");
    int r = put(m, name, &t, err);
    strbuf_free(&t.text);
    return r;
}

static bool redact_strings(struct redactor *r, cJSON *j)
{
    cJSON *child;
    if (cJSON_IsString(j)) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        strbuf_adds(&text, j->valuestring);
        return !text.len || (redact(r, &text, false) && cJSON_SetValuestring(j, text.buf));
    }
    cJSON_ArrayForEach(child, j)
    {
        if (!redact_strings(r, child))
            return false;
    }
    return true;
}

/* In its strings only: as a text it could have a value that looks like a part of the JSON. */
static int put_json(struct making *m, const char *name, const cJSON *json, struct error *err)
{
    _cleanup_json_ cJSON *j = cJSON_Duplicate(json, true);
    struct tail t = TAIL_INIT;
    bool clean = redact_strings(&m->redactor, j);
    _cleanup_free_ char *text = json_print_shown(j, true);
    strbuf_addf(&t.text, "%s\n", text);
    int r = put_clean(m, name, clean, &t, err);
    strbuf_free(&t.text);
    return r;
}

static int put_all(struct bundle *b, struct making *m, const struct env_set *env,
                   const struct bundle_words *words, struct error *err)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    add_names(env, &names);
    keep_end(&b->out, BUNDLE_STREAM_MAX);
    keep_end(&b->errout, BUNDLE_STREAM_MAX);
    if (room_check(m->dirfd, BUNDLE_MAX, "what is kept of a failed run", err) < 0 ||
        put_text(m, "error.txt", words->reason, err) < 0 ||
        put_text(m, "results.txt", words->results, err) < 0 ||
        put_json(m, "run.json", words->json, err) < 0 ||
        file_write_new(m->dirfd, "environment.txt", names.buf, names.len, 0600, err) < 0)
        return -1;
    if (put(m, "stdout.log", &b->out, err) < 0 || put(m, "stderr.log", &b->errout, err) < 0 ||
        put(m, VMM_CONSOLE_LOG, &b->console, err) < 0)
        return -1;
    return put(m, VMM_LOG, &b->vmm, err);
}

int bundle_write(struct bundle *b, struct store *s, const struct lease *l, const char *run_id,
                 const struct env_set *env, const struct bundle_words *words,
                 const struct deadline *d, char path[static PATH_MAX], struct error *err)
{
    char name[STORE_BUNDLE_NAME_SIZE];
    _cleanup_close_ int dirfd = store_make_bundle(s, l, run_id, name, err);
    if (dirfd < 0)
        return -1;
    _cleanup_(making_end) struct making m = {.dirfd = dirfd, .d = d};
    redact_begin(&m.redactor, env, d);
    int r = put_all(b, &m, env, words, err);
    if (r == 0)
        r = str_format(path, PATH_MAX, "%s/logs/%s", s->path, name);
    if (r < 0)
        (void)dir_remove_tree(s->logs_fd, name, NULL);
    return r;
}
