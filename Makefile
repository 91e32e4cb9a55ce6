# Two commands do everything: `make demo` shows the product, `make test` checks it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test test-cluster test-kueue lint bench clean

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bayplan needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,solver]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/bayplan demo $(ARGS)

test: $(VENV)/.ready lint
	$(BIN)/python -m pytest -n auto $(ARGS)

# Against a real control plane, kubectl and Helm, which are built from their Go modules once (some fifteen minutes on two
# cores).
test-cluster: $(VENV)/.ready
	$(BIN)/python -m tests.controlplane.build
	BAYPLAN_TEST_CLUSTER=1 $(BIN)/python -m pytest tests/cluster tests/contract tests/embedded/test_kubectl.py $(ARGS)

# Beside a running Kueue, whose manager is built from its Go module once (some minutes more).
test-kueue: $(VENV)/.ready
	$(BIN)/python -m tests.controlplane.build kueue
	BAYPLAN_TEST_KUEUE=1 $(BIN)/python -m pytest tests/kueue $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV)
