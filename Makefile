# The commands of the README; the work is in scripts/.
.PHONY: demo test torture coverage build clean

SECONDS ?= 600

demo: build
	@bash scripts/demo.sh

test: build
	@python3 scripts/run_tests.py build

torture: build
	@python3 scripts/torture.py build $(SECONDS)

coverage:
	@bash scripts/coverage.sh

build:
	@bash scripts/setup.sh
	@ninja -C build

clean:
	@rm -rf build
