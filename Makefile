# `make run` and `make test` do all the set-up that a fresh machine needs: Python 3.11 or newer, make, and the Python
# package index. Everything lands in .venv and goes with it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# make run TOUR=only PORT=10000
TOUR ?= stay
PORT ?= 10000

# make test ARGS="-k origin"
ARGS ?=

# make bench PARTS="decisions growth" SIZE=quick
PARTS ?=
SIZE ?= full

GRPCIO_OLDEST := 1.66.2
GRPCIO_NEWEST := 1.85.1

CHECKOV := 3.3.30
KUBE_SCORE := 1.20.0

.PHONY: help run observe dashboards docs chart scan test native wheel lint format types proto contract mutants verify-deploy bench bench-readme soak clean

help:
	@echo "make run       a tour through a real Envoy, then it stays up (TOUR=only ends after it; PORT=10000)"
	@echo "make observe   the demo under load, watched: traces, decisions, and Prometheus where it is installed (PORT=10000)"
	@echo "make test      every test, real Envoy included (ARGS is handed to pytest)"
	@echo "make native    the same tests on the native wheel, whose hot path is compiled (a C compiler)"
	@echo "make wheel     the native wheel in dist/, for this platform and this Python"
	@echo "make lint      format, lint and types, as CI has them"
	@echo "make format    write the format and the fixes that are safe"
	@echo "make proto     generate cors_authz/_gen from proto/"
	@echo "make dashboards  write monitoring/dashboards from monitoring/boards.py"
	@echo "make docs      write the tables of docs/metrics.md and docs/doctor.md from the code"
	@echo "make chart     write what helm/cors-authz takes from elsewhere: schema, rules, dashboards, its README's table"
	@echo "make scan      checkov and kube-score (where Go is installed) over what the chart renders"
	@echo "make contract  the wire against Envoy's own messages, and the oldest and newest grpcio"
	@echo "make mutants   change the decision core line by line and see whether a test notices"
	@echo "make verify-deploy  the chart on a cluster: installed, attached, disturbed (KUBECONFIG=FILE ARGS=--help)"
	@echo "make bench     measure the service, its floors and its peers (h2load; Go and Rust where they are installed)"
	@echo "make bench-readme  write the documents' tables from the last make bench"
	@echo "make soak      good and bad clients at once, ten minutes for each transport"
	@echo "make clean     remove what these made"

run: $(VENV)/.demo
	$(BIN)/cors-authz demo --tour $(TOUR) --port $(PORT)

observe: $(VENV)/.demo
	$(BIN)/cors-authz observe --demo --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/python -m tests.helm.tools
	$(BIN)/python -m pytest -n 2 $(ARGS)

# What reaches the compiled modules.
NATIVE_TESTS := $(addprefix tests/,conformance policies property $(addprefix unit/,fetch pdp envoy review \
  $(patsubst %,edge/test_%.py,audit_record audit_writer counters ledger observe service tracing tracing_parent)))

native: $(VENV)/.dev
	$(BIN)/python -m tests.native
	cd .native && ../$(BIN)/python -m pytest -n 2 $(NATIVE_TESTS) $(wildcard tests/contract/test_transport*.py) $(ARGS)

wheel: $(VENV)/.dev
	$(BIN)/python -m tests.native
	mkdir -p dist && cp .native/source/*.whl dist/

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.dev
	$(BIN)/python -m grpc_tools.protoc -Icors_authz/_gen=proto/cors_authz --python_out=. --pyi_out=. \
	  $(patsubst proto/cors_authz/%,cors_authz/_gen/%,$(wildcard proto/cors_authz/*/*.proto))

dashboards: $(VENV)/.dev
	$(BIN)/python -m monitoring.boards

docs: $(VENV)/.dev
	$(BIN)/python -m docs.generated

chart: $(VENV)/.dev
	$(BIN)/python -m helm.generated

scan: $(VENV)/.dev .venv-checkov/.ready .tools/bin/kube-score
	$(BIN)/python -m tests.helm.tools
	CORS_AUTHZ_CHECKOV=.venv-checkov/bin/checkov $(BIN)/python -m pytest -rs tests/helm/test_scanners.py

contract: $(VENV)/.dev .venv-oracle/.ready .venv-grpcio-oldest/.ready .venv-grpcio-newest/.ready
	CORS_AUTHZ_ORACLE_PYTHON=.venv-oracle/bin/python $(BIN)/python -m pytest tests/contract
	.venv-grpcio-oldest/bin/python -m pytest $(wildcard tests/contract/test_transport*.py)
	.venv-grpcio-newest/bin/python -m pytest $(wildcard tests/contract/test_transport*.py)

mutants: $(VENV)/.dev
	$(BIN)/mutmut run
	$(BIN)/mutmut results

verify-deploy: $(VENV)/.dev
	$(BIN)/python -m tests.helm.tools
	$(BIN)/python -m tests.deploy --kubeconfig '$(KUBECONFIG)' $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(PARTS) $(if $(filter quick,$(SIZE)),--quick)

bench-readme: $(VENV)/.dev
	$(BIN)/python -m tests.bench readme

soak: $(VENV)/.dev
	$(BIN)/python -m tests.bench.soak

clean:
	rm -rf .venv .venv-* .bench .native .tools mutants .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# Envoy's own messages, in an environment of their own: the package brings stale copies of OpenTelemetry's.
.venv-oracle/.ready:
	$(PYTHON) -m venv .venv-oracle
	.venv-oracle/bin/python -m pip install --quiet --disable-pip-version-check 'xds-protos==1.85.0' 'protobuf==7.36.2'
	@touch $@

# In an environment of its own: checkov pins what others need newer.
.venv-checkov/.ready:
	$(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check 'checkov==$(CHECKOV)'
	@touch $@

# Where it cannot be had, its test says that it is skipped.
.tools/bin/kube-score:
	-GOBIN=$(CURDIR)/.tools/bin go install github.com/zegl/kube-score/cmd/kube-score@v$(KUBE_SCORE)

.venv-grpcio-oldest/.ready: VERSION := $(GRPCIO_OLDEST)
.venv-grpcio-newest/.ready: VERSION := $(GRPCIO_NEWEST)
.venv-grpcio-%/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-grpcio-$*
	.venv-grpcio-$*/bin/python -m pip install --quiet --disable-pip-version-check --editable . \
	  'grpcio==$(VERSION)' 'pytest==9.2.*' 'pytest-timeout==2.4.*' 'hypothesis==6.170.*'
	@touch $@
