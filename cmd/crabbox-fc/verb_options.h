/* verb_options.h: the options of each verb; each table ends with a row without name. */
#ifndef CRABBOX_CMD_VERB_OPTIONS_H
#define CRABBOX_CMD_VERB_OPTIONS_H

#include "cmd.h"

extern const struct option_spec warmup_options[];
extern const struct option_spec run_options[];
extern const struct option_spec watch_options[];
extern const struct option_spec stop_options[];
extern const struct option_spec json_options[];
extern const struct option_spec heartbeat_options[];
extern const struct option_spec config_options[];
extern const struct option_spec trust_options[];
extern const struct option_spec cp_options[];
extern const struct option_spec plain_options[];
extern const struct option_spec status_options[];
extern const struct option_spec ssh_options[];
extern const struct option_spec tunnel_options[];
extern const struct option_spec logs_options[];
extern const struct option_spec cleanup_options[];
extern const struct option_spec doctor_options[];

#endif
