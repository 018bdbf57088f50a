# keyswitchd. `make help` lists what there is. Everything a target needs is installed by the target itself.
PREFIX   ?= /usr
DESTDIR  ?=
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
GO       ?= go
GOFLAGS_BUILD = -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
BUILD    = build

export CGO_ENABLED = 0

.PHONY: help build all install simulate test test-deb test-fast test-qemu test-crash test-sshds test-pi test-faults pi packages bench shell lint clean

help:
	@echo "make simulate   try it here: a key in the terminal, a real sshd on 127.0.0.1"
	@echo "make test       every test, the virtual Pi's included (needs root or sudo)"
	@echo "make test-fast  the tests that need nothing but Go and sshd"
	@echo "make test-sshds TREES=20000 SEED=7   more random configurations for the OpenSSH of three Debian releases"
	@echo "make test-crash the hardening killed at each of its system calls"
	@echo "make test-deb   the packages, installed, upgraded and removed in virtual Pis (not part of make test)"
	@echo "make test-faults UPDATE=1   everything that can go wrong does; writes docs/faults.md"
	@echo "make build      build/keyswitchd for this machine;  make all: arm64, arm (Zero), amd64"
	@echo "make deb        packages for arm64, armhf (Zero) and amd64 in build/packages"
	@echo "make install    DESTDIR=... puts everything in place; changes nothing for SSH (that is keyswitchd arm)"
	@echo "make shell      a virtual Pi on this terminal, with keyswitchd installed"
	@echo "make bench      latencies beside bare systemd, in one virtual Pi"

build: $(BUILD)/keyswitchd

.PHONY: $(BUILD)/keyswitchd
$(BUILD)/keyswitchd:
	$(GO) build $(GOFLAGS_BUILD) -o $@ ./cmd/keyswitchd

all:
	GOARCH=arm64 $(GO) build $(GOFLAGS_BUILD) -o $(BUILD)/keyswitchd-linux-arm64 ./cmd/keyswitchd
	GOARCH=arm GOARM=6 $(GO) build $(GOFLAGS_BUILD) -o $(BUILD)/keyswitchd-linux-arm ./cmd/keyswitchd
	GOARCH=amd64 $(GO) build $(GOFLAGS_BUILD) -o $(BUILD)/keyswitchd-linux-amd64 ./cmd/keyswitchd
	@ls -l $(BUILD)/keyswitchd-linux-*

