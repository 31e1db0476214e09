# Rotunda: `make demo` shows it, `make test` tests it. Both install the missing packages on a Debian 12 machine.

CARGO ?= cargo
# Clips for the demo's participants (MP4 with H.264 and AAC). Without clips, audio and video are generated.
DEMO_CLIPS ?= $(wildcard ../shared/media/speaker_?_360p.mp4)
BIN := target/debug/rotunda
# The build of all tests. It names the whole workspace: for a part of it Cargo would choose other features and build the
# dependencies again. Clippy compiles it (scripts/lint).
TESTED = RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/lint $(CARGO)
BUILD = $(TESTED) build --workspace --lib --bins --tests --examples
# A failed test of a server, a browser or a player in real time is run once more, and named (docs/testing.md).
AGAIN = || (echo "failed; once more" && .venv/bin/python -m pytest -q --last-failed --last-failed-no-failures none)
# Seconds per fuzz target.
FUZZ_SECONDS ?= 10

.DEFAULT_GOAL := help
.PHONY: help setup setup-demo web build demo run device-demo sdk test lint test-tools test-rust test-web test-browser test-sdk test-whip test-avatar \
    test-deploy test-deploy-files test-deploy-pods test-fuzz fuzz dist dist-of-tests sbom docs-layouts clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install missing system packages, check the toolchains
	@scripts/setup

setup-demo:
	@scripts/setup demo

# A file that npm writes: Vite and Vitest change the folder when they run, and the pages would be built once more.
WEB_PACKAGES = web/node_modules/.package-lock.json
$(WEB_PACKAGES): web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

