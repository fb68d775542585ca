# Everything that a newcomer and the build need. Each target makes its own .venv with nothing but Python 3.11 or
# newer (uv is used when it is there) and brings it up to date when pyproject.toml changes.
#
#   make PYTHON=python3.13 test     another interpreter
#   make WORKERS=8 test             more processes for the tests

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
UV := $(shell command -v uv 2>/dev/null)
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check crash fuzz clients bench memory docs clean

help:
	@echo 'make demo    a month of real flights through Isthmus, on this machine, with a checked report'
	@echo 'make test    the whole test suite'
	@echo 'make check   format, lint, types, layers, tidiness'
	@echo 'make crash   100,000 crash states, 500 kills and 50 of a server for each protocol instead of 20,000, 52 and 3'
	@echo 'make fuzz    bad input, for longer'
	@echo 'make clients real clients of every language, against Isthmus and a real Apache Kafka or RabbitMQ'
	@echo 'make bench   figures, with the durability beside each'
	@echo 'make memory  5 GB of unread events through a broker, and what stays resident'
	@echo 'make docs    links and examples of the documentation'
	@echo 'make clean   remove all that these commands made'

demo: $(VENV)/run.stamp
	$(BIN)/isthmus demo

test: $(VENV)/dev.stamp
	$(PYTEST) -n $(WORKERS) --dist worksteal

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(PYTEST) -q tests/test_layers.py tests/test_tidy.py

# The long suites have no limit per test that a slow machine could hit.
crash: $(VENV)/dev.stamp
	ISTHMUS_CRASH_STATES=100000 ISTHMUS_KILL_CYCLES=500 $(PYTEST) tests/crash -q -n $(WORKERS) --timeout 0 -o faulthandler_timeout=0

fuzz: $(VENV)/dev.stamp
	ISTHMUS_FUZZ_SECONDS=$${ISTHMUS_FUZZ_SECONDS:-60} $(PYTEST) tests/fuzz -q -n $(WORKERS) --timeout 0 -o faulthandler_timeout=0

# What is fetched for it (npm, Go modules, Maven) comes from the registries; what is not there is a skip with its reason.
clients: $(VENV)/dev.stamp
	ISTHMUS_ALL_CLIENTS=1 $(PYTEST) tests/clients tests/engines/test_suite.py tests/engines/kafka tests/engines/rabbitmq -q --timeout 600

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench

memory: $(VENV)/run.stamp
	$(BIN)/python -m bench memory

docs: $(VENV)/dev.stamp
	$(PYTEST) tests/docs -q

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call install,what): bring $(VENV) up to date with "what" installed, this tree as an editable package.
define install
	@command -v $(PYTHON) >/dev/null || { \
	  echo "there is no '$(PYTHON)'; name a Python 3.11 or newer: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) $(NEW_ENOUGH) || { \
	  echo "Isthmus needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1);" \
	       "name another: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null && $(if $(UV),,$(BIN)/python -c 'import pip' 2>/dev/null &&) true || { \
	  rm -rf $(VENV) && $(if $(UV),$(UV) venv --quiet --python $(PYTHON),$(PYTHON) -m venv) $(VENV); }
	$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet) --editable '$(1)'
endef

$(VENV)/run.stamp: pyproject.toml
	$(call install,.)
	@touch $@

$(VENV)/dev.stamp: pyproject.toml
	$(call install,.[dev])
	@touch $(VENV)/run.stamp $@

# Peers are a comparison and not a condition: what cannot be installed is a row that is skipped.
$(VENV)/bench.stamp: pyproject.toml
	$(call install,.)
	-@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet) --editable '.[bench]'
	@touch $(VENV)/run.stamp $@
