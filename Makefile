# Needs Python >= 3.11, pip and make (GNU make, also the 3.81 of macOS). Everything goes into .venv.

PYTHONS = $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python
BIN = .venv/bin
STAMP = .venv/.installed
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	$(if $(UPGRADE),--upgrade)
# What a deployment may choose by a variable is locked, too; what only `chatbot bench peers` needs is not.
EXTRAS = --extra rabbitmq --extra openai --extra otel

# Tests mostly wait for servers, so a few processes share them, file by file: make test SHARED= runs them in one.
# In the order of their names: files of few and slow tests, of brokers above all, would come last, one by one.
SHARED = -n 3 --dist loadfile --no-loadscope-reorder --quiet

# The heavy ones mostly wait, too, but for less: more than two at a time on two cores would measure the machine.
HEAVY = -n 2 --dist load --quiet
SPLIT = --durations-path tests/durations.json --splitting-algorithm least_duration

.DEFAULT_GOAL := help
.PHONY: help setup run servers test test-long bench lint format lock sbom clean

help: ## Show this list
	@echo "make setup, then make run. All targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Install the locked packages and this project into .venv (again when the lock changed)
	@:

# The order matters: an environment that was interrupted has no stamp, and is completed the next time.
$(STAMP): requirements/dev.txt requirements/dashboard.txt requirements/axe.txt pyproject.toml $(BIN)/python
	@total=$$(grep -c '^[a-z].*==' requirements/dev.txt); echo "Installing $$total packages ..."; \
	{ PYTHONUNBUFFERED=1 $(PIP) install --progress-bar off --require-hashes -r requirements/dev.txt || echo "pip failed"; } | { \
		n=0; while read -r word rest; do case "$$word $$rest" in \
			Collecting*|Processing*) n=$$((n + 1)); [ $$((n % 10)) -ne 0 ] || echo "  $$n of $$total";; \
			"Installing collected"*) echo "  unpacking";; \
			"pip failed") exit 1;; \
		esac; done; }
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements/dashboard.txt -r requirements/axe.txt
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready: $$($(BIN)/python --version) in .venv"

$(BIN)/python:
	@for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$$python && break; \
	done; \
	if [ -z "$${found:-}" ]; then echo "Python 3.11 or newer is needed: install it, or say which: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	echo "Creating .venv with $$("$$found" --version)"; \
	if "$$found" -c 'import ensurepip, venv' 2>/dev/null; then "$$found" -m venv --clear .venv; \
	else \
		echo "  its venv has no ensurepip: using virtualenv instead"; \
		"$$found" -m pip install --quiet --disable-pip-version-check --require-hashes --target build/virtualenv --upgrade \
			-r requirements/bootstrap.txt && PYTHONPATH=build/virtualenv "$$found" -m virtualenv --quiet --clear .venv; \
	fi

run: setup ## Set up, then run the whole service on 127.0.0.1:8000
	@exec $(BIN)/chatbot dev

servers:
	@tests/install-servers.sh

test: setup servers ## Set up, then run the tests, on real servers (installs them on Debian and Ubuntu)
	@$(BIN)/python -m pytest -m "not long" $(SHARED)

# A part of it: make test-long SHARD=1/3. How long each took is in tests/durations.json (pytest --store-durations).
test-long: setup servers ## Run the heavy tests: broker matrix, clusters, crash points, chaos
	@$(BIN)/python -m pytest -m long $(HEAVY) $(if $(SHARD),$(SPLIT) --splits $(notdir $(SHARD)) --group $(patsubst %/,%,$(dir $(SHARD))))

bench: setup servers ## Measure everything on private servers, and write bench.html and bench.json (QUICK=1: roughly)
	@$(BIN)/chatbot bench all $(if $(QUICK),--quick) --html bench.html --json bench.json

lint: setup ## Check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: setup ## Put imports and format in order
	@$(BIN)/ruff check --select I --fix --quiet
	@$(BIN)/ruff format

lock: setup ## Renew the lock from pyproject.toml (UPGRADE=1: with the newest versions)
	@[ -x $(BIN)/uv ] || $(PIP) install --quiet uv
	@$(LOCK) $(EXTRAS) pyproject.toml requirements/build.in -o requirements/run.txt
	@$(LOCK) $(EXTRAS) pyproject.toml requirements/build.in --group dev -c requirements/run.txt -o requirements/dev.txt
	@$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) --no-deps requirements/dashboard.in -o requirements/dashboard.txt
	@$(LOCK) --no-deps requirements/axe.in -o requirements/axe.txt
	@$(LOCK) requirements/sbom.in -o requirements/sbom.txt
	@echo "Renewed: requirements/run.txt dev.txt bootstrap.txt dashboard.txt axe.txt sbom.txt"

# What the image has is in two locks. The tool that reads them is locked and installed for itself, in build/.
SBOM = sbom.json
build/sbom/.installed: requirements/sbom.txt $(STAMP)
	@$(PIP) install --quiet --no-deps --require-hashes --upgrade --target build/sbom -r requirements/sbom.txt
	@touch $@

sbom: build/sbom/.installed ## Write sbom.json: every package of the image, with its hashes (CycloneDX)
	@cat requirements/run.txt requirements/dashboard.txt | PYTHONPATH=build/sbom PYTHONWARNINGS=ignore \
		$(BIN)/python -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --output-file $(SBOM) -
	@echo "Written: $(SBOM)"

clean: ## Remove .venv and everything that was built (not .state, which is data)
	@rm -rf .venv build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find chatbot tests -name __pycache__ -type d -prune -exec rm -rf {} +
