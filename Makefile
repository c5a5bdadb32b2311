# Each target alone, on a fresh clone, sets up what it needs: setup/install.sh says what that is.
#   make demo    run torture without options on this machine (nothing outside a throw-away guest or disk is touched)
#   make check   linters and layers           make test    linters, then every test
#   make bench   rates against the goals      make clean   remove .venv and what was built
#   make fuzz TARGET=plan SECONDS=3600      a decoder meets hostile inputs; the targets are in tests/unit/fuzz/targets.py
#   make qemu    also what `--lab qemu` needs, a kernel included if this machine has none

BIN = .venv/bin
TORTURE = $(BIN)/torture
PYTEST_ARGS =
TARGET = plan
SECONDS = 3600
export PYTHON

.PHONY: demo check test bench fuzz setup qemu clean
.DEFAULT_GOAL = demo

setup:
	@sh setup/install.sh

qemu:
	@sh setup/install.sh qemu

demo: setup
	@sh setup/demo.sh $(TORTURE)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: qemu check
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST_ARGS)

bench: setup
	$(BIN)/python -m benchmarks.stamps
	$(BIN)/python -m benchmarks.trials
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.large_log
	$(BIN)/python -m benchmarks.cores

fuzz: setup
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet 'atheris>=3'
	nice -n 19 $(BIN)/python -m tests.unit.fuzz.guided $(TARGET) $(SECONDS)

clean:
	rm -rf .venv build *.egg-info
	find verify workloads devicemapper torture -name '*.so' -delete
