# crabbox-fc: one binary, and the guest's init as a second, static one.
# `make help` lists what can be asked for. V=1 shows the commands; BUILD=dir builds elsewhere.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
FUZZ_CC ?= clang
VERSION := 0.1.0

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

PKGS := libssh libcjson libnl-3.0 libnl-route-3.0 libnl-genl-3.0 libcurl yaml-0.1 libarchive expat libnftables ext2fs com_err libcrypto
# Of the guest's init, which is static.
GUEST_PKGS := jansson
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS := $(shell pkg-config --libs $(PKGS))
GUEST_CFLAGS := $(shell pkg-config --cflags $(GUEST_PKGS))
GUEST_LIBS := $(shell pkg-config --libs --static $(GUEST_PKGS))

WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings
# The first of these flags that the compiler takes, because not every compiler has them.
takes = $(shell for f in $(1); do $(CC) -O2 -Werror $$f -include stdio.h -E -x c /dev/null \
	>/dev/null 2>&1 && echo "$$f" && break; done)
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	$(call takes,-D_FORTIFY_SOURCE=3 -D_FORTIFY_SOURCE=2) $(call takes,-ftrivial-auto-var-init=zero)
OPT ?= -O2 -g
BASE_CFLAGS := -std=c17 -D_GNU_SOURCE -Iinternal -include base/banned.h \
	-DCRABBOX_FC_VERSION='"$(VERSION)"' $(WARN)
CFLAGS_ALL := $(BASE_CFLAGS) $(OPT) -fPIE $(HARDEN) $(PKG_CFLAGS) $(GUEST_CFLAGS) $(CFLAGS)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(LDFLAGS)

