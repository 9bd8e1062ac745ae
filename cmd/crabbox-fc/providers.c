#include "cmd.h"
#include "local/local.h"

const struct provider *const providers[] = {&provider_local, NULL};
