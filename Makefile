# `make` tells what there is. Every target installs what it needs into .venv: Python 3.11+ and make are enough.

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-secured contract check lint mutants torture simulate simulate-coverage faults docs settings lock coverage container-check release load fleet demo bench bench-scale bench-policy clean
.SUFFIXES:

# The newest Python of these that is new enough.
PYTHON ?= $(shell for each in python3.13 python3.12 python3.11 python3; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$each"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input
N ?= 4
PORT ?= 8080

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## Start one instance on http://0.0.0.0:8080 (PORT=…), with an embedded etcd unless another is configured
	@exec $(BIN)/python -m service

# Tests say with markers what they need (tests/README.md). Much of their time is waiting, so one process more shares them
# than there are cores; a file stays in one, for what its tests share. Files that last come first (tests/conftest.py).
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
BESIDE = -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev  ## Run the tests but for those that last (TESTS=tests/http: only these)
	$(BIN)/python -m pytest $(BESIDE) -m "not lasting and not alone" $(TESTS)

test-all: $(VENV)/.dev  ## Run all tests: those that bear company, then one by one those that load the machine
	@worst=0; \
	$(BIN)/python -m pytest $(BESIDE) -m "not alone" || worst=$$?; \
	$(BIN)/python -m pytest -m alone || { each=$$?; [ $$each -le $$worst ] || worst=$$each; }; \
	if [ $$worst -eq 1 ] && [ -n "$(AGAIN)" ]; then bash .ci/again $(BIN)/python; else exit $$worst; fi

test-secured: $(VENV)/.dev  ## Tests against etcd with mutual TLS and users who may use their own prefix alone (QUICK=1: some)
	$(BIN)/python -m pytest --secured-etcd -m "secured$(if $(QUICK),(quick=True))"

contract: $(VENV)/.dev  ## Requests made from service/site/openapi.yaml, at least 5,000, to a live service (QUICK=1: 1,000)
	@$(BIN)/python -m contract $(if $(QUICK),--examples=15 --least=1000)

lint: $(VENV)/.dev  ## Formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test  ## Before a commit: lint, then test; CI runs test-all

mutants: $(VENV)/.dev  ## Break each rule of the protocol and see which test notices (QUICK=1: write nothing)
	@$(BIN)/python -m mutants $(if $(QUICK),--quick)

torture: SECONDS ?= 300
torture: SEED ?= 1
torture: $(VENV)/.dev  ## Real faults for SECONDS=300, decided by SEED=1, and every promise checked
	@$(BIN)/python -m torture --seconds $(SECONDS) --seed $(SEED)

simulate: SEEDS ?= 100
simulate: FIXED ?= 0
simulate: $(VENV)/.dev  ## The real code in virtual time: SEEDS=100 new runs, and the seeds 1 to FIXED=0; SEED=7: that one, told if it fails
	@$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --fixed $(FIXED))

# What can't be in the world, and why: docs/simulation.md
NOT_SIMULATED = consistency/blocking.py,consistency/loop.py,consistency/etcd/probe.py,consistency/etcd/releases.py
simulate-coverage: $(VENV)/.dev  ## Which branches of consistency/ the simulation alone runs: the seeds 1 to 24
	@mkdir -p instance
	@$(BIN)/python -m coverage run --branch --source consistency --data-file instance/simulation.coverage \
		-m simulation --seeds 0 --fixed 24 --jobs 1 --stories 0
	@$(BIN)/python -m coverage report --data-file instance/simulation.coverage --show-missing --omit "$(NOT_SIMULATED)"

faults: $(VENV)/.dev  ## Run the tests of the fault matrix and write docs/faults.md
	@$(BIN)/python -m pytest -m fault --faults-report=docs/faults.md

docs: $(VENV)/.dev  ## Make a site of the documents, with a search, in instance/docs-site; a link that leads nowhere is an error
	@$(BIN)/python -m tools.docs_site

settings: $(VENV)/.run  ## Write docs/settings.md from the settings
	@$(BIN)/python -m tools.settings_page

lock: $(VENV)/.dev  ## Write exact versions with hashes of all that is installed (UPGRADE=1: the newest that are allowed)
	@$(BIN)/python -m tools.lock $(if $(UPGRADE),--upgrade)

COVERAGE = $(BIN)/python -m coverage
# What coverage itself adds to: the first modules that are loaded, the time for which the loop is held.
NOT_COVERED = tests/core/test_versions.py::test_no_record_of_another_tool_holds_the_loop \
	tests/process/test_as_process_one.py::test_the_handlers_are_there_before_anything_that_takes_time_is_loaded
