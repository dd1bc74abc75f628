# make demo   the main job, end to end, on this machine
# make test   everything that CI runs; both do their own set-up and work from an empty clone
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Kernels are compiled once and kept beside the environment, so that a clone leaves nothing elsewhere.
export NUMBA_CACHE_DIR := $(CURDIR)/$(VENV)/kernels
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
# Debian keeps mosquitto where only root looks for commands.
export PATH := $(PATH):/usr/sbin

.PHONY: demo test test-slow lint types contracts unit nojit house journeys doctest fuzz peers install-peers bench system lock clean

demo: $(STAMP)
	@exec $(BIN)/noctule demo $(DEMO)

test: $(STAMP) system
	@$(BIN)/python -m tests.run

# With PyMC beside it where that can be installed; without it, its tests say that they are skipped.
test-slow: $(STAMP) system
	@$(MAKE) --no-print-directory install-peers || true
	@NOCTULE_SLOW=1 $(BIN)/python -m tests.run --slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/pytest tests/unit tests/house -m "not slow"

nojit: $(STAMP)
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest tests/unit -m "kernel and not slow"

journeys: $(STAMP) system
	$(BIN)/pytest tests/journeys -m "not slow"

doctest: $(STAMP)
	$(BIN)/pytest --doctest-modules sensors ingest analytics dashboard firmware_sim

# Every decoder for FUZZ_SECONDS each. atheris is not in the lock, so it gets a place of its own that nothing else sees.
FUZZ_SECONDS ?= 20
FUZZ := $(VENV)/fuzz
fuzz: $(STAMP)
	@test -d $(FUZZ)/atheris || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(FUZZ) atheris==3.0.0 || \
	{ echo "fuzzing needs atheris 3.0.0, which could not be installed into $(FUZZ)"; exit 1; }
	@PYTHONPATH=$(FUZZ) $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_ARGUMENTS)

# Another program's answer to the same question, sampled anew and frozen for the tests. PyMC and nutpie are not in the lock
# and want other versions of what is in it: they get a place of their own that only a process of theirs sees.
PEERS := $(VENV)/peers
peers: $(STAMP) install-peers
	@$(BIN)/python -m tests.peers

install-peers: $(STAMP)
	@test -d $(PEERS)/nutpie || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --ignore-installed --target $(PEERS) \
	  pymc==5.28.5 nutpie==0.16.8 2>$(PEERS).log || \
	{ echo "PyMC 5.28.5 and nutpie 0.16.8 could not be installed into $(PEERS): see $(PEERS).log"; exit 1; }

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Debian packages that some journeys need; without them those journeys say that they are skipped.
system:
	@command -v mosquitto >/dev/null && { command -v chromium || command -v chromium-browser; } >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing mosquitto and chromium"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto chromium; } >/dev/null 2>&1 \
	  || echo "apt could not install them; journeys that need them will be skipped"; \
	else echo "mosquitto or chromium is missing and apt may not be used; journeys that need them will be skipped"; fi

$(STAMP): requirements.lock pyproject.toml
	@echo "making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Noctule needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
# On both cores and without tests, 12 s once; where Python may not write bytecode every process would start 2 s later.
	@$(BIN)/python -m compileall -q -j 2 -x '/tests?/' $(VENV)/lib noctule.py sensors ingest analytics dashboard firmware_sim >/dev/null 2>&1 || true
	@touch $@

# Needs uv: names, versions and hashes for every Python from 3.11 on, and nothing about where they came from.
lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header \
	  --group test pyproject.toml -q -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache demo
