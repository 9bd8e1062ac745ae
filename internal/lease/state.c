#include "lease/state.h"

#include <stddef.h>

#define BIT(state) (1u << (state))

/* What each state may become, other than itself. */
static const unsigned moves[] = {
    [LEASE_CREATING] = BIT(LEASE_READY) | BIT(LEASE_RELEASING),
    [LEASE_READY] = BIT(LEASE_RELEASING),
    [LEASE_RELEASING] = BIT(LEASE_BROKEN),
    [LEASE_BROKEN] = BIT(LEASE_RELEASING),
};

bool lease_may_become(int from, enum lease_state to)
{
    if (from == LEASE_NEW)
        return to == LEASE_CREATING;
    return (enum lease_state)from == to || (moves[from] & BIT(to));
}

/* done … done [started] none … none */
static bool marks_are_a_prefix(const struct lease *l)
{
    size_t i = 0;
    while (i < l->kind->n_steps && l->marks[i] == MARK_DONE)
        i++;
    if (i < l->kind->n_steps && l->marks[i] == MARK_STARTED)
        i++;
    while (i < l->kind->n_steps && l->marks[i] == MARK_NONE)
        i++;
    return i == l->kind->n_steps;
}

static bool all_done(const struct lease *l)
{
    for (size_t i = 0; i < l->kind->n_steps; i++)
        if (l->marks[i] != MARK_DONE)
            return false;
    return true;
}

int lease_check(const struct lease *l, struct error *err)
{
    const char *broken = NULL;
    if (l->state == LEASE_CREATING && !marks_are_a_prefix(l))
        broken = "a step is marked although the one before it is not done";
    else if (l->state == LEASE_READY && !all_done(l))
        broken = "it is ready, but a step is not done";
    else if (l->state == LEASE_READY && l->keeper.pid <= 0)
        broken = "it is ready, but has no keeper";
    else if (l->state == LEASE_BROKEN && !*l->failure)
        broken = "it is broken, but has no reason";
    if (!broken)
        return 0;
    return error_set(err, ERR_INTERNAL, 0, "the record of lease %s: %s", l->id, broken);
}
