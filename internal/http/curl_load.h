/* curl_load.h: libcurl, loaded when the first VMM is talked to; see sys/lib.h. */
#ifndef CRABBOX_HTTP_CURL_LOAD_H
#define CRABBOX_HTTP_CURL_LOAD_H

#include "base/error.h"

/* Before the first call of libcurl, to fail with a message (ERR_ENV) where it is missing. */
int curl_load(struct error *err);

#endif
