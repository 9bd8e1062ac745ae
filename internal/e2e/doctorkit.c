#include "e2e/doctorkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "e2e/bed.h"
#include "e2e/bed_internal.h"
#include "local/local.h"

const struct provider *const doctorkit_providers[] = {&provider_local, NULL};

struct config_dir doctorkit_dir;
static pid_t outside;

const char *doctorkit_path(const char *rel)
{
    return config_dir_path(&doctorkit_dir, rel);
}

void doctorkit_program(const char *rel, const char *text)
{
    config_dir_write(&doctorkit_dir, rel, text);
    assert_int_equal(chmod(doctorkit_path(rel), 0755), 0);
}

int doctorkit_open(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    outside = bed_enter_net();
    config_dir_make(&doctorkit_dir);
    assert_int_equal(mkdir(doctorkit_path("img"), 0755), 0);
    if (bed_make_image(doctorkit_path("img"), &err) < 0)
        fail_msg("%s", err.msg);
    doctorkit_program("bin/firecracker", "#!/bin/sh\necho Firecracker v1.16.1\n");
    doctorkit_program("bin/qemu", "#!/bin/sh\necho QEMU emulator version 7.2.22\n");
    return 0;
}

int doctorkit_close(void **state)
{
    (void)state;
    config_dir_remove(&doctorkit_dir);
    bed_leave_net(outside);
    return 0;
}

struct doctor_report doctorkit_judge(const char *yaml, const char *provider)
{
    struct config cfg;
    struct doctor_report r;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (const char *p = yaml; *p; p++) {
        if (*p == '%')
            strbuf_adds(&text, doctorkit_dir.root);
        else
            strbuf_addc(&text, *p);
    }
    config_dir_write(&doctorkit_dir, USER_FILE, text.buf);
    if (config_dir_load(&doctorkit_dir, NULL, 0, &cfg, &err) < 0 ||
        doctor_run(&cfg, doctorkit_providers, doctorkit_path("state"), provider, &r, &err) < 0)
        fail_msg("%s", err.msg);
    config_free(&cfg);
    return r;
}

const struct doctor_check *doctorkit_find(const struct doctor_report *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->checks[i].check, name))
            return &r->checks[i];
    fail_msg("no check is named %s", name);
    return NULL;
}

const char *doctorkit_detail(const struct doctor_check *c, const char *key)
{
    return json_opt_string(c->details, key, "(absent)");
}

void doctorkit_expect(const char *yaml, const char *check, enum doctor_status status,
                      const char *class, const char *part)
{
    _cleanup_(doctor_free) struct doctor_report r = doctorkit_judge(yaml, NULL);
    const struct doctor_check *c = doctorkit_find(&r, check);
    if (c->status != status || !strstr(c->message, part))
        fail_msg("%s: %s: %s", check, doctor_status_name(c->status), c->message);
    assert_string_equal(json_opt_string(c->details, "class", ""), class);
    if (status == DOCTOR_FAILED) {
        assert_true(*json_opt_string(c->details, "fix", "") != '\0');
        assert_false(r.ok);
    }
}
