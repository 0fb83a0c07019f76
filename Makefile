# Thin names for the real commands. `make demo` and `make test` need Python 3.11+, g++ and make, and nothing else.

PYTHON ?= python3
VENV ?= .venv
DEMO_ARGS ?=
TEST_ARGS ?=
SEEDS ?= 1000000
SOAK_ARGS ?=
BENCH_ARGS ?=
SECONDS ?= 60

BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(shell find include qtxconn -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd')
SANITIZERS := address,undefined

.PHONY: demo test bench icount icount-record fuzz sim soak soak-live lint sanitize coverage abi clean

demo: $(VENV)/installed
	$(BIN)/qtxconn demo $(DEMO_ARGS)

test: $(VENV)/installed
	$(BIN)/python -m pytest $(TEST_ARGS)

# Limits, peers and qtxconn, alternately; figures count on an idle machine only. BENCH_ARGS: names, --quick, --compare ...
bench: $(VENV)/bench
	$(BIN)/qtxconn bench --json bench.json --html bench.html $(BENCH_ARGS)

# Instructions of the hot paths, against benchmarks/icount.json: the same on every run, whatever else the machine does.
icount:
	$(PYTHON) benchmarks/icount/icount.py check

icount-record:
	$(PYTHON) benchmarks/icount/icount.py record

# Every target of tests/fuzz for SECONDS: libFuzzer where there is a clang++, else a mutator of our own.
fuzz:
	$(PYTHON) tests/fuzz/fuzz.py --seconds $(SECONDS)

# Schedules of orders and faults against the simulated venue; a failing one prints the command that shows it again.
sim: $(VENV)/installed
	$(BIN)/python -m qtxconn.testing.simulate --mode transport --count 5000 --processes 2
	$(BIN)/python -m qtxconn.testing.simulate --mode http --count 500 --processes 2

soak: $(VENV)/installed
	$(BIN)/python -m qtxconn.testing.simulate --mode transport --count $(SEEDS) --processes 2

# Half an hour over real sockets at 200 orders a second, with faults, on each order path. SOAK_ARGS: --minutes ...
soak-live: $(VENV)/installed
	$(BIN)/python -m qtxconn.testing.soak --order-path rest $(SOAK_ARGS)
	$(BIN)/python -m qtxconn.testing.soak --order-path websocket $(SOAK_ARGS)

lint: $(VENV)/installed
	$(BIN)/python -m pytest tests/test_tidy.py tests/test_layering.py $(TEST_ARGS)

# The sanitizer's runtime has to be loaded before the interpreter's own libraries. SIGBUS is for the tests to catch.
sanitize: $(VENV)/installed
	rm $(VENV)/installed
	QTXCONN_SANITIZE=$(SANITIZERS) $(BIN)/python setup.py -q build_ext --inplace
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	    ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0 $(BIN)/python -m pytest tests/unit $(TEST_ARGS)

coverage: $(VENV)/installed
	rm $(VENV)/installed
	$(BIN)/pip install -q coverage
	QTXCONN_COVERAGE=1 $(BIN)/python setup.py -q build_ext --inplace
	$(BIN)/coverage run -m pytest tests/unit $(TEST_ARGS)
	$(BIN)/coverage report

# After a change to public structs, .pxd classes or signatures: raise QTXCONN_ABI first.
abi: $(VENV)/installed
	$(BIN)/python tests/abi/layout.py tests/abi/abi.json

clean:
	rm -rf $(VENV) build dist qtxconn.egg-info
	find qtxconn -name '*.so' -delete -o -name '*.cpp' -delete

# Editable, without build isolation: compiles only what has changed. `sanitize` and `coverage` remove the stamp, so that
# the next target puts the ordinary modules back.
$(VENV)/installed: $(SOURCES)
	$(if $(shell command -v $(PYTHON)),,$(error qtxconn: $(PYTHON) not found: install Python 3.11 or newer, or name one, as in 'make PYTHON=python3.12'))
	$(eval PROBLEM := $(shell $(PYTHON) scripts/check_build_tools.py --venv))$(if $(PROBLEM),$(error $(PROBLEM)))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check 'setuptools>=80' 'Cython>=3.1,<4'
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[test]'
	touch $@

# The peers that `bench` compares with.
$(VENV)/bench: $(VENV)/installed pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[test,bench]'
	touch $@
