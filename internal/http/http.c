#include "http/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "http/curl_load.h"

#define REPLY_MAX   (1024 * 1024)
#define HEADERS_MAX (64 * 1024)

struct http_client {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    int dirfd; /* own copy */
    char socket_path[64 + 256];
    char name[256];
    char curl_error[CURL_ERROR_SIZE];
};

/* One reply while it arrives. */
struct reply_body {
    struct strbuf text;
    size_t headers; /* bytes of them */
    bool too_big;
};

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct reply_body *b = user;
    size_t len = size * n;
    if (len > REPLY_MAX - b->text.len) {
        b->too_big = true;
        return 0; /* curl ends the transfer */
    }
    strbuf_add(&b->text, data, len);
    return len;
}

/* Also of each line of a trailer behind the body; curl has a limit only for what is before it, and
 * keeps all of it. */
static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    struct reply_body *b = user;
    (void)data;
    b->headers += size * n;
    if (b->headers <= HEADERS_MAX)
        return size * n;
    b->too_big = true;
    return 0;
}

static void global_init(void)
{
    /* Unix sockets only: TLS stays uninitialised, which saves milliseconds a command. */
    (void)curl_global_init(CURL_GLOBAL_NOTHING);
}

/* Options of curl fail only where memory is out, and then as a whole: a request without its URL
 * would go somewhere else. */
#define SET(easy, option, value)                                                                   \
    do {                                                                                           \
        if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK)                               \
            return -1;                                                                             \
    } while (0)

