/* The suite of every provider with leases on this host, which the stand-in plays. */
#include <signal.h>

#include "e2e/provider_suite.h"

static void kill_vmm(const char *slug)
{
    assert_int_equal(kill(e2e_vmm_pid(slug), SIGKILL), 0);
}

static const struct suite suite = {
    .program = "crabbox-fc", .provider = "firecracker", .kill_machine = kill_vmm};

int main(void)
{
    return provider_suite(&suite);
}
