# make demo    three nodes and the sample, until Ctrl-C (ONCE=1: until they agree)
# make test    lint, types, security lint and tests: what CI runs
# make fuzz, make api-fuzz, make hostile-clients    hostile bytes, requests and clients, for as long as told
# make mutants plant bugs one by one in a copy and see each caught by a test (ONLY=name,name JOBS=2)
# make controls switch off each defence of docs/security.md and see its test fail (ONLY=name,name JOBS=1)
# make networks  generated networks of real processes, with fresh seeds (NETWORKS=24)
# make twins   all Twins scenarios, some ten minutes (JOBS= SAMPLE= SEED=; MUTANT= with a bug planted, or all)
# make forks   more than a third hostile: is who made each fork named? (PLOTS=100 JOBS=2 SEED=)
# make scale   networks of up to 1,000 simulated validators, measured for docs/scale.md (VALIDATORS="100 1000" HEIGHTS=3)
# make power-cuts  look at what thousands of power cuts may leave of a disk (CUTS=20000 JOBS=2 SEED=)
# make soak    thousands of simulated networks with fresh seeds, printed (SEEDS=10000 HEIGHTS=20 JOBS=2 FIRST=)
# make kills   kill a validator, and what an operator does, at each of a hundred points (KILLS=20 JOBS=2 SEED=)
# make endurance an hour of load, and whether memory and descriptors stay flat (MINUTES=60)
#
# Everything happens in .venv of this checkout, made here with locked dependencies. Works with GNU make 3.81 and POSIX sh.
# Without make, on Windows for one, CONTRIBUTING.md has the same steps.

