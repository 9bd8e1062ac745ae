#include "lease/words.h"

#include "base/cleanup.h"

const char *const lease_adjectives[] = {
    "amber",  "ample",  "azure",  "bold",   "brave",  "brisk", "calm",  "clear",  "clever", "coral",
    "crisp",  "deft",   "eager",  "early",  "fair",   "fleet", "fond",  "fresh",  "gentle", "glad",
    "grand",  "green",  "hardy",  "ideal",  "jolly",  "keen",  "kind",  "light",  "lively", "loyal",
    "lucid",  "lucky",  "mellow", "merry",  "mild",   "misty", "neat",  "noble",  "olive",  "plain",
    "plucky", "polite", "prime",  "proud",  "quick",  "quiet", "rapid", "ready",  "rosy",   "royal",
    "sandy",  "sharp",  "silent", "silver", "smooth", "snug",  "solid", "steady", "sunny",  "swift",
    "tidy",   "vivid",  "warm",   "witty",
};
const size_t lease_adjectives_len = ARRAY_LEN(lease_adjectives);

const char *const lease_nouns[] = {
    "anchor",   "atoll", "barge",  "bay",    "beach",  "buoy",    "canal",   "cape",
    "clam",     "coast", "cove",   "crab",   "creek",  "delta",   "dinghy",  "dock",
    "dune",     "eddy",  "fjord",  "foam",   "gull",   "harbor",  "heron",   "inlet",
    "island",   "jetty", "kayak",  "kelp",   "krill",  "lagoon",  "lobster", "marina",
    "marsh",    "mast",  "mussel", "oyster", "pebble", "pelican", "pier",    "plover",
    "prawn",    "quay",  "raft",   "reef",   "ridge",  "river",   "sail",    "sand",
    "schooner", "seal",  "shell",  "shoal",  "shore",  "shrimp",  "skiff",   "sloop",
    "sound",    "spray", "squid",  "strand", "surf",   "tern",    "tide",    "whelk",
};
const size_t lease_nouns_len = ARRAY_LEN(lease_nouns);
