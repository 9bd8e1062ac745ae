/* How the programs are linked: what an attacker of a process would otherwise find at a known place,
 * writable or executable. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

struct linked {
    bool moves, has_loader, stack_runs, relro, writable_code;
};

static struct linked look(const char *name)
{
    char path[512];
    struct stat st;
    struct linked l = {.stack_runs = true};
    const char *build = getenv("BUILD");
    (void)str_format(path, sizeof path, "%s/%s", build ? build : "build", name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        fail_msg("%s is missing: run make", path);
    char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(file != MAP_FAILED);
    Elf64_Ehdr head;
    memcpy(&head, file, sizeof head);
    l.moves = head.e_type == ET_DYN;
    for (int i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, file + head.e_phoff + (size_t)i * head.e_phentsize, sizeof p);
        l.has_loader |= p.p_type == PT_INTERP;
        l.relro |= p.p_type == PT_GNU_RELRO;
        l.writable_code |= p.p_type == PT_LOAD && (p.p_flags & PF_W) && (p.p_flags & PF_X);
        if (p.p_type == PT_GNU_STACK)
            l.stack_runs = p.p_flags & PF_X;
    }
    (void)munmap(file, (size_t)st.st_size);
    return l;
}

static void test_nothing_is_where_it_always_is(void **state)
{
    (void)state;
    static const char *const names[] = {"crabbox-fc", "crabbox-init"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct linked l = look(names[i]);
        if (!l.moves || !l.relro || l.stack_runs || l.writable_code)
            fail_msg("%s: moves %d, relro %d, stack runs %d, writable code %d", names[i], l.moves,
                     l.relro, l.stack_runs, l.writable_code);
        /* The guest's init runs before there is a loader. */
        assert_int_equal(l.has_loader, i == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_where_it_always_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