install: build
	install -D -m 0755 $(BUILD)/keyswitchd $(DESTDIR)$(PREFIX)/sbin/keyswitchd
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/keyswitchd.service deploy/keyswitchd-end-sessions.service deploy/keyswitchd-warn@.service
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/keyswitchd/interlock deploy/interlock/*.conf
	install -D -m 0644 deploy/50-keyswitchd.rules $(DESTDIR)$(PREFIX)/share/polkit-1/rules.d/50-keyswitchd.rules
	install -D -m 0644 deploy/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/keyswitchd.conf
	install -D -m 0644 deploy/60-keyswitchd.rules $(DESTDIR)$(PREFIX)/lib/udev/rules.d/60-keyswitchd.rules
	install -D -m 0644 deploy/org.keyswitchd1.conf $(DESTDIR)$(PREFIX)/share/dbus-1/system.d/org.keyswitchd1.conf
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 docs/man/keyswitchd.8
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 docs/man/keyswitchd.toml.5
	@# Written by the program itself, which has to be one that runs here.
	@GOARCH= GOARM= $(GO) build -trimpath -buildvcs=false -o $(BUILD)/here/keyswitchd ./cmd/keyswitchd
	@install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	@$(BUILD)/here/keyswitchd completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/keyswitchd
	@$(BUILD)/here/keyswitchd completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_keyswitchd
	@$(BUILD)/here/keyswitchd completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/keyswitchd.fish
	install -D -m 0644 deploy/org.keyswitchd1.policy $(DESTDIR)$(PREFIX)/share/polkit-1/actions/org.keyswitchd1.policy
	install -D -m 0644 deploy/keyswitchd.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/keyswitchd.catalog
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/keyswitchd README.md CHANGELOG.md internal/config/reference.toml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/keyswitchd/docs docs/*.md docs/*.svg
	@test -e $(DESTDIR)/etc/keyswitchd/keyswitchd.toml || install -D -m 0644 internal/config/reference.toml $(DESTDIR)/etc/keyswitchd/keyswitchd.toml
	@if [ -z "$(DESTDIR)" ]; then \
		systemd-sysusers; systemctl daemon-reload; journalctl --update-catalog; \
		udevadm control --reload && udevadm trigger --subsystem-match=gpio --subsystem-match=leds --action=add; \
		busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus ReloadConfig >/dev/null; \
		echo "Installed. SSH is as it was. Next: edit /etc/keyswitchd/keyswitchd.toml, then keyswitchd arm."; \
	fi

# Packages for every Pi, and for a PC. The version is that of the last commit, so that two builds of it are the same bytes.
DEB_EPOCH   = $(shell git log -1 --format=%ct)
DEB_VERSION = 0.1.0~git$(shell TZ=UTC git log -1 --date=format-local:%Y%m%d.%H%M%S --format=%cd)
# Who answers for the package: whoever builds it for others puts his own address here.
DEB_MAINTAINER ?= keyswitchd developers <keyswitchd@keyswitchd.invalid>
DEB_OUT     = $(BUILD)/packages
DEBS        = $(foreach a,arm64 armhf amd64,$(DEB_OUT)/keyswitchd_$(a).deb)
.PHONY: deb $(DEBS)
deb: $(DEBS)
	@ls -l $(DEB_OUT)

$(DEB_OUT)/keyswitchd_arm64.deb: export GOARCH = arm64
$(DEB_OUT)/keyswitchd_armhf.deb: export GOARCH = arm
$(DEB_OUT)/keyswitchd_armhf.deb: export GOARM = 6
$(DEB_OUT)/keyswitchd_amd64.deb: export GOARCH = amd64
$(DEBS): $(DEB_OUT)/keyswitchd_%.deb:
	@rm -rf $(BUILD)/deb/$* && mkdir -p $(BUILD)/deb $(DEB_OUT)
	@$(MAKE) --no-print-directory -s install DESTDIR=$(abspath $(BUILD)/deb/$*) BUILD=$(BUILD)/for-$* VERSION=$(DEB_VERSION)
	@GOARCH= GOARM= $(GO) run ./deploy/deb -root $(BUILD)/deb/$* -out $@ -arch $* -version $(DEB_VERSION) -epoch $(DEB_EPOCH) -maintainer '$(DEB_MAINTAINER)'

# --- trying it ---

simulate:
	@test/packages.sh openssh-server openssh-client
	@$(MAKE) --no-print-directory -s build
	@$(BUILD)/keyswitchd simulate $(ARGS)

shell: $(VIRTUALPI) image
	$(VIRTUALPI) shell -install $(BUILD)/image $(ARGS)

# --- testing it ---

VIRTUALPI = $(CURDIR)/$(BUILD)/virtualpi
IMAGE     = $(CURDIR)/$(BUILD)/image
# The same folder in every step, so that the reader of a log sees one list.
PI_TEST   = $(GO) test -count=1 -timeout 50m

.PHONY: $(VIRTUALPI) image
$(VIRTUALPI):
	$(GO) build -trimpath -buildvcs=false -o $@ ./test/virtualpi

image:
	@rm -rf $(IMAGE)
	@$(MAKE) --no-print-directory -s install DESTDIR=$(IMAGE)

test: packages lint
	$(MAKE) --no-print-directory all
	$(MAKE) --no-print-directory -j2 --output-sync=target test-fast test-qemu test-crash test-sshds pi
	$(MAKE) --no-print-directory test-pi
	$(MAKE) --no-print-directory test-faults

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "gofmt would change these files"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags e2e,virtualpi,inside,sshds,crash ./...

# One call for all, before anything runs side by side.
packages:
	@test/packages.sh openssh-server openssh-client gcc libc6-dev qemu-user-static mmdebstrap debian-archive-keyring

test-fast:
	@test/packages.sh openssh-server openssh-client gcc libc6-dev
	CGO_ENABLED=1 $(GO) test -race ./...

# The rooms that run on every Pi, as its processors run them.
QEMU_TESTED = ./gpio ./hardening ./internal/accounts ./internal/audit ./internal/config ./internal/folder ./internal/interlock ./internal/keyswitch ./internal/lockout ./internal/status
test-qemu:
	@test/packages.sh qemu-user-static openssh-server openssh-client
	GOARCH=arm64 $(GO) test -exec qemu-aarch64-static $(QEMU_TESTED)
	GOARCH=arm GOARM=6 $(GO) test -exec qemu-arm-static $(QEMU_TESTED)

# The hardening against the real OpenSSH of three Debian releases, which are made once and kept in the cache. TREES is the
# number of random configurations a release, SEED where they begin.
TREES ?= 2000
SEED  ?= 1
test-sshds:
	@test/packages.sh mmdebstrap debian-archive-keyring
	$(GO) test $(if $(filter 0,$(shell id -u)),,-exec sudo) -timeout 40m -tags sshds ./test/hardening -args -trees $(TREES) -seed $(SEED)

# The hardening killed, and failed, at each of its system calls: some thousand runs of it under ptrace(2).
test-crash:
	@test/packages.sh openssh-server openssh-client
	$(GO) test -timeout 30m -tags crash -run 'TestKilled|TestFailed|TestCrash' ./hardening

# The kernel and the root file system of the virtual Pi, made once and kept in the cache.
pi: $(VIRTUALPI)
	@$(VIRTUALPI) build

# go test runs two packages side by side, each in a machine of its own.
test-pi: $(VIRTUALPI) image
	KEYSWITCHD_IMAGE=$(IMAGE) $(PI_TEST) -tags virtualpi ./test/virtualpi/... ./test/power/...
	$(PI_TEST) -tags inside -exec '$(VIRTUALPI) exec' ./test/virtualpi/smoke
	$(PI_TEST) -tags e2e -exec '$(VIRTUALPI) exec -install $(IMAGE)' ./test/e2e ./sshctl/e2e

# The packages: two builds are the same bytes, lintian finds nothing, and one lives its life in a virtual Pi of each release.
test-deb: $(VIRTUALPI)
	@test/packages.sh lintian
	$(MAKE) --no-print-directory deb
	@$(MAKE) --no-print-directory -s deb DEB_OUT=$(BUILD)/packages-again >/dev/null
	@for a in arm64 armhf amd64; do cmp $(DEB_OUT)/keyswitchd_$$a.deb $(BUILD)/packages-again/keyswitchd_$$a.deb || exit 1; done
	lintian --allow-root --fail-on error,warning $(DEBS)
	@$(MAKE) --no-print-directory -s $(BUILD)/packages-older/keyswitchd_amd64.deb DEB_OUT=$(BUILD)/packages-older DEB_VERSION=0.0.1
	@install -D -m 0644 $(BUILD)/packages-older/keyswitchd_amd64.deb $(BUILD)/deb-image/root/packages/older.deb
	@install -D -m 0644 $(DEB_OUT)/keyswitchd_amd64.deb $(BUILD)/deb-image/root/packages/newer.deb
	for suite in trixie bookworm forky; do \
		$(PI_TEST) -tags e2e -exec '$(VIRTUALPI) exec -suite '$$suite' -install $(CURDIR)/$(BUILD)/deb-image' ./test/deb || exit 1; done

# Everything that can go wrong does, beside docs/faults.md, which says what becomes of SSH then; UPDATE=1 writes it anew.
test-faults: $(VIRTUALPI) image
	@test/packages.sh e2fsprogs
	KEYSWITCHD_IMAGE=$(IMAGE) $(PI_TEST) -tags virtualpi ./test/faults $(if $(UPDATE),-args -update)

# Beside bare systemctl, in one virtual Pi. It wants a quiet machine; compare ratios.
bench: $(VIRTUALPI) image all
	@$(GO) run -exec '$(VIRTUALPI) exec -install $(IMAGE)' ./test/bench \
		-sizes build/keyswitchd-linux-arm64,build/keyswitchd-linux-arm,build/keyswitchd-linux-amd64 $(ARGS)

clean:
	rm -rf $(BUILD)
