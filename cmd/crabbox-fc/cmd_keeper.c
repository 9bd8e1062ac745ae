#include "cmd.h"
#include "ops/keeper.h"

/* Not for people: warmup starts it, one a lease. */
int cmd_keeper(struct invocation *in, struct error *err)
{
    return keeper_main(&in->ops, in->args[0], err);
}
