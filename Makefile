# The commands of the README; the work is in scripts/.
.PHONY: demo test torture coverage fuzz build clean

SECONDS ?= 600

demo: build
	@bash scripts/demo.sh

test: build
	@python3 scripts/run_tests.py build

# SECONDS in all, and at least one pass of each loop, which takes some minutes.
torture: build
	@python3 scripts/torture.py build $(SECONDS)

coverage:
	@bash scripts/coverage.sh

# SECONDS for each target; two run at once on two cores.
fuzz:
	@bash scripts/setup.sh clang-14 libclang-rt-14-dev
	@python3 scripts/fuzz.py build/fuzz $(SECONDS)

build:
	@bash scripts/setup.sh
	@ninja -C build

clean:
	@rm -rf build