web/dist/index.html: $(WEB_PACKAGES) $(shell find web/src web/public web/*.html web/*.ts -type f 2>/dev/null)
	cd web && npm run build

web: web/dist/index.html ## Build the web pages

build: setup-demo web ## Build the server
	$(CARGO) build --bin rotunda

demo: build ## Run the demo: three participants, a mix, live streams, a recording (DEMO_SECONDS=30 to end by itself)
	$(BIN) demo $(addprefix --clip ,$(DEMO_CLIPS))

run: build ## Run the server
	$(BIN) serve

DEMO_CAMERA = cc -std=c99 -O1 -g -Wall -Wextra -Wpedantic -Werror -Idevice/include device/demo/*.c \
    -Ltarget/debug -lrotunda_device -Wl,-rpath,'$$ORIGIN/../debug' -lpthread -lm

# PROFILE=dev is the build of the tests.
PROFILE ?= release
DIST ?= target/dist

dist: setup-demo web ## What the image contains (deploy/Dockerfile): the server, the licences of all that is in it, its SBOM, in target/dist
	$(if $(filter dev,$(PROFILE)),$(BUILD),$(CARGO) build --locked --profile $(PROFILE) --bin rotunda)
	@mkdir -p $(DIST)
	CARGO="$(CARGO)" scripts/licences $(DIST)/THIRD_PARTY_LICENCES.txt
	scripts/sbom $(DIST)/rotunda.cdx.json
	install -m 755 target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/rotunda $(DIST)/rotunda
	install -m 644 LICENSE-MIT LICENSE-APACHE $(DIST)/

sbom: ## The software bill of materials (CycloneDX) from the lock files, in target/rotunda.cdx.json
	@mkdir -p target
	scripts/sbom target/rotunda.cdx.json

device-demo: setup ## Build the device library and the demo camera in C (docs/device.md)
	$(BUILD)
	@mkdir -p target/device
	$(DEMO_CAMERA) -o target/device/demo
	@# For the tests: memory errors, undefined behaviour and leaks of the program, and of memory that it shares with the library.
	$(DEMO_CAMERA) -fsanitize=address,undefined -fno-sanitize-recover=all -o target/device/demo-checked

# Everything is built once, while the tools of the suites are downloaded. Browsers leave time for the suites of servers and players. The
# pods' frame rates are measured, so they have the machine for themselves.
test: setup web ## All tests and lints
	@MAKE="$(MAKE)" scripts/lanes lint test-tools \
	    --then test-rust \
	    --also test-browser "test-sdk test-whip test-avatar test-deploy-files low:test-web low:test-fuzz" \
	    --also test-deploy-pods
	@echo "make test: everything passed"

lint: web ## Formatting, and Clippy while the tests are built
	$(CARGO) fmt --all -- --check
	$(BUILD)

# What the suites have of their own: npm and Python packages, Prometheus.
test-tools: tests/browser/node_modules tests/tencent_sdk/.venv tests/tencent_sdk/node/node_modules tests/whip/.venv tests/avatar/.venv \
    tests/deploy/.venv tests/deploy/node_modules tests/deploy/prometheus

test-rust: web ## Unit and end-to-end tests in Rust
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(TESTED) nextest run --workspace; \
	else \
	    $(TESTED) test --workspace --lib --bins --tests; \
	fi

test-fuzz: web ## Every fuzz target for 2 seconds, starting from its saved inputs, with the same changes each time
	CARGO="$(CARGO)" fuzz/run --seconds 2 --seed 1

fuzz: web ## Every fuzz target for FUZZ_SECONDS; FUZZ_ALL=1 also covers the dependencies
	CARGO="$(CARGO)" fuzz/run --seconds $(FUZZ_SECONDS)

sdk: $(WEB_PACKAGES) ## Build the npm packages of the web SDK in web/packages, and its reference in web/api
	cd web && npm run packages && npm run api

test-web: web ## Unit tests of the web SDK, its examples, packages and reference
	cd web && npm run check && npm test && npm run packages && npm run api

tests/browser/node_modules: tests/browser/package-lock.json
	cd tests/browser && npm ci --no-audit --no-fund
	@touch $@

test-browser: tests/browser/node_modules web device-demo ## The demo page and the players in real Chromium and Firefox
	$(BUILD)
	scripts/test-browser

tests/tencent_sdk/.venv: tests/tencent_sdk/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

tests/tencent_sdk/node/node_modules: tests/tencent_sdk/node/package-lock.json
	cd tests/tencent_sdk/node && npm ci --no-audit --no-fund
	@touch $@

test-sdk: tests/tencent_sdk/.venv tests/tencent_sdk/node/node_modules web ## The official Tencent Cloud SDKs (Python, Node.js), gRPC, OpenAPI, the command line
	$(BUILD)
	cd tests/tencent_sdk && .venv/bin/python -m pytest -q $(AGAIN)

tests/whip/.venv: tests/whip/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-whip: tests/whip/.venv web ## WHIP and WHEP with aiortc and GStreamer (Eyevinn's clients and coturn: test-browser)
	$(BUILD)
	cd tests/whip && .venv/bin/python -m pytest -q $(AGAIN)

tests/avatar/.venv: tests/avatar/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-avatar: tests/avatar/.venv web ## Avatars with aiortc, espeak-ng and nginx (their page in Chromium: test-browser)
	$(BUILD)
	cd tests/avatar && .venv/bin/python -m pytest -q $(AGAIN)

tests/deploy/.venv: tests/deploy/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

tests/deploy/node_modules: tests/deploy/package-lock.json
	cd tests/deploy && npm ci --no-audit --no-fund
	@touch $@

# Debian's package without its service: promtool, and a server for the tests of alerts and dashboards. Without a package source
# those tests are left out.
tests/deploy/prometheus:
	@rm -rf $@.new && mkdir $@.new
	@cd $@.new && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } 2>/dev/null \
	    && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb && mv ../prometheus.new ../prometheus \
	    || echo "make: Debian's package prometheus could not be downloaded; its tests are left out" >&2
	@rm -rf $@.new

dist-of-tests: web
	$(MAKE) dist PROFILE=dev DIST=target/test-dist

# Tests with servers in real time.
DEPLOY_PODS = test_live_metrics.py test_main_job.py test_outages.py test_rollout.py

test-deploy: test-deploy-files test-deploy-pods ## Image, compose file and Helm chart; the chart's pods as processes on NATS and PostgreSQL

test-deploy-files: tests/deploy/.venv tests/deploy/node_modules tests/deploy/prometheus dist-of-tests
	cd tests/deploy && .venv/bin/python -m pytest -q $(DEPLOY_PODS:%=--ignore=%) $(AGAIN)

test-deploy-pods: tests/deploy/.venv tests/deploy/node_modules tests/deploy/prometheus dist-of-tests
	cd tests/deploy && .venv/bin/python -m pytest -q $(DEPLOY_PODS) $(AGAIN)

docs-layouts: ## Render the images of docs/layouts.md
	$(CARGO) run -q -p rotunda-mcu --example layouts -- docs/layouts

clean: ## Remove all build outputs
	$(CARGO) clean
	rm -rf web/dist web/packages web/api web/node_modules tests/browser/node_modules tests/tencent_sdk/.venv tests/tencent_sdk/node/node_modules tests/whip/.venv tests/avatar/.venv tests/deploy/.venv tests/deploy/node_modules tests/deploy/prometheus
