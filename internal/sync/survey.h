/* survey.h: finds out what the guest has changed in its work directory since the last sync.
 *
 * The last sync left a marker file beside the work directory. The guest has changed every file
 * whose change time is later than the marker's. For changed directories the guest also lists the
 * names, which shows what was removed. And it names the mount points, which cover what is below
 * them whatever its times. All of this only ever makes entries dirty, so a lying guest harms only
 * itself.
 */
#ifndef CRABBOX_SYNC_SURVEY_H
#define CRABBOX_SYNC_SURVEY_H

#include "sync/manifest.h"

enum survey {
    SURVEY_DONE,  /* entries that need it are dirty now */
    SURVEY_LOST,  /* no marker of ours there, or too much has changed: nothing is known */
    SURVEY_LARGE, /* done; much has changed there, a new marker would save work */
};

/* Sorted names; free them with survey_names_free. */
struct survey_names {
    char *text;     /* owned */
    const char **v; /* owned array, borrows from text */
    size_t n;
};
void survey_names_free(struct survey_names *s);

struct survey_said {
    struct survey_names mounts; /* below the directory; owned */
    char git_id[65];            /* as in struct sync_result */
};

/* Asks the guest. -1, or one of the above. */
int survey_guest(struct ssh_conn *c, struct manifest *m, const struct deadline *d,
                 struct survey_said *said, struct error *err);

/* Reads the guest's answer and marks entries; false, and none is marked, if it has too many names.
 */
bool survey_apply(struct manifest *m, const char *answer, size_t len, struct survey_said *said);

/* "/work/id/.crabbox-sync-name" for "/work/id/name" */
void survey_marker(struct strbuf *out, const char *remote);

#endif
