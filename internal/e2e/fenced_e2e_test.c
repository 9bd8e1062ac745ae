/* Who takes apart what a guest sends: a process without rights, whoever calls. */
#include "e2e/e2e.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "testutil/parts.h"

#define PART "fenced-ssh"

/* Whether it holds a socket of TCP. */
static bool has_tcp(pid_t pid)
{
    char path[64], word[64];
    bool found = false;
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/net/tcp", (int)pid);
    assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 20, &all, NULL), 0);
    (void)str_format(path, sizeof path, "/proc/%d/fd", (int)pid);
    _cleanup_closedir_ DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char to[64] = "";
        unsigned long inode;
        if (readlinkat(dirfd(dir), e->d_name, to, sizeof to - 1) < 0 ||
            sscanf(to, "socket:[%lu]", &inode) != 1)
            continue;
        (void)str_format(word, sizeof word, " %lu ", inode);
        found |= strstr(all.buf, word) != NULL;
    }
    return found;
}

/* A run whose command goes on, as its process is visible here. */
static struct child begin(const char *seconds)
{
    struct child c = BED_START(&bed, -1, "run", "--id", "box", "--no-sync", "-q", "--", "sleep",
                               seconds);
    e2e_wait_processes(seconds, 2); /* run itself has the word, too */
    return c;
}

static void look_at(const struct child *c)
{
    assert_true(has_tcp(part_check(c->pid, PART)));
    assert_false(has_tcp(c->pid));
}

static void test_as_root(void **state)
{
    (void)state;
    bed_setenv(&bed, "SUDO_UID", NULL);
    struct child c = begin("4241");
    look_at(&c);
    e2e_signal(&c, SIGINT);
    assert_int_equal(e2e_code(&c, 30000), 130);
    e2e_wait_processes(PART, 0);
}

static void test_by_sudo(void **state)
{
    (void)state;
    bed_setenv(&bed, "SUDO_UID", "4321");
    bed_setenv(&bed, "SUDO_GID", "4321");
    struct child c = begin("4242");
    look_at(&c);
    e2e_signal(&c, SIGTERM);
    assert_int_equal(e2e_code(&c, 30000), 130);
    e2e_wait_processes(PART, 0);
    bed_setenv(&bed, "SUDO_GID", NULL);
}

/* The program lives on, says so, and the lease can be used. */
static void test_the_part_is_killed(void **state)
{
    (void)state;
    struct child c = begin("4243");
    assert_int_equal(kill(part_of(c.pid, PART), SIGKILL), 0);
    assert_int_not_equal(e2e_code(&c, 30000), 0);
    e2e_wait_processes(PART, 0);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "echo", "again");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "again");
}

static void test_the_program_is_killed(void **state)
{
    (void)state;
    struct child c = begin("4244");
    e2e_signal(&c, SIGKILL);
    assert_true(e2e_wait(&c, 30000).signalled);
    e2e_wait_processes(PART, 0);
    _cleanup_bed_result_ struct bed_result r = E2E_RUN_IN("box", "--", "echo", "again");
    bed_assert_code(r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_root),
        cmocka_unit_test(test_by_sudo),
        cmocka_unit_test(test_the_part_is_killed),
        cmocka_unit_test(test_the_program_is_killed),
    };
    return E2E_GROUP(tests, e2e_open_box, e2e_close_box);
}