SHELL = /bin/sh
VENV = .venv
BIN = $(VENV)/bin
PYTEST_WORKERS = 2
CODE = blockchain run_node.py sample_transactions.py benchmarks
COVERED = blockchain/primitives/*,blockchain/ledger/*,blockchain/consensus/*
COVERED_TESTS = $(wildcard tests/primitives tests/ledger tests/consensus)

# An environment that somebody activated, or settings that send packages elsewhere, are not ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONSAFEPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV

.PHONY: demo test lint typecheck security coverage setup setup-run lock clean mutants

demo: setup-run
	@$(BIN)/python -m blockchain demo $(if $(ONCE),--once)

test: lint
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)
	@echo "All passed. Branch coverage of the rules: make coverage"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml -ll --recursive $(CODE)

coverage: setup
	$(BIN)/coverage run -m pytest $(COVERED_TESTS)
	$(BIN)/coverage report --include='$(COVERED)' --fail-under=100

# $(call install,LOCK): make the environment if there is none that works, and install LOCK unless it is there already.
# The stamp holds the checksum of the lock, so a checkout that changes the lock installs again, and nothing else does.
define install
@set -e; \
version='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; \
stamp=$(VENV)/$(1).stamp; sum=`cksum < $(1)`; \
if [ "`cat $$stamp 2>/dev/null`" = "$$sum" ] && $(BIN)/python -c "$$version" 2>/dev/null; then exit 0; fi; \
if ! $(BIN)/python -c "$$version; import pip" 2>/dev/null; then \
  found=; \
  for python in $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python); do \
    if "$$python" -c "$$version" >/dev/null 2>&1; then found=$$python; break; fi; \
  done; \
  if [ -z "$$found" ]; then \
    echo "make: no usable Python: needs CPython 3.11 to 3.14 with its venv module (name one with PYTHON=...)" >&2; exit 1; \
  fi; \
  echo "Making $(VENV) with `$$found --version`"; \
  "$$found" -m venv --clear $(VENV); \
fi; \
echo "Installing $(1)"; \
$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes --only-binary :all: -r $(1); \
echo "$$sum" > $$stamp
endef

# The demo needs no tools of development, so it is there sooner.
setup-run:
	$(call install,requirements.lock)

setup:
	$(call install,requirements-dev.lock)

# Newest versions that fit pyproject.toml, for every platform at once. Needs uv on PATH or in .venv.
lock:
	@set -e; uv=`command -v uv || command -v $(BIN)/uv` || { echo "make: lock needs uv on PATH" >&2; exit 1; }; \
	options="--upgrade --universal --generate-hashes --python-version 3.11 --only-binary :all: --no-header --quiet"; \
	"$$uv" pip compile pyproject.toml $$options -o requirements.lock >/dev/null; \
	"$$uv" pip compile pyproject.toml --group dev -c requirements.lock $$options -o requirements-dev.lock >/dev/null; \
	"$$uv" pip compile pyproject.toml --group fuzz -c requirements-dev.lock --upgrade --python-platform linux \
	  --generate-hashes --python-version 3.11 --only-binary :all: --no-header --quiet -o requirements-fuzz.lock >/dev/null

clean:
	rm -rf $(VENV) .venv-fuzz .fuzz build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find blockchain tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Each planted bug must pass `demo --once` and fail the test that it names.
mutants: setup
	@$(BIN)/python -m tests.mutants.run --jobs=$(or $(JOBS),2) $(if $(ONLY),--only=$(ONLY))

# Fresh seeds each time, printed; NETWORK_SEED= plays one again, NETWORK_MANIFEST= a file. A line each in tests/records.
networks: setup
	NETWORKS=$(NETWORKS) NETWORK_SEED=$(NETWORK_SEED) NETWORK_MANIFEST=$(NETWORK_MANIFEST) $(BIN)/python -m tests.networks

.PHONY: networks

.PHONY: twins
twins: setup
	@JOBS="$(JOBS)" SAMPLE="$(SAMPLE)" SEED="$(SEED)" MUTANT="$(MUTANT)" $(BIN)/python -m tests.simulator.all_twins

# A line for each size in tests/records/scale.jsonl, and from the newest ones docs/scale.md and docs/scale.svg.
.PHONY: scale
scale: setup
	HEIGHTS="$(or $(HEIGHTS),3)" PEERS="$(or $(PEERS),4)" SEED="$(or $(SEED),1)" $(BIN)/python -m benchmarks.scale $(VALIDATORS)
	$(BIN)/python -m benchmarks.scale_docs

# The power goes at thousands of moments (CUTS=20000 JOBS=2 SEED=); what has to hold then: tests/powercuts.
.PHONY: power-cuts
power-cuts: setup
	$(BIN)/python -m tests.powercuts

# What looks for faults needs more than the tests do, and has an environment of its own; Linux only, CPython 3.11 to 3.13.
setup-fuzz: VENV = .venv-fuzz
setup-fuzz: PYTHON = python3.11
setup-fuzz:
	$(call install,requirements-fuzz.lock)

# The targets of tests/fuzz in turn, SECONDS each; ONLY=frame,verify for some. What is found is kept in .fuzz/.
fuzz: setup-fuzz
	@.venv-fuzz/bin/python -m tests.fuzz --seconds=$(or $(SECONDS),60) --jobs=$(or $(JOBS),2) \
	  $(if $(ONLY),--only=$(ONLY)) $(if $(SEED),--seed=$(SEED))

.PHONY: setup-fuzz fuzz

# schemathesis with all checks over a real node: CASES in all, divided among SEEDS.
api-fuzz: setup-fuzz
	@.venv-fuzz/bin/python -m tests.fuzz.api --cases=$(or $(CASES),5000) --seeds=$(or $(SEEDS),1) \
	  $(if $(SEED),--seed=$(SEED))

.PHONY: api-fuzz

# SIGKILL at each of about a hundred named points, KILLS=20 times (JOBS=2 SEED= POINT=); they: tests/processes/kill_points.py.
.PHONY: kills
kills: setup
	$(BIN)/python -m tests.processes.kills

# What four validators need over an hour at 80 % of what they carry; writes docs/endurance.md with its plot.
endurance: setup
	MINUTES=$(MINUTES) $(BIN)/python -m tests.endurance

.PHONY: endurance

# More than a third hostile: PLOTS forks of each kind (100), SEED=, JOBS=; does what the honest hold name enough of them?
.PHONY: forks
forks: setup
	@PLOTS="$(PLOTS)" SEED="$(SEED)" JOBS="$(JOBS)" $(BIN)/python -m tests.simulator.forks

# Slow, endless, flooding, crowding and deaf clients at one of four validators, SECONDS for each attack. Linux only.
hostile-clients: setup
	@$(BIN)/python -m tests.hostile --seconds=$(or $(SECONDS),20) $(if $(ONLY),--only=$(ONLY))

.PHONY: hostile-clients

# Each control of docs/security.md switches a defence off, and must make the test that it names fail.
.PHONY: controls
controls: setup
	@$(BIN)/python -m tests.mutants.run --register=controls --jobs=$(or $(JOBS),1) $(if $(ONLY),--only=$(ONLY))

# Random worlds with faults and hostile validators, each healed and checked; a line each 1,000 seeds in tests/records.
.PHONY: soak
soak: setup
	@SEEDS="$(SEEDS)" HEIGHTS="$(HEIGHTS)" JOBS="$(JOBS)" FIRST="$(FIRST)" $(BIN)/python -m tests.simulator.soak
