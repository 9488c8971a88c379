# The commands of the README; the work is in scripts/.
.PHONY: demo test build clean

demo: build
	@bash scripts/demo.sh

test: build
	@python3 scripts/run_tests.py build

build:
	@bash scripts/setup.sh
	@ninja -C build

clean:
	@rm -rf build