# What is a test, a fuzz target or product code follows from the file's name and folder.
ALL_C := $(sort $(wildcard internal/*/*.c))
TEST_C := $(filter %_test.c,$(ALL_C))
FUZZ_C := $(filter %_fuzz.c,$(ALL_C))
# Folders of test builds only; what the program is made of never includes from them.
TEST_DIRS := $(addprefix internal/,testutil standin e2e bench)
TESTUTIL_C := $(filter-out $(TEST_C) %_main.c %_preload.c,$(filter $(addsuffix /%,$(TEST_DIRS)),$(ALL_C)))
GUEST_C := $(filter-out $(TEST_C) $(FUZZ_C) %_main.c,$(filter internal/guest/%,$(ALL_C)))
# Static and never with a sanitizer: it runs where a loader or a sanitizer finds none of its files.
TAKEN_C := internal/testutil/taken-firecracker_main.c $(wildcard internal/testutil/attempts*.c) \
	internal/sys/syscalls.c internal/base/error.c internal/base/str.c internal/base/text.c
TOOL_C := $(filter-out $(TAKEN_C),$(filter $(addsuffix /%_main.c,$(TEST_DIRS)),$(ALL_C)))
LIB_C := $(filter-out $(TEST_C) $(FUZZ_C) $(addsuffix /%,$(TEST_DIRS)) internal/guest/%,$(ALL_C))
CMD_C := $(sort $(wildcard cmd/crabbox-fc/*.c))
INIT_C := internal/guest/init_main.c $(GUEST_C) internal/base/error.c internal/base/str.c internal/base/text.c

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB := $(BUILD)/libcrabbox.a
TESTLIB := $(BUILD)/libtestutil.a
BIN := $(BUILD)/crabbox-fc
INIT := $(BUILD)/crabbox-init
TESTS := $(patsubst internal/%.c,$(BUILD)/test/%,$(TEST_C))
# The whole program with a provider of the tests in the place of its own: internal/e2e/fake.h.
FAKE := $(BUILD)/tools/crabbox-fc-fake
TAKEN := $(BUILD)/tools/taken-firecracker
PRELOAD_C := $(filter $(addsuffix /%_preload.c,$(TEST_DIRS)),$(ALL_C))
TOOLS := $(patsubst %_main.c,$(BUILD)/tools/%,$(notdir $(TOOL_C))) \
	$(patsubst %.c,$(BUILD)/tools/%.so,$(notdir $(PRELOAD_C))) $(FAKE) $(TAKEN)
FUZZERS := $(patsubst internal/%.c,$(BUILD)/fuzz/%,$(FUZZ_C))

.PHONY: all help man check crash torture lint fmt asan bench fuzz install clean tests tools
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BIN) $(INIT)

help:
	@echo 'make            build $(BIN) and $(INIT)'
	@echo 'make check      unit and stand-in tests (as root: also the network ones)'
	@echo 'make crash      the crash matrix: every step times every way to fail there'
	@echo 'make torture    LEASES=1000 under random kills, then faults at every call (an hour or two); SEED= repeats one'
	@echo 'make lint       layers, headers, banned calls, clang-tidy, cppcheck, shellcheck'
	@echo 'make fmt        clang-format in place'
	@echo 'make asan       make check under AddressSanitizer and UBSan'
	@echo 'make fuzz       every fuzzer over its corpus, FUZZ_SECONDS=10 each'
	@echo 'make bench      side-by-side measurements, printed as a table'
	@echo 'make man        docs/crabbox-fc.1 again, from the tables of verbs, options and keys'
	@echo 'make install    PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make clean      remove $(BUILD)/'

$(BUILD)/obj/%.o: %.c Makefile
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The linker takes the first of two functions of one name in an archive, and says nothing.
refuse_twice = twice=$$(nm -g --defined-only $(1) | awk 'NF == 3 {print $$3}' | grep -v "^__" | sort | uniq -d); \
	[ -z "$$twice" ] || { echo "$(1): defined twice: $$twice"; exit 1; }
$(LIB): $(call obj,$(LIB_C))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
	$(Q)$(call refuse_twice,$@)

$(TESTLIB): $(call obj,$(TESTUTIL_C) $(GUEST_C))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Objects, not the archive: a name that two modules define is an error of the linker.
$(BIN): $(call obj,$(CMD_C) $(LIB_C))
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# Static, since it runs where there is no loader yet; it relocates itself to a random address.
$(BUILD)/initobj/%.o: %.c Makefile
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE_CFLAGS) -O2 -g $(HARDEN) -fPIE $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(INIT): $(patsubst %.c,$(BUILD)/initobj/%.o,$(INIT_C))
	$(say) LINK $@
	$(Q)$(CC) -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections -o $@ $^ $(GUEST_LIBS)
	$(Q)strip $@

$(BUILD)/test/%: $(BUILD)/obj/internal/%.o $(TESTLIB) $(LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIB) $(PKG_LIBS) $(GUEST_LIBS) -lcmocka

define tool
$(BUILD)/tools/$(patsubst %_main.c,%,$(notdir $(1))): $(call obj,$(1)) $(TESTLIB) $(LIB)
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LIB) $$(PKG_LIBS) $$(GUEST_LIBS)
endef
$(foreach c,$(TOOL_C),$(eval $(call tool,$(c))))

# Never with a sanitizer: what it stands in front of has one, and its own would be a second.
define preload
$(BUILD)/tools/$(patsubst %.c,%.so,$(notdir $(1))): $(1) Makefile
	$$(say) LINK $$@
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE_CFLAGS) -O2 -g -fno-builtin -fPIC -shared -MMD -MP -MF $$(BUILD)/obj/$$(notdir $$@).d -o $$@ $$<
endef
$(foreach c,$(PRELOAD_C),$(eval $(call preload,$(c))))

$(FAKE): $(call obj,$(filter-out %/providers.c,$(CMD_C))) $(TESTLIB) $(LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(TAKEN): $(patsubst %.c,$(BUILD)/initobj/%.o,$(TAKEN_C))
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) -static-pie -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $^

FUZZ_SAN := address,undefined -fno-sanitize-recover=undefined -O1 -g
FUZZ_LIB := $(BUILD)/libfuzz.a
$(BUILD)/fuzzobj/%.o: %.c Makefile
	$(say) FUZZCC $<
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(BASE_CFLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

# Compiled once for all fuzzers; the program and the guest have to agree on their names here too.
$(FUZZ_LIB): $(patsubst %.c,$(BUILD)/fuzzobj/%.o,$(LIB_C) $(GUEST_C))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
	$(Q)$(call refuse_twice,$@)

$(BUILD)/fuzz/%: $(BUILD)/fuzzobj/internal/%.o $(FUZZ_LIB)
	$(say) FUZZ $@
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(PKG_LIBS) $(GUEST_LIBS)

tests: $(TESTS) $(TOOLS)
tools: $(TOOLS)

# Suites that also run as a user who is not root.
ROOTLESS := $(patsubst %,$(BUILD)/test/e2e/%_e2e_test,crash copy lease)

check: all tests
	$(Q)BUILD=$(BUILD) scripts/run-tests.sh $(TESTS)
	$(Q)CRABBOX_BED_ROOTLESS=1 BUILD=$(BUILD) scripts/run-tests.sh $(ROOTLESS)

crash: all tools $(BUILD)/test/e2e/crash_test
	$(Q)BUILD=$(BUILD) scripts/run-tests.sh $(BUILD)/test/e2e/crash_test

# Directly, not through run-tests.sh: they take long and their last lines are the result.
torture: all tools $(BUILD)/test/e2e/torture_test $(BUILD)/test/e2e/nth_test
	$(Q)LEASES=$${LEASES:-1000} $(BUILD)/test/e2e/torture_test
	$(Q)NTH_CASES=$${NTH_CASES:-0} $(BUILD)/test/e2e/nth_test

asan:
	$(Q)$(MAKE) --no-print-directory check BUILD=build/asan OPT='-O1 -g' \
		CFLAGS='-DCRABBOX_FC_CHECKED -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -U_FORTIFY_SOURCE'

fuzz: $(FUZZERS)
	$(Q)scripts/fuzz.sh $(BUILD)/fuzz $(FUZZERS)

lint:
	$(Q)BUILD=$(BUILD) scripts/lint.sh

fmt:
	$(Q)clang-format -i $(ALL_C) $(CMD_C) $(wildcard internal/*/*.h cmd/crabbox-fc/*.h)

bench: all tools
	$(Q)BUILD=$(BUILD) scripts/bench.sh

man: $(BIN)
	$(Q)$(BIN) man >docs/crabbox-fc.1

install: all
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/crabbox-fc
	install -D -m 0755 $(INIT) $(DESTDIR)$(PREFIX)/lib/crabbox-fc/crabbox-init
	install -D -m 0644 config.example.yaml $(DESTDIR)$(PREFIX)/share/doc/crabbox-fc/config.example.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/crabbox-fc README.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/crabbox-fc/docs docs/*.md
	install -D -m 0644 docs/crabbox-fc.1 $(DESTDIR)$(PREFIX)/share/man/man1/crabbox-fc.1
	$(BIN) completion bash | install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/crabbox-fc
	$(BIN) completion zsh | install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_crabbox-fc
	$(BIN) completion fish | install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/crabbox-fc.fish

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj $(BUILD)/initobj $(BUILD)/fuzzobj -type f -name '*.d' 2>/dev/null)
