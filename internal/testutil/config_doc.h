/* config_doc.h: what the key table says, as documents.
 *
 * build/tools/config_doc writes them; a test compares them with what is in the tree.
 */
#ifndef CRABBOX_TESTUTIL_CONFIG_DOC_H
#define CRABBOX_TESTUTIL_CONFIG_DOC_H

#include "base/str.h"

/* The part of docs/CONFIG.md between these two lines is generated. */
#define CONFIG_DOC_BEGIN "<!-- generated from the key table: build/tools/config_doc keys -->\n"
#define CONFIG_DOC_END   "<!-- end of the generated part -->\n"

/* One Markdown table a block, with both marks. */
void config_doc_keys(struct strbuf *out);

/* config.example.yaml: every key with its default, commented out. */
void config_doc_example(struct strbuf *out);

/* Uncomments every key of the example, but those in `except` (NULL-terminated full names). */
void config_doc_uncomment(const char *example, const char *const *except, struct strbuf *out);

#endif
