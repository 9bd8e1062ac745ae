/* standin_api.h: what each call of Firecracker's API does to the stand-in. */
#ifndef CRABBOX_STANDIN_STANDIN_API_H
#define CRABBOX_STANDIN_STANDIN_API_H

#include "standin/standin.h"
#include "standin/standin_http.h"

struct reply {
    int status;
    cJSON *body; /* owned by the caller; NULL for 204 */
};

/* An empty configuration, as GET /vm/config of a fresh process shows it. */
void api_init(struct standin *s);

/* Always gives a reply: 200, 204, or 400 with {"fault_message": …}. */
struct reply api_handle(struct standin *s, const struct request *r);

#endif
