#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "e2e/bed.h"
#include "sys/file.h"

const char *bed_cni_dir(void)
{
    static const char *const dirs[] = {"/usr/lib/cni", "/opt/cni/bin"};
    const char *ci = getenv("CI");
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        _cleanup_free_ char *bridge = xasprintf("%s/bridge", dirs[i]);
        if (access(bridge, X_OK) == 0)
            return dirs[i];
    }
    if (ci && str_eq(ci, "true"))
        fail_msg("no CNI plugins: apt-get install containernetworking-plugins");
    return NULL;
}

/* Every "DATA_DIR" becomes the directory. */
static void fill_in(const char *list, const char *dir, struct strbuf *out)
{
    static const char word[] = "DATA_DIR";
    for (const char *p; (p = strstr(list, word)); list = p + sizeof word - 1) {
        strbuf_add(out, list, (size_t)(p - list));
        strbuf_adds(out, dir);
    }
    strbuf_adds(out, list);
}

void bed_use_cni(struct bed *b, const char *bin_dir, const char *list)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *conf = xasprintf("%s/cni", b->dir);
    _cleanup_free_ char *data = xasprintf("%s/cni-data", b->dir);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if ((mkdir(conf, 0700) < 0 && errno != EEXIST) || (mkdir(data, 0700) < 0 && errno != EEXIST))
        fail_msg("test bed: make %s: %s", conf, strerror(errno));
    _cleanup_close_ int dirfd = open(conf, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fill_in(list, data, &text);
    if (file_write_new(dirfd, "10-box.conflist", text.buf, text.len, 0600, &err) < 0)
        fail_msg("test bed: %s", err.msg);
    bed_setenv(b, "CRABBOX_FIRECRACKER_NETWORK", "cni");
    bed_setenv(b, "CRABBOX_FIRECRACKER_CNI_NETWORK", "box");
    bed_setenv(b, "CRABBOX_FIRECRACKER_CNI_CONF_DIR", conf);
    bed_setenv(b, "CRABBOX_FIRECRACKER_CNI_BIN_DIR", bin_dir);
}

void bed_ready_for_cni(struct bed *b)
{
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        b, "sh", "-ec",
        "iptables -t nat -A POSTROUTING -j RETURN; iptables -t nat -D POSTROUTING -j RETURN");
    bed_assert_code(r, 0);
    bed_rebase(b);
}

size_t bed_cni_left(struct bed *b, struct strbuf *lines)
{
    /* host-local keeps a file named like the address; plugins' chains are named CNI-. */
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        b, "sh", "-c",
        "cd \"$0\"/cni-data && find . -type f -name '[0-9]*' -printf 'address %f\\n'; "
        "iptables-save -t nat | sed -n 's/^:CNI-/chain CNI-/p'",
        b->dir);
    size_t n = 0;
    for (const char *p = r.out.buf; (p = strchr(p, '\n')); p++)
        n++;
    strbuf_adds(lines, r.out.buf);
    strbuf_adds(lines, r.err.buf);
    return n + (r.err.len > 0);
}

void bed_check_cni_clean(struct bed *b, const char *file, int line)
{
    _cleanup_strbuf_ struct strbuf left = STRBUF_INIT;
    if (bed_cni_left(b, &left) == 0)
        return;
    print_error("the chain has not given back: %s\n", left.buf);
    _fail(file, line);
}
