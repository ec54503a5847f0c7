# Thin: what each target does is one line. PREFIX and DESTDIR are for install.
PREFIX ?= /usr
DESTDIR ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: up build test check bench faults soak simulate fuzz sanitize interleave install deb

up: ## Build in release mode and run all processes in the foreground
	@cargo build --release --workspace --bins && exec $(TARGET)/release/leela up

build: ## Build in release mode
	cargo build --release --workspace --bins

test: ## Install what the tests need, where this user may, and run the whole suite
	tests/services/install.sh
	cargo build --workspace --bins
	LEELA_PROGRAMS="$(abspath $(TARGET))/debug" cargo test --workspace
	python3 tests/readme.py

check: ## Format, lints, documents, units
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo build --workspace --bins && tests/units.sh $(TARGET)/debug

bench: ## Measure; BENCH="hop live" chooses rows
	cargo build --release --workspace --bins && cargo run --release -p bench -- $(BENCH)

simulate: ## Seeds of the simulation for 5 minutes; SIMULATE_SECONDS=3600 for longer; SEED=17 runs that one, and tells it
	SIMULATE_SECONDS=$(or $(SIMULATE_SECONDS),300) cargo test -p simulation what_went_in -- --nocapture

faults: ## Break things under load, and add up; FAULTS="kill9 disk" chooses cases
	cargo build --release --workspace --bins && cargo run --release -p faults -- $(FAULTS)

soak: ## Half an hour under load: nothing may grow
	cargo build --release --workspace --bins && cargo run --release -p faults -- soak

fuzz: ## Fuzz every parser for a minute each; SECONDS_EACH=3600 for longer, EXECUTIONS=10000000 until they are so many
	tests/fuzz/run.sh $(or $(SECONDS_EACH),60)

sanitize: ## The modules with unsafe, under the address sanitizer (a nightly toolchain)
	tests/sanitize.sh

interleave: ## What threads share by rules of its own, in thousands of interleavings
	tests/interleave.sh

install: build ## Install programs, units, configuration and man pages
	systemd/install.sh "$(TARGET)/release" "$(DESTDIR)" "$(PREFIX)"

deb: build ## Build a Debian package of what install installs; TARGET/deb/leela_VERSION_ARCHITECTURE.deb
	systemd/debian/build.sh "$(TARGET)/release" "$(TARGET)/deb"