/* Options that no request changes. */
static int set_fixed_options(struct http_client *c)
{
    SET(c->easy, CURLOPT_UNIX_SOCKET_PATH, c->socket_path);
    SET(c->easy, CURLOPT_PROTOCOLS_STR, "http");
    SET(c->easy, CURLOPT_PROXY, "");
    SET(c->easy, CURLOPT_NOPROXY, "*");
    SET(c->easy, CURLOPT_NOSIGNAL, 1L);
    SET(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(c->easy, CURLOPT_HTTPHEADER, c->headers);
    SET(c->easy, CURLOPT_ERRORBUFFER, c->curl_error);
    SET(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(c->easy, CURLOPT_PRIVATE, c);
    return 0;
}

static int set_request(CURL *easy, const char *method, const char *url, const char *body,
                       struct reply_body *reply)
{
    SET(easy, CURLOPT_URL, url);
    SET(easy, CURLOPT_WRITEDATA, reply);
    SET(easy, CURLOPT_HEADERDATA, reply);
    SET(easy, CURLOPT_HTTPGET, 1L); /* forgets the body of the last one */
    if (body) {
        SET(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        SET(easy, CURLOPT_POSTFIELDS, body);
    }
    SET(easy, CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

struct http_client *http_open(int dirfd, const char *socket_name, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (curl_load(err) < 0)
        return NULL;
    (void)pthread_once(&once, global_init);
    _cleanup_(cleanup_http_client) struct http_client *c = xcalloc(1, sizeof *c);
    c->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    if (c->dirfd < 0)
        return error_null(err, ERR_VMM, errno, "open %s", socket_name);
    if (str_copy(c->name, sizeof c->name, socket_name) < 0 ||
        str_format(c->socket_path, sizeof c->socket_path, "/proc/self/fd/%d/%s", c->dirfd,
                   socket_name) < 0)
        return error_null(err, ERR_VMM, ENAMETOOLONG, "open %s", socket_name);
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    /* An empty Expect: a body goes out at once, not after a round trip. */
    static const char *const lines[] = {"Content-Type: application/json",
                                        "Accept: application/json", "Expect:"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct curl_slist *longer = curl_slist_append(c->headers, lines[i]);
        if (!longer)
            return error_null(err, ERR_VMM, ENOMEM, "open %s", socket_name);
        c->headers = longer;
    }
    if (!c->multi || !c->easy || set_fixed_options(c) < 0)
        return error_null(err, ERR_VMM, ENOMEM, "open %s", socket_name);
    return TAKE_PTR(c);
}

void http_close(struct http_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    if (c->multi)
        (void)curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    cleanup_close(&c->dirfd);
    free(c);
}

/* Waits for the connection to move, for the deadline or for the user. */
static int wait_event(struct http_client *c, const struct deadline *d, const char *what,
                      struct error *err)
{
    int left = deadline_poll_ms(d);
    if (left == 0) {
        /* deadline_poll words every timeout of the program in the same way. */
        struct pollfd none = {.fd = -1};
        return deadline_poll(&none, 1, d, what, err) < 0 ? -1 : 0;
    }
    struct curl_waitfd extra = {.fd = d ? d->cancel_fd : -1, .events = CURL_WAIT_POLLIN};
    unsigned n = extra.fd >= 0 ? 1 : 0;
    int ready = 0;
    CURLMcode m = curl_multi_poll(c->multi, &extra, n, left < 0 ? 60000 : left, &ready);
    if (m != CURLM_OK)
        return error_set(err, ERR_VMM, 0, "%s: %s", what, curl_multi_strerror(m));
    if (n && extra.revents)
        return error_set(err, ERR_CANCELLED, 0, "interrupted while waiting for %s", what);
    return 0;
}

static int transfer_result(struct http_client *c, CURLcode code, const struct reply_body *b,
                           const char *what, struct error *err)
{
    long os = 0;
    if (code == CURLE_OK)
        return 0;
    if (b->too_big)
        return error_set(err, ERR_VMM, 0, "%s: the reply is larger than %d bytes", what,
                         b->headers > HEADERS_MAX ? HEADERS_MAX : REPLY_MAX);
    (void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os);
    return error_set(err, ERR_VMM, code == CURLE_COULDNT_CONNECT ? (int)os : 0, "%s: %s", what,
                     c->curl_error[0] ? c->curl_error : curl_easy_strerror(code));
}

/* Drives the one transfer to its end. */
static int drive(struct http_client *c, const struct reply_body *b, const struct deadline *d,
                 const char *what, struct error *err)
{
    for (;;) {
        int running = 0, queued = 0;
        CURLMcode m = curl_multi_perform(c->multi, &running);
        if (m != CURLM_OK)
            return error_set(err, ERR_VMM, 0, "%s: %s", what, curl_multi_strerror(m));
        const CURLMsg *msg = curl_multi_info_read(c->multi, &queued);
        if (msg && msg->msg == CURLMSG_DONE)
            return transfer_result(c, msg->data.result, b, what, err);
        if (wait_event(c, d, what, err) < 0)
            return -1;
    }
}

/* A body that is no JSON is only an error where the status promised success: a refusal keeps its
 * status, with no body. */
static int take_reply(const struct reply_body *b, int status, const char *what, cJSON **reply,
                      struct error *err)
{
    if (!reply || b->text.len == 0)
        return 0;
    struct error why = ERROR_INIT;
    *reply = json_parse(b->text.buf, b->text.len, what, &why);
    if (!*reply && status < 400)
        return error_set(err, ERR_VMM, 0, "%s", why.msg);
    return 0;
}

static void free_body(struct reply_body *b)
{
    strbuf_free(&b->text);
}

int http_json(struct http_client *c, const char *method, const char *path, const cJSON *body,
              const struct deadline *d, int *status, cJSON **reply, struct error *err)
{
    _cleanup_(free_body) struct reply_body b = {.text = STRBUF_INIT};
    _cleanup_free_ char *url = xasprintf("http://localhost%s", path);
    _cleanup_free_ char *what = xasprintf("%s: %s %s", c->name, method, path);
    _cleanup_free_ char *text = body ? json_print(body, false) : NULL;
    long code = 0;
    if (reply)
        *reply = NULL;
    c->curl_error[0] = '\0';
    if (set_request(c->easy, method, url, text, &b) < 0)
        return error_set(err, ERR_VMM, ENOMEM, "%s", what);
    CURLMcode m = curl_multi_add_handle(c->multi, c->easy);
    if (m != CURLM_OK)
        return error_set(err, ERR_VMM, 0, "%s: %s", what, curl_multi_strerror(m));
    int r = drive(c, &b, d, what, err);
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_multi_remove_handle(c->multi, c->easy);
    (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
    if (r < 0)
        return -1;
    *status = (int)code;
    return take_reply(&b, *status, what, reply, err);
}
