# make demo    three nodes and the sample, until Ctrl-C (ONCE=1: until they agree)
# make test    lint, types, security lint and tests: what CI runs
#
# What takes longer stands at the end: make bench, bench-data, soak, twins, forks, scale, mutants, controls, power-cuts,
# kills, networks, endurance, hostile-clients, fuzz, api-fuzz.
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

.PHONY: demo test lint typecheck security coverage setup setup-run lock clean

demo: setup-run
	@$(BIN)/python -m blockchain demo $(if $(ONCE),--once)

test: lint
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal
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

# ------------------------------------------------------------------------------------------------ what takes longer
#
# Each looks for what breaks a node, prints its seeds, and appends a line of figures to tests/records (CONTRIBUTING.md).

.PHONY: soak twins forks scale mutants controls power-cuts kills networks endurance hostile-clients fuzz api-fuzz setup-fuzz

# Random worlds with faults and hostile validators, each healed and checked: SEEDS= HEIGHTS= JOBS=, FIRST= plays them again.
soak: setup
	@SEEDS="$(SEEDS)" HEIGHTS="$(HEIGHTS)" JOBS="$(JOBS)" FIRST="$(FIRST)" $(BIN)/python -m tests.simulator.soak

# All 50,625 ways to split a network around a validator that runs twice: SAMPLE= of them, SEED=, JOBS=, with a MUTANT=.
twins: setup
	@JOBS="$(JOBS)" SAMPLE="$(SAMPLE)" SEED="$(SEED)" MUTANT="$(MUTANT)" $(BIN)/python -m tests.simulator.all_twins

# More than a third hostile: PLOTS forks of each kind (100), SEED=, JOBS=; does what the honest hold name enough of them?
forks: setup
	@PLOTS="$(PLOTS)" SEED="$(SEED)" JOBS="$(JOBS)" $(BIN)/python -m tests.simulator.forks

# A line for each size in tests/records/scale.jsonl, and from the newest ones docs/scale.md and docs/scale.svg.
scale: setup
	HEIGHTS="$(or $(HEIGHTS),3)" PEERS="$(or $(PEERS),4)" SEED="$(or $(SEED),1)" $(BIN)/python -m benchmarks.scale $(VALIDATORS)
	$(BIN)/python -m benchmarks.scale_docs

# Each planted bug must pass `demo --once` and fail the test that it names: ONLY= JOBS=.
mutants: setup
	@$(BIN)/python -m tests.mutants.run --jobs=$(or $(JOBS),2) $(if $(ONLY),--only=$(ONLY))

# Each control of docs/security.md switches a defence off, and must make the test that it names fail: ONLY= JOBS=.
controls: setup
	@$(BIN)/python -m tests.mutants.run --register=controls --jobs=$(or $(JOBS),1) $(if $(ONLY),--only=$(ONLY))

# The power goes at thousands of moments (CUTS=20000 JOBS=2 SEED=); what has to hold then: tests/powercuts.
power-cuts: setup
	$(BIN)/python -m tests.powercuts

# SIGKILL at each of about a hundred named points, KILLS=20 times (JOBS=2 SEED= POINT=); they: tests/processes/kill_points.py.
kills: setup
	$(BIN)/python -m tests.processes.kills

# Generated networks of real processes: NETWORKS=24; NETWORK_SEED= plays one again, NETWORK_MANIFEST= a file.
networks: setup
	NETWORKS=$(NETWORKS) NETWORK_SEED=$(NETWORK_SEED) NETWORK_MANIFEST=$(NETWORK_MANIFEST) $(BIN)/python -m tests.networks

# What four validators need over an hour (MINUTES=60) at 80 % of what they carry; writes docs/endurance.md with its plot.
endurance: setup
	MINUTES=$(MINUTES) $(BIN)/python -m tests.endurance

# Slow, endless, flooding, crowding and deaf clients at one of four validators, SECONDS for each attack. Linux only.
hostile-clients: setup
	@$(BIN)/python -m tests.hostile --seconds=$(or $(SECONDS),20) $(if $(ONLY),--only=$(ONLY))

# How fast, held against what the machine can do: ONLY=sync,mempool for some, REPEAT=5; QUICK=1 sees that it works.
# Figures go to benchmarks/results and docs/performance.md; CHECK=1 compares instead, and fails if something got worse.
.PHONY: bench bench-data
bench: setup
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only=$(ONLY)) $(if $(REPEAT),--repeat=$(REPEAT)) \
	  $(if $(CHECK),--check) $(if $(QUICK),--quick)
	@$(if $(CHECK)$(QUICK),:,$(BIN)/python -m benchmarks.performance_docs)

# What the benchmarks read and takes long to make, once, to .bench-data: ONLY= as above.
bench-data: setup
	@$(BIN)/python -m benchmarks.data $(if $(ONLY),--only=$(ONLY))

# Fuzzing needs more than the tests do, and has an environment of its own; Linux only, CPython 3.11 to 3.13.
setup-fuzz: VENV = .venv-fuzz
setup-fuzz: PYTHON = python3.11
setup-fuzz:
	$(call install,requirements-fuzz.lock)

# The targets of tests/fuzz in turn, SECONDS each; ONLY=frame,verify for some. What is found is kept in .fuzz/.
fuzz: setup-fuzz
	@.venv-fuzz/bin/python -m tests.fuzz --seconds=$(or $(SECONDS),60) --jobs=$(or $(JOBS),2) \
	  $(if $(ONLY),--only=$(ONLY)) $(if $(SEED),--seed=$(SEED))

# schemathesis with all checks over a real node: CASES in all, divided among SEEDS.
api-fuzz: setup-fuzz
	@.venv-fuzz/bin/python -m tests.fuzz.api --cases=$(or $(CASES),5000) --seeds=$(or $(SEEDS),1) \
	  $(if $(SEED),--seed=$(SEED))
