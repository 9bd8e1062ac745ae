/* priv.h: what `priv` of struct config points to. Only for the files of this module. */
#ifndef CRABBOX_CONFIG_PRIV_H
#define CRABBOX_CONFIG_PRIV_H

#include "config/config.h"
#include "config/keys.h"
#include "config/source.h"

/* The value of one key, and who set it. */
struct config_slot {
    char *text;   /* canonical */
    char *origin; /* "default", "user:/…:12", "env:NAME", "flag:--x" */
    enum config_source source;
    char *locked_by; /* "/etc/…:7" if the floor locks the key, else NULL */
    char *max_by;    /* the same for the ceiling */
    int64_t max;
};

/* A configuration file that was looked for. */
struct config_file {
    const char *kind; /* "system", "user", "repo" */
    char *path;       /* NULL: there is no place to look */
    bool read;
    bool trusted;
    char sha256[SHA256_HEX_SIZE];
};

struct config_priv {
    struct config_slot slots[CONFIG_KEYS_MAX];
    struct config_file files[3];
    size_t n_files;
    char repo_root[PATH_MAX];
    char here[PATH_MAX];        /* the working directory's real path */
    const char *boot_locked_by; /* the floor locks the stock image that the system boots, or NULL */
};

static inline struct config_priv *config_priv(const struct config *cfg)
{
    return cfg->priv;
}

#endif
