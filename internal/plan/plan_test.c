#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "plan/plan.h"

/* Three steps that write what happens to them into one string. */
struct world {
    struct strbuf log;
    enum plan_mark marks[3];
    const char *fail_apply, *fail_undo;
    bool fail_journal;
};

static int note(struct world *w, const char *what, const char *step, const char *failing,
                struct error *err)
{
    strbuf_addf(&w->log, "%s-%s ", what, step);
    if (failing && str_eq(failing, step))
        return error_set(err, ERR_IO, 0, "%s of %s", what, step);
    return 0;
}

#define STEP(n)                                                                                    \
    static int n##_apply(void *ctx, struct error *err)                                             \
    {                                                                                              \
        struct world *w = ctx;                                                                     \
        return note(w, "apply", #n, w->fail_apply, err);                                           \
    }                                                                                              \
    static int n##_undo(void *ctx, struct error *err)                                              \
    {                                                                                              \
        struct world *w = ctx;                                                                     \
        return note(w, "undo", #n, w->fail_undo, err);                                             \
    }
STEP(a)
STEP(b)
STEP(c)

static const struct plan_step steps[] = {
    {"a", NULL, a_apply, a_undo}, {"b", NULL, b_apply, b_undo}, {"c", NULL, c_apply, c_undo}};

static int journal(void *ctx, bool durable, struct error *err)
{
    struct world *w = ctx;
    if (w->fail_journal)
        return error_set(err, ERR_IO, ENOSPC, "journal");
    strbuf_addf(&w->log, "%s[%d%d%d] ", durable ? "sync" : "save", (int)w->marks[0],
                (int)w->marks[1], (int)w->marks[2]);
    return 0;
}

static struct plan plan_of(struct world *w)
{
    return (struct plan){
        .steps = steps, .n_steps = 3, .marks = w->marks, .journal = journal, .ctx = w};
}

static void intent_is_on_disk_before_the_deed(void **state)
{
    struct world w = {.log = STRBUF_INIT};
    struct plan p = plan_of(&w);
    (void)state;
    assert_int_equal(plan_run(&p, NULL), 0);
    assert_string_equal(w.log.buf,
                        "sync[100] apply-a save[200] sync[210] apply-b save[220] sync[221] apply-c "
                        "save[222] ");
    strbuf_free(&w.log);
}

static void undo_goes_back_over_what_was_begun(void **state)
{
    struct world w = {.log = STRBUF_INIT, .fail_apply = "b"};
    struct plan p = plan_of(&w);
    struct error e = ERROR_INIT;
    (void)state;
    assert_int_equal(plan_run(&p, &e), -1);
    assert_string_equal(e.msg, "apply of b");
    strbuf_reset(&w.log);
    assert_int_equal(plan_undo(&p, &e), 0);
    assert_string_equal(w.log.buf, "undo-b undo-a save[000] ");
    strbuf_free(&w.log);
}

static void undo_passes_failures_and_keeps_their_marks(void **state)
{
    struct world w = {.log = STRBUF_INIT, .fail_undo = "b"};
    struct plan p = plan_of(&w);
    struct error e = ERROR_INIT;
    (void)state;
    assert_int_equal(plan_run(&p, NULL), 0);
    strbuf_reset(&w.log);
    assert_int_equal(plan_undo(&p, &e), -1);
    assert_string_equal(e.msg, "undo b: undo of b");
    assert_string_equal(w.log.buf, "undo-c undo-b undo-a save[020] ");
    w.fail_undo = NULL;
    strbuf_reset(&w.log);
    assert_int_equal(plan_undo(&p, &e), 0);
    assert_string_equal(w.log.buf, "undo-b save[000] ");
    strbuf_free(&w.log);
}

static void a_full_disk_stops_the_run_but_not_the_undo(void **state)
{
    struct world w = {.log = STRBUF_INIT};
    struct plan p = plan_of(&w);
    struct error e = ERROR_INIT;
    (void)state;
    assert_int_equal(plan_run(&p, NULL), 0);
    w.fail_journal = true;
    strbuf_reset(&w.log);
    assert_int_equal(plan_undo(&p, &e), 0);
    assert_string_equal(w.log.buf, "undo-c undo-b undo-a ");
    memset(w.marks, 0, sizeof w.marks);
    strbuf_reset(&w.log);
    assert_int_equal(plan_run(&p, &e), -1);
    assert_string_equal(w.log.buf, ""); /* nothing is touched that is not written down */
    strbuf_free(&w.log);
}

static void marks_have_names(void **state)
{
    enum plan_mark m;
    (void)state;
    for (int i = MARK_NONE; i <= MARK_DONE; i++) {
        assert_int_equal(plan_mark_from_name(plan_mark_name((enum plan_mark)i), &m), 0);
        assert_int_equal(m, i);
    }
    assert_int_equal(plan_mark_from_name("finished", &m), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intent_is_on_disk_before_the_deed),
        cmocka_unit_test(undo_goes_back_over_what_was_begun),
        cmocka_unit_test(undo_passes_failures_and_keeps_their_marks),
        cmocka_unit_test(a_full_disk_stops_the_run_but_not_the_undo),
        cmocka_unit_test(marks_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
