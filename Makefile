# make demo     the embedded server under load, in the web UI on http://127.0.0.1:8089, for 60 s (STAY=1: until Ctrl+C)
# make test     the tests, in eleven minutes or so on two cores, after installing
# make verify   the long tests, in an hour or so on two cores
# make check    lint, format, types
# make bench    what one operation costs, beside others that are installed (README=1: into README.md)
# make bench-peers  installs Artillery and does the same, three times
# make bench-scale  18,000 users in one process, over TLS too, broadcasts, a master with 250 workers, memory: over an hour, nothing beside
# make clean    remove all that these made

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PLAIN := .venv/.plain
SERVERS := tests/servers
NODE_SERVERS := $(SERVERS)/node_modules/.package-lock.json
PYSIO4 := $(SERVERS)/.venv/pysio4/.installed
GSIO := $(SERVERS)/.venv/gsio/.installed
NPM := npm ci --ignore-scripts --no-audit --no-fund
TESTS ?=

# Hundreds of processes of the tests import the same modules: what was compiled is kept, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test verify check bench bench-peers bench-scale clean servers

# What was compiled serves it, but it doesn't wait for that: as plain Python it runs in seconds. It tells how many.
demo: BEGUN := $(shell date +%s)
demo: $(if $(wildcard $(INSTALLED)),$(INSTALLED),$(PLAIN))
	@SIOLOAD_DEMO="$(BEGUN) $$(date +%s)" $(BIN)/sioload demo $(if $(STAY),--stay)

test: $(INSTALLED) servers
	$(BIN)/python -m pytest -m "not verify" --numprocesses 8 $(TESTS)

verify: $(INSTALLED) servers
	$(BIN)/python -m pytest -m verify --numprocesses 4 --durations 20 $(TESTS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) servers
	$(BIN)/python tests/benchmarks/run.py $(if $(RUNS),--runs $(RUNS)) $(if $(README),--readme)

bench-peers:
	cd tests/benchmarks && npm install --ignore-scripts --no-audit --no-fund --no-package-lock
	$(MAKE) bench RUNS=3

bench-scale: $(INSTALLED) servers
	$(BIN)/python tests/benchmarks/scale.py
	$(BIN)/python tests/soak/rooms.py

clean:
	rm -rf .venv out build *.egg-info sioload/*.so sioload/*/*.so .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf $(SERVERS)/node_modules $(SERVERS)/.venv tests/benchmarks/node_modules
	find sioload tests locustfiles -name __pycache__ -prune -exec rm -rf {} +

# The sources of what is compiled; see setup.py.
BUILT := $(foreach so,$(wildcard sioload/*.so sioload/*/*.so),$(firstword $(subst .cpython, ,$(so))))
COMPILED := $(wildcard $(BUILT:=.py) $(BUILT:=.c))

$(INSTALLED): pyproject.toml setup.py $(COMPILED)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	find sioload -name '*.so' -exec touch {} +
	touch $@

$(PLAIN): pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	SIOLOAD_PURE=1 $(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

# Servers that the tests run against. What can't be had is skipped, with a line that says so; in CI nothing is.
servers:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE_SERVERS); else \
	  echo "skipped: tests against Node servers (install Node 18 or newer with npm)"; test "$$CI" != true; fi
	@$(MAKE) --no-print-directory $(PYSIO4) || { \
	  echo "skipped: tests against python-socketio 4 (its packages can't be installed)"; test "$$CI" != true; }
	@$(MAKE) --no-print-directory $(GSIO) || { \
	  echo "skipped: tests against gevent-socketio (its packages can't be installed)"; test "$$CI" != true; }

$(NODE_SERVERS): $(SERVERS)/package-lock.json
	cd $(SERVERS) && $(NPM)
	touch $@

$(PYSIO4): $(SERVERS)/requirements-pysio4.txt
	$(PYTHON) -m venv $(SERVERS)/.venv/pysio4
	$(SERVERS)/.venv/pysio4/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Python 2's source, so nothing of it may be compiled before it is adapted.
$(GSIO): $(SERVERS)/requirements-gsio.txt $(SERVERS)/adapt_gsio.py
	$(PYTHON) -m venv --clear $(SERVERS)/.venv/gsio
	$(SERVERS)/.venv/gsio/bin/pip install --quiet --disable-pip-version-check --no-compile -r $<
	$(SERVERS)/.venv/gsio/bin/python $(SERVERS)/adapt_gsio.py $(SERVERS)/.venv/gsio/lib/python3*/site-packages/socketio
	touch $@
