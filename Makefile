# The two commands of the README (`make demo`, `make test`) and the parts they are made of.
SHELL := /bin/bash
.PHONY: help deps build release deb tarball reproducible test soak check-format format lint fuzz bench demo install clean

PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
SECONDS_OF_SOAK = $(or $(SECONDS),600)
BENCH_DIR ?= /var/tmp/starling-bench
# Such as: --only ml --systems starling,stargz --runs 1
BENCH_ARGUMENTS ?=

help:
	@echo "make demo      install what is missing, build, and run a container from a lazily mounted image"
	@echo "make test      install what is missing, build, and run every test"
	@echo "make deps      only install the packages"
	@echo "make release   build build/release/apps/{starlingd,starling}"
	@echo "make install   copy them, their manual pages, completions and units below $(PREFIX)"
	@echo "make deb       a Debian package in build/packages"
	@echo "make tarball   an archive that brings its libraries, in build/packages"
	@echo "make reproducible  build twice in different directories, and compare the packages"
	@echo "make soak      kill and replace the daemon below readers for SECONDS=600 seconds, and take its registry away, on both data planes"
	@echo "make lint      clang-format, clang-tidy and thread-safety analysis (clang 19)"
	@echo "make fuzz      run every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds"
	@echo "make bench     measure against overlayfs, stargz-snapshotter and BuildKit, and a held layer against ext4; two hours"

deps:
	packaging/deps.sh

release: deps
	cmake --preset release
	cmake --build --preset release -j$(JOBS)

build: deps
	cmake --preset dev
	cmake --build --preset dev -j$(JOBS)

test: deps
	tests/run.sh

soak: release
	for plane in auto tree; do \
	  export PATH=$(CURDIR)/build/release/apps/starlingd:$(CURDIR)/build/release/apps/starling:$$PATH STARLING_DATA_PLANE=$$plane; \
	  STARLING_SOAK_SECONDS=$$(($(SECONDS_OF_SOAK) / 2)) tests/e2e/kill.sh || exit 1; \
	  STARLING_OUTAGE_SECONDS=30 tests/e2e/outage.sh || exit 1; \
	done

demo: release
	bench/demo.sh build/release/apps

install: release
	packaging/stage.sh $(CURDIR) $(CURDIR)/build/release "$(DESTDIR)" $(PREFIX)

deb: release
	packaging/deb.sh build/release build/packages

tarball: release
	packaging/tarball.sh build/release build/packages

reproducible: deb tarball
	packaging/reproducible.sh build/packages

format:
	git ls-files '*.h' '*.cc' | xargs clang-format-19 -i

check-format: deps
	git ls-files '*.h' '*.cc' | xargs clang-format-19 --dry-run --Werror

lint: check-format
	cmake --preset lint
	cmake --build --preset lint -j$(JOBS)

fuzz: deps
	cmake --preset fuzz
	cmake --build --preset fuzz -j$(JOBS)
	tests/fuzz/run.sh build/fuzz/tests/fuzz $(FUZZ_SECONDS)

bench: deps
	cmake --preset release -DSTARLING_BENCH=ON
	cmake --build --preset release -j$(JOBS)
	bench/run.py --directory $(BENCH_DIR) --json $(BENCH_DIR)/results.json --document docs/performance.md $(BENCH_ARGUMENTS)
	bench/build.py --directory $(BENCH_DIR) --json $(BENCH_DIR)/builds.json
	bench/data_plane.py build/release/bench/mount_bench $(BENCH_DIR)/ml/l2.tar $(BENCH_DIR)/work

clean:
	rm -rf build
