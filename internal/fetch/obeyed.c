/* obeyed.c: names that a guest must not plant: configuration that tools of the host obey without
 * being asked to, by standing in a directory, listing it, or opening any file in it. Left out are
 * files that are obeyed only where somebody builds or runs what came (Makefile, .npmrc, .cargo):
 * who does that runs the guest's code anyway. Also left out are .gitignore, .gitattributes and
 * .gitmodules: they start nothing by themselves and count only for what lies below them, which came
 * from the guest too.
 */
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "fetch/name.h"

#define HEAD "head"

static const struct {
    const char *name; /* in lower case */
    const char *by;
} obeyed[] = {
    {".git", "git, which prompts and editors ask: its config and hooks name programs; a file too"},
    {"git~1", "the same, by the short name that FAT and NTFS give it"},
    {HEAD, "git: beside objects and refs it makes a bare repository, whose config counts"},
    {".hg", "Mercurial: hgrc names programs"},
    {".sl", "Sapling: config names programs"},
    {".jj", "Jujutsu: its config names programs"},
    {".crabbox-fc.yaml", "crabbox-fc"},
    {".crabboxignore", "crabbox-fc: what the next sync sends"},
    {".envrc", "direnv, where its directory is on the list of those that need no question"},
    {".vscode", "Visual Studio Code: tasks and paths of programs"},
    {".idea", "the IDEs of JetBrains: the same"},
    {".zed", "Zed: the same"},
    {".exrc", "vi, Vim and Neovim with exrc"},
    {".vimrc", "Vim with exrc"},
    {".nvimrc", "Neovim with exrc"},
    {".nvim.lua", "Neovim with exrc"},
    {".lvimrc", "Vim with localvimrc"},
    {".dir-locals.el", "Emacs, when any file below is opened"},
    {".dir-locals-2.el", "the same"},
    {".gdbinit", "gdb"},
    {".lldbinit", "lldb"},
};

/* Code points that HFS+ passes over in names, in UTF-8: how many bytes there are of one; 0: none.
 */
static size_t ignorable(const unsigned char *p, size_t len)
{
    if (len < 3)
        return 0;
    if (p[0] == 0xe2 && p[1] == 0x80)
        return (p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae) ? 3 : 0;
    if (p[0] == 0xe2 && p[1] == 0x81)
        return p[2] >= 0xaa && p[2] <= 0xaf ? 3 : 0;
    return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

/* The name as a filesystem may see it that knows no case, passes over what is invisible, ends a
 * name at ":" (NTFS streams) and takes dots and blanks off its end. */
static void fold(const char *name, size_t len, char out[static NAME_MAX + 1])
{
    const unsigned char *p = (const unsigned char *)name;
    size_t n = 0;
    for (size_t i = 0; i < len && p[i] != ':' && n < NAME_MAX;) {
        size_t skip = ignorable(p + i, len - i);
        if (!skip)
            out[n++] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 'a' - 'A' : p[i]);
        i += skip ? skip : 1;
    }
    while (n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
        n--;
    out[n] = '\0';
}

static bool is_obeyed(const char *component, size_t len, bool head_too)
{
    char folded[NAME_MAX + 1];
    fold(component, len, folded);
    if (!head_too && str_eq(folded, HEAD))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(obeyed); i++)
        if (str_eq(folded, obeyed[i].name))
            return true;
    return false;
}

bool name_obeyed(const char *component, size_t len)
{
    return is_obeyed(component, len, true);
}

bool name_is_store(const char *component, size_t len)
{
    static const char *const stores[] = {".git", "git~1", ".hg", ".sl", ".jj"};
    char folded[NAME_MAX + 1];
    fold(component, len, folded);
    for (size_t i = 0; i < ARRAY_LEN(stores); i++)
        if (str_eq(folded, stores[i]))
            return true;
    return false;
}

bool name_has_obeyed(const char *path, bool head_too)
{
    while (*path) {
        size_t len = strcspn(path, "/");
        if (is_obeyed(path, len, head_too))
            return true;
        path += len;
        path += *path == '/';
    }
    return false;
}