coverage: export PROJECT := $(CURDIR)
coverage: export COVERAGE_PROCESS_START := $(CURDIR)/tools/coverage.ini
coverage: $(VENV)/.dev  ## Which lines and branches of each package the tests run (TESTS=tests/http: only these)
	@rm -rf instance/coverage && mkdir -p instance/coverage
	@failed=0; \
	$(COVERAGE) run --rcfile tools/coverage.ini -m pytest $(BESIDE) -m "not lasting and not alone" \
		$(NOT_COVERED:%=--deselect=%) $(TESTS) || failed=1; \
	$(COVERAGE) combine -q --rcfile tools/coverage.ini && \
	$(COVERAGE) json -q --rcfile tools/coverage.ini -o instance/coverage/report.json && \
	$(BIN)/python -m tools.coverage_table instance/coverage/report.json && exit $$failed

container-check: $(VENV)/.dev  ## Execute the Dockerfile's steps without Docker, and run what they make with few rights (root; minutes; KEEP=1)
	@$(BIN)/python -m tools.image $(if $(KEEP),--keep)

release: $(VENV)/.dev  ## Prepare VERSION=0.2.0: build it, look into it, write the changelog's section; sign and upload nothing
	@$(BIN)/python -m tools.release "$(VERSION)"

load: HOST ?= http://127.0.0.1:8080
load: $(VENV)/.load  ## 40 users who read, and seldom write, for 60 s against HOST (http://127.0.0.1:8080), USERS="HotKeyUser …" of tools/load_users.py
	@mkdir -p instance
	@LOAD_RESULT=instance/load $(BIN)/python -m locust --headless --users 40 --spawn-rate 10 --run-time 60s \
		--host $(HOST) --only-summary $(USERS); failed=$$?; \
	$(BIN)/python -m tools.table instance/load.json && exit $$failed

fleet: $(VENV)/.run  ## Start N=4 instances on one etcd, behind HAProxy at PORT=8080 when it is installed
	@exec $(BIN)/python -m tools.fleet -n $(N) --port $(PORT)

demo: $(VENV)/.load  ## A fleet of N=4 to look at, under load and with a writer: its page at PORT=8080, locust's at :8089
	@exec $(BIN)/python -m tools.demo -n $(N) --port $(PORT)

bench: $(VENV)/.bench  ## Ratios against peers, in turns, into docs/performance.md (a quarter of an hour; ROWS=flask: some; QUICK=1)
	@$(BIN)/python -m bench $(if $(ROWS)$(QUICK),$(if $(QUICK),--quick) $(if $(ROWS),--rows $(ROWS)),--document docs/performance.md)

bench-scale: INSTANCES ?= 1,4,16,64
bench-scale: $(VENV)/.bench  ## What 1 to 64 instances cost their etcd, beside other designs (about ten minutes; INSTANCES=1,4)
	@$(BIN)/python -m bench.scale --instances $(INSTANCES) --plots instance/plots

bench-policy: INSTANCES ?= 1,8,64
bench-policy: $(VENV)/.bench  ## What guarded keys, history and schemas cost those who write, into docs/performance.md (about eight minutes; INSTANCES=1,8)
	@$(BIN)/python -m bench.policy --instances $(INSTANCES) --document docs/performance.md

clean:  ## Remove .venv and caches; the data in instance/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each file says that its requirements are installed, as they stood when it was written.

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer is on PATH (looked for python3.13, python3.12, python3.11," \
		"python3). Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is" \
		"$$({ $(PYTHON) --version || echo no Python; } 2>&1 | tail -n 1), expected 3.11 or newer, for example make PYTHON=python3.11"; \
		exit 1; } >&2
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) can't make a virtual environment; Debian and Ubuntu keep" \
		"that part in a package of its own: apt install python3-venv"; exit 1; } >&2
	@touch $@

$(VENV)/.run: requirements.txt | $(VENV)/.python
	@echo "installing what the service needs (once, about half a minute)"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.load: tools/requirements-load.lock | $(VENV)/.run
	@echo "installing the load test (once)"
	@$(INSTALL) -r tools/requirements-load.lock
	@touch $@

$(VENV)/.bench: bench/requirements.lock | $(VENV)/.run
	@echo "installing what the peers need (once)"
	@$(INSTALL) -r bench/requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.python
	@echo "installing what tests need (once, about a minute)"
	@$(INSTALL) -r requirements-dev.lock
	@touch $@
