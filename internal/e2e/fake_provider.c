#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "e2e/fake.h"
#include "image/image.h"
#include "ops/access.h"
#include "ops/provider.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "vmm/vmm.h"

/* ---- calls ---- */

static socklen_t address_of(const char *lease_id, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)str_format(out->sun_path + 1, sizeof out->sun_path - 1, "crabbox-fake-%s", lease_id);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(out->sun_path + 1));
}

int fake_call(const char *lease_id, enum fake_call what, struct error *err)
{
    struct sockaddr_un a;
    socklen_t len = address_of(lease_id, &a);
    char byte = (char)what;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, len) < 0 ||
        (what != FAKE_NOTHING && send(fd, &byte, 1, MSG_NOSIGNAL) != 1))
        return error_set(err, ERR_SSH, errno, "call the machine of %s", lease_id);
    return TAKE_FD(fd);
}

/* From here on calls wait until the machine answers, though it is only about to be made. */
static int make_line(const char *lease_id, struct error *err)
{
    struct sockaddr_un a;
    socklen_t len = address_of(lease_id, &a);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, len) < 0 || listen(fd, 64) < 0)
        return error_set(err, ERR_NET, errno, "make the line to the machine of %s", lease_id);
    return TAKE_FD(fd);
}

/* ---- keys ---- */

static int keys_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    _cleanup_(strbuf_wipe) struct strbuf host_pem = STRBUF_INIT;
    char client_key[SSH_PUBKEY_SIZE];
    if (work_make_keys(w, client_key, &host_pem, err) < 0)
        return -1;
    const struct seed_spec spec = {
        .lease_id = w->lease.id,
        .hostname = w->lease.name,
        .user = w->lease.user,
        .work_root = w->lease.work_root,
        .authorized_key = client_key,
        .host_key_private = host_pem.buf,
        .host_key_public = w->lease.host_key,
        .nonce = w->lease.nonce,
        /* Of no use, but a seed has them. */
        .guest_mac = "06:00:00:00:00:01",
        .guest_addr = "192.0.2.2",
        .gateway = "192.0.2.1",
        .dns_search = "",
        .dns_options = "",
    };
    return image_write_seed(w->handle.dirfd, FAKE_SEED, &spec, err);
}

static int keys_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    return access_remove(&w->handle, err) < 0 ? -1 : file_unlink(w->handle.dirfd, FAKE_SEED, err);
}

/* ---- machine ---- */

static int watch(const struct lease *l, struct error *err)
{
    int fd = fake_call(l->id, FAKE_WATCH, err);
    if (fd < 0 && err)
        err->kind = ERR_NOT_RUNNING;
    return fd;
}

/* Its program lies beside ours. */
static int find_program(char out[static PATH_MAX], struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(out, '/');
    size_t room = slash ? (size_t)(out + PATH_MAX - slash - 1) : 0;
    if (!slash || str_copy(slash + 1, room, "fake-machine") < 0)
        return error_set(err, ERR_ENV, errno, "find fake-machine");
    return 0;
}

static int start(struct work *w, int line, struct error *err)
{
    char program[PATH_MAX], number[16];
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child c;
    struct exit_status st;
    const char *const argv[] = {program, w->lease.id, number, NULL};
    _cleanup_close_ int log = openat(w->handle.dirfd, VMM_CONSOLE_LOG,
                                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)str_format(number, sizeof number, "%d", line);
    if (find_program(program, err) < 0)
        return -1;
    spec.argv = argv;
    spec.stderr_fd = log;
    spec.cwd_fd = w->handle.dirfd;
    spec.files = &line;
    spec.n_files = 1;
    spec.new_session = true;
    spec.any_owner = true;
    /* It ends when the machine runs. */
    if (spawn(&spec, &c, err) < 0 || child_wait(&c, &w->deadline, &st, err) < 0)
        return -1;
    return st.exited && st.code == 0
               ? 0
               : error_set(err, ERR_VMM, 0, "the machine did not start: see its console");
}

static int machine_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    _cleanup_close_ int line = make_line(w->lease.id, err);
    if (line < 0 || start(w, line, err) < 0)
        return -1;
    w->boot_us = clock_boot_us();
    w->gone_fd = watch(&w->lease, err);
    return w->gone_fd < 0 ? -1 : 0;
}

static int machine_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    struct error e = ERROR_INIT;
    struct deadline d = deadline_in_ms(w->grace_ms + 10000);
    _cleanup_close_ int fd = fake_call(w->lease.id, FAKE_END, &e);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 && e.sys == ECONNREFUSED)
        return 0;
    if (fd < 0) {
        *err = e;
        return -1;
    }
    w->graceful = w->grace_ms > 0;
    return deadline_poll(&p, 1, &d, "the machine to end", err) < 0 ? -1 : 0;
}

/* ---- the provider ---- */

enum { STEP_KEEPER, STEP_SLUG, STEP_KEYS, STEP_MACHINE, STEP_READY };

static const struct plan_step steps[] = {
    [STEP_KEEPER] = {"keeper", NULL, work_keeper_apply, NULL},
    [STEP_SLUG] = {"slug", NULL, work_slug_apply, work_slug_undo},
    [STEP_KEYS] = {"keys", NULL, keys_apply, keys_undo},
    [STEP_MACHINE] = {"machine", NULL, machine_apply, machine_undo},
    [STEP_READY] = {"ready", NULL, work_ready_apply, NULL},
};
static const char *const step_names[] = {"keeper", "slug", "keys", "machine", "ready"};
_Static_assert(ARRAY_LEN(step_names) == ARRAY_LEN(steps), "one name a step");

static int preflight(struct work *w, struct error *err)
{
    (void)w;
    (void)err;
    return 0;
}

static bool has_logs(const struct lease *l)
{
    return l->marks[STEP_MACHINE] != MARK_NONE;
}

static enum life life(const struct lease *l)
{
    _cleanup_free_ char *unknown = xasprintf("%s/leases/%s/" FAKE_UNKNOWN,
                                             getenv("CRABBOX_FC_STATE_DIR"), l->id);
    if (access(unknown, F_OK) == 0)
        return LIFE_UNKNOWN;
    _cleanup_close_ int fd = fake_call(l->id, FAKE_NOTHING, NULL);
    return fd >= 0 ? LIFE_THERE : LIFE_GONE;
}

static int dial(const void *ctx, const struct deadline *d, struct error *err)
{
    const struct lease *l = ctx;
    (void)d;
    return fake_call(l->id, FAKE_SSH, err);
}

static void target(const struct lease *l, struct ssh_target *t)
{
    t->host = l->name;
    t->dial = dial;
    t->dial_ctx = l;
}

static struct machine_words words(const struct lease *l)
{
    (void)l;
    return (struct machine_words){
        .vmm = "fake", .accel = "none", .address = "nowhere", .lacks = ""};
}

static void add_json(const struct lease *l, cJSON *j)
{
    (void)l;
    (void)j;
}

static const struct provider provider_fake = {
    .kind = {"fake", step_names, ARRAY_LEN(step_names), false},
    .steps = steps,
    .preflight = preflight,
    .has_logs = has_logs,
    .life = life,
    .watch = watch,
    .target = target,
    .words = words,
    .add_json = add_json,
};

/* In the place of cmd/crabbox-fc/providers.c. */
extern const struct provider *const providers[];
const struct provider *const providers[] = {&provider_fake, NULL};
