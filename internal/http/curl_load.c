/* Each function of libcurl that this module uses, forwarded. */
#define CURL_DISABLE_TYPECHECK /* its macros would stand in the way of the definitions */
#include "http/curl_load.h"

#include <curl/curl.h>
#include <stdarg.h>

#include "sys/lib.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

static struct lib curl = {"libcurl.so.4", "libcurl4", NULL};

int curl_load(struct error *err)
{
    return lib_load(&curl, err);
}

FORWARD(&curl, CURLcode, curl_global_init, (long flags), (flags))
FORWARD(&curl, CURL *, curl_easy_init, (void), ())
FORWARD(&curl, void, curl_easy_cleanup, (CURL * easy), (easy))
FORWARD(&curl, const char *, curl_easy_strerror, (CURLcode code), (code))
FORWARD(&curl, CURLM *, curl_multi_init, (void), ())
FORWARD(&curl, CURLMcode, curl_multi_cleanup, (CURLM * multi), (multi))
FORWARD(&curl, CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy))
FORWARD(&curl, CURLMcode, curl_multi_remove_handle, (CURLM * multi, CURL *easy), (multi, easy))
FORWARD(&curl, CURLMcode, curl_multi_perform, (CURLM * multi, int *running), (multi, running))
FORWARD(&curl, CURLMcode, curl_multi_poll,
        (CURLM * multi, struct curl_waitfd extra[], unsigned n, int ms, int *ready),
        (multi, extra, n, ms, ready))
FORWARD(&curl, CURLMsg *, curl_multi_info_read, (CURLM * multi, int *left), (multi, left))
FORWARD(&curl, const char *, curl_multi_strerror, (CURLMcode code), (code))
FORWARD(&curl, struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *line),
        (list, line))
FORWARD(&curl, void, curl_slist_free_all, (struct curl_slist * list), (list))

/* The two that take one more argument of a type that the option decides. Each is a long, a pointer
 * or a curl_off_t, which all travel alike where a long is as wide as a pointer. */
_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "LP64");

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    static __typeof__(curl_easy_setopt) *real;
    if (!real) {
        void *found = lib_symbol(&curl, "curl_easy_setopt");
        memcpy(&real, &found, sizeof real);
    }
    va_list ap;
    va_start(ap, option);
    void *value = va_arg(ap, void *);
    va_end(ap);
    return real(easy, option, value);
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    static __typeof__(curl_easy_getinfo) *real;
    if (!real) {
        void *found = lib_symbol(&curl, "curl_easy_getinfo");
        memcpy(&real, &found, sizeof real);
    }
    va_list ap;
    va_start(ap, info);
    void *out = va_arg(ap, void *);
    va_end(ap);
    return real(easy, info, out);
}
