# `make` lists the targets. All of them can be repeated; what they make is in .gitignore.

SHELL = /bin/sh
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$python && break; done)
# Brings the driver of the database that the tests are to run on.
TEST_GROUP = $(or $(if $(filter postgresql:%,$(CLOSIENT_AUTH_TEST_DATABASE_URL)),postgres),$(if \
	$(filter mysql:%,$(CLOSIENT_AUTH_TEST_DATABASE_URL)),mariadb),test)

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z]*\): .*## /\1	/p' Makefile | expand -t 10

.PHONY: demo
demo: python ## Serve the example project on http://127.0.0.1:8000/ with demo data (PORT=8001 for another port)
	@python=$$($(PYTHON) scripts/bootstrap.py --find) && exec $$python example_project/demo.py

.PHONY: test
test: python ## Run the tests on SQLite, with coverage (ARGS="-k throttle" passes options to pytest)
	@python=$$($(PYTHON) scripts/bootstrap.py $(TEST_GROUP)) && \
	$$python -m coverage erase && \
	$$python -X dev -m coverage run -m pytest $(ARGS) && \
	$$python -m coverage combine --quiet && \
	$$python -m coverage report --fail-under=0

.PHONY: benchmark
benchmark: python ## Compare what a request costs with other packages (ARGS=--short for a look of five minutes)
	@python=$$($(PYTHON) scripts/bootstrap.py --find) && exec $$python -m benchmarks $(ARGS)

# One at a time: the tests of two would empty one Redis under each other.
.PHONY: mutation
mutation: python ## Inject bugs into the code, and list those that no test sees (ARGS='"closient_auth.keys*"' for one module)
	@python=$$($(PYTHON) scripts/bootstrap.py mutation) && bin=$$(dirname $$python) && \
	$$bin/mutmut run --max-children 1 $(ARGS) && { $$bin/mutmut results | grep survived || echo "None survived."; }

.PHONY: lint
lint: python ## Check style, spelling, floors and types
	@python=$$($(PYTHON) scripts/bootstrap.py lint types) && bin=$$(dirname $$python) && \
	$$bin/ruff check . && $$bin/ruff format --check . && $$bin/typos && $$bin/lint-imports && $$bin/mypy

.PHONY: clean
clean: ## Remove what the other targets made
	@git clean -Xdfq

.PHONY: python
python:
	@command -v "$(firstword $(PYTHON))" > /dev/null || \
	{ echo "Python 3.11 or later is needed, and no $(or $(PYTHON),python3) was found." >&2; exit 1; }
