# Run `make` to list the targets. Each target is safe to run again, and .gitignore lists the files that they create.

SHELL = /bin/sh
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$python && break; done)
# The dependency group with the driver for the test database.
TEST_GROUP = $(or $(if $(filter postgresql:%,$(CLOSIENT_AUTH_TEST_DATABASE_URL)),postgres),$(if \
	$(filter mysql:%,$(CLOSIENT_AUTH_TEST_DATABASE_URL)),mariadb),test)

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z]*\): .*## /\1	/p' Makefile | expand -t 10

.PHONY: demo
demo: python ## Serve the example project with demo data on http://127.0.0.1:8000/ (PORT=8001 for another port)
	@python=$$($(PYTHON) scripts/bootstrap.py --find) && exec $$python example_project/demo.py

.PHONY: test
test: python ## Run the tests with coverage, on SQLite by default (ARGS="-k throttle" passes options to pytest)
	@python=$$($(PYTHON) scripts/bootstrap.py $(TEST_GROUP)) && \
	$$python -m coverage erase && \
	$$python -m coverage run -m pytest $(ARGS) && \
	$$python -m coverage combine --quiet && \
	$$python -m coverage report --fail-under=0

# A race depends on timing, so the rounds of CI can miss a fault. A hundred times as many fill a night.
TIMES ?= 100
.PHONY: races
races: python ## Run the races for a night, on PostgreSQL and MariaDB with Redis (TIMES=1 for the rounds of CI)
	@python=$$($(PYTHON) scripts/bootstrap.py postgres mariadb) && \
	export CLOSIENT_AUTH_TEST_ROUNDS="$(TIMES)" && \
	export CLOSIENT_AUTH_TEST_REDIS_URL="$${CLOSIENT_AUTH_TEST_REDIS_URL:-redis://127.0.0.1:6379/15}" && \
	for url in \
		"$${CLOSIENT_AUTH_TEST_POSTGRES_URL:-postgresql://postgres@127.0.0.1:5432/closient_auth}" \
		"$${CLOSIENT_AUTH_TEST_MARIADB_URL:-mysql://root@127.0.0.1:3306/closient_auth}"; do \
		CLOSIENT_AUTH_TEST_DATABASE_URL=$$url $$python -m pytest tests/races $(ARGS) || exit 1; \
	done

.PHONY: benchmark
benchmark: python ## Compare the CPU time of a request with other packages (ARGS=--short takes a few minutes)
	@python=$$($(PYTHON) scripts/bootstrap.py --find) && exec $$python -m benchmarks $(ARGS)

.PHONY: pictures
pictures: python ## Take the pictures of the documentation from the demo, with Chromium
	@python=$$($(PYTHON) scripts/bootstrap.py browser) && exec $$python scripts/pictures.py

# One process at a time, because each test run empties the Redis database.
.PHONY: mutation
mutation: python ## Inject bugs and list those that no test detects (ARGS='"closient_auth.keys*"' for one module)
	@python=$$($(PYTHON) scripts/bootstrap.py mutation) && bin=$$(dirname $$python) && \
	$$bin/mutmut run --max-children 1 $(ARGS) && \
	{ $$bin/mutmut results | grep survived || echo "The tests detected every bug."; }

# Needs GNU gettext. Translate afterwards what is empty or fuzzy in the catalogs, and run it again.
.PHONY: messages
messages: python ## Collect the texts for the translations, and compile these
	@python=$$($(PYTHON) scripts/bootstrap.py test) && cd closient_auth && \
	$$python -m django makemessages --all --no-obsolete --no-wrap --no-location && $$python -m django compilemessages

.PHONY: lint
lint: python ## Check style, spelling, import layers and types
	@python=$$($(PYTHON) scripts/bootstrap.py lint types) && bin=$$(dirname $$python) && \
	$$bin/ruff check . && $$bin/ruff format --check . && $$bin/typos && $$bin/lint-imports && $$bin/mypy

.PHONY: clean
clean: ## Remove all files that .gitignore lists
	@git clean -Xdfq

.PHONY: python
python:
	@command -v "$(firstword $(PYTHON))" > /dev/null || \
	{ echo "Python 3.11 or later is required, but $(or $(PYTHON),python3) was not found." >&2; exit 1; }
