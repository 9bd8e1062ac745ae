/* breaches.h: ways to make each precondition of a lease false, for conditions_e2e_test.c. */
#ifndef CRABBOX_E2E_BREACHES_H
#define CRABBOX_E2E_BREACHES_H

#include <stddef.h>

#define BREACH_ENV_MAX 6

/* A line of shell that makes a program. */
#define SCRIPT(path, text) "printf '#!/bin/sh\\n" text "\\n' >" path "; chmod 755 " path "; "

/* In all of these, % is the bed's directory. */
struct breach {
    const char *check; /* of doctor */
    int code;          /* of warmup: 2 for what is configured wrongly, 1 for what is lacking */
    const char *says;  /* a part of the message */
    const char *harm, *undo;         /* lines of shell, in the bed's directory; may be NULL */
    const char *env[BREACH_ENV_MAX]; /* "NAME=value" */
    const char *under;               /* a program that the command runs under */
};

extern const struct breach breaches_of_host[], breaches_of_vmm[], breaches_of_image[],
    breaches_of_network[];
extern const size_t n_breaches_of_host, n_breaches_of_vmm, n_breaches_of_image,
    n_breaches_of_network;

#endif
