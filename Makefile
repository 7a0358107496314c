# `make` alone prints what there is. Needs python >= 3.11 with venv, git, a C compiler; all else comes from the locks.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# Relative on purpose: the checkout may live under a path with a space.
VENV := .venv
RUN := $(VENV)/bin/python
LOCKS := locks/runtime.txt locks/dev.txt
# The scanners of strangers' sources live apart: their sandboxes see this folder alone.
SCANNERS := locks/scanners.txt
STACK := $(RUN) -m runtime.stack
LOCK := $(RUN) -m uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11
PYTEST ?=
CHAOS ?=
COMPOSE ?=
SDK ?=
CONFORMANCE ?=

SUB ?=
ROLE ?=
ORG ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Where this is set (images often do) each process would compile all of our code again, a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: ## the virtual environment, from the locks; instant when nothing changed
	@stamp="$(VENV)/.stamp"
	wanted="$$(cat $(LOCKS) $(SCANNERS) drivers/bridge/bridge.c sdks/python/pyproject.toml | cksum)"
	if [ -d "$(VENV)/bin" ] && [ ! -e "$(VENV)/bin/delivery" ]; then ln -sf ../../cli/bin/delivery "$(VENV)/bin/delivery"; fi
	if [ -x "$(RUN)" ] && [ "$$(cat "$$stamp" 2>/dev/null)" = "$$wanted" ]; then exit 0; fi
	command -v "$(PYTHON)" >/dev/null || { echo "no $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$("$(PYTHON)" --version) is too old: Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian: apt install python3-venv), or name another: make PYTHON=/path/to/python" >&2; exit 1; }
	echo "setting up $(VENV): some 100 packages, a minute or two the first time"
	rm -f "$$stamp"
	[ -x "$(RUN)" ] && "$(RUN)" -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	"$(RUN)" -m pip install --quiet --retries 5 --timeout 60 --prefer-binary --require-hashes $(LOCKS:%=-r %)
	rm -rf "$(VENV)/scanners.new"
	"$(RUN)" -m pip install --quiet --retries 5 --timeout 60 --only-binary :all: --require-hashes --target "$(VENV)/scanners.new" -r $(SCANNERS)
	rm -rf "$(VENV)/scanners" && mv "$(VENV)/scanners.new" "$(VENV)/scanners"
	"$(RUN)" -m drivers.bridge >/dev/null
	# our SDK and CLI in place, for people; tests name their own checkout's by themselves (pyproject.toml)
	"$(RUN)" -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "delivery.pth").write_text("../../../../sdks/python/src\n../../../../cli/src\n")'
	ln -sf ../../cli/bin/delivery "$(VENV)/bin/delivery"
	printf '%s' "$$wanted" > "$$stamp"

.PHONY: up
up: setup ## start the embedded stack in the foreground; Ctrl-C stops it
	@exec $(STACK) up

.PHONY: down
down: setup ## stop the stack on this data folder (DELIVERY_DATA_DIR, default .data)
	@exec $(STACK) down

.PHONY: status
status: setup ## the running parts as JSON
	@exec $(STACK) status

.PHONY: addresses
addresses: setup ## where the stack is, as JSON
	@exec $(STACK) addresses

.PHONY: token
token: setup ## a development token: make token SUB=user ROLE=developer ORG=organization
	@exec $(STACK) token --sub="$(SUB)" --role="$(ROLE)" --org="$(ORG)"

.PHONY: admin-password
admin-password: setup ## a new password for the platform admin, printed once
	@exec $(STACK) admin-password

.PHONY: demo
demo: setup ## from nothing to live traffic: a good version shipped, a bad one rolled back
	@exec $(RUN) -m examples.demo

.PHONY: test
test: setup ## lint, types, import rules, tests; prints where the time goes
	@exec $(RUN) -m tests.gate $(PYTEST)

.PHONY: test-deep
test-deep: setup ## the long forms of tests that `test` has a short form of, and heavy variants; .ci/run runs both
	@exec $(RUN) -m tests.gate --deep

.PHONY: check
check: setup ## what you changed, in a minute: lint, and the tests that it touches
	@exec $(RUN) -m tests.check

.PHONY: test-long
test-long: setup ## the long tests on the real stack: power cuts, full disks, lost databases
	@exec $(RUN) -m tests.gate --long

.PHONY: lint
lint: setup ## the part of `test` before the tests
	@exec $(RUN) -m tests.gate --lint-only

.PHONY: format
format: setup ## let ruff rewrite the sources
	@$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

.PHONY: lock
lock: setup ## make locks/*.txt anew from locks/*.in
	@cd locks
	../$(LOCK) runtime.in -o runtime.txt
	../$(LOCK) dev.in -o dev.txt
	../$(LOCK) scanners.in -o scanners.txt

.PHONY: openapi
openapi: setup ## docs/openapi.json, the same as 3.0.3 and the Postman collection anew, from the routes
	@exec $(RUN) -m api.openapi

.PHONY: sdks
sdks: setup ## what is generated in sdks/ anew, from docs/openapi.json; some only: make sdks SDK="python go"
	@exec $(RUN) -m sdks.generate $(SDK)

.PHONY: chaos soak bench
chaos: setup ## kill every process at every step, print the table: CHAOS=--short for a quick look
	@exec $(RUN) -m tests.chaos $(CHAOS)
soak: setup ## a long run under load
	@exec $(RUN) -m tests.soak
bench: setup ## measure requests a second, switch times, step times
	@exec $(RUN) -m tests.bench

.PHONY: isolation-check
isolation-check: setup ## what strangers' code tries in vain on this machine, attempt by attempt
	@exec $(RUN) -m tests.isolation

.PHONY: conformance
conformance: setup ## the SDKs of all languages against every scenario, as a table: CONFORMANCE="--languages go,python --scenarios retries"
	@exec $(RUN) -m sdks.conformance $(CONFORMANCE)

.PHONY: compose-check
compose-check: setup ## deploy/compose.yaml for real; needs a container engine: COMPOSE=--no-build takes the images as they are
	@exec $(RUN) -m tests.compose $(COMPOSE)

.PHONY: canary-report
canary-report: setup ## measure the canary judge; writes docs/canary-judge.md's figures
	@exec $(RUN) -m docs.plots.canary_judge

.PHONY: screenshots
screenshots: setup ## the pictures in docs/images anew, from a stack of its own; needs chromium
	@exec $(RUN) -m tests.screenshots

.PHONY: clean
clean: ## remove the environment and caches; the data folder stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
