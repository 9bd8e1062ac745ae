/* config_doc: prints the generated parts of the documents.
 *
 *   config_doc keys       the tables of docs/CONFIG.md, with their marks
 *   config_doc example    config.example.yaml
 */
#include <stdio.h>

#include "testutil/config_doc.h"

int main(int argc, char **argv)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    if (argc == 2 && str_eq(argv[1], "keys"))
        config_doc_keys(&out);
    else if (argc == 2 && str_eq(argv[1], "example"))
        config_doc_example(&out);
    else
        return 2;
    return fputs(out.buf, stdout) < 0 || fflush(stdout) != 0;
}
