# The commands of the README; the work is in scripts/.
.PHONY: demo test torture build clean

SECONDS ?= 600

demo: build
	@bash scripts/demo.sh

test: build
	@python3 scripts/run_tests.py build

torture: build
	@python3 scripts/torture.py build $(SECONDS)

build:
	@bash scripts/setup.sh
	@ninja -C build

clean:
	@rm -rf build
