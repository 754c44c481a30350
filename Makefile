# Two commands: `make demo` shows a real model as a spike program, `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types pytest slow docs clean

demo: $(STAMP)
	$(BIN)/sdllm-compile demo

test: lint types pytest

$(STAMP): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not see through the mapping of folders to packages, so it looks at an installed copy. What setuptools leaves
# behind goes, as entry points would be read from there when they are others by now.
types: $(STAMP)
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/types .
	rm -rf sdllm.egg-info
	cd build/types && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p sdllm

pytest: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

# Proofs that take minutes.
slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# Pages that are made from the code and from test results.
docs: $(STAMP)
	$(BIN)/python -m sdllm.ir.docs > docs/ops.md
	$(BIN)/python -m sdllm.compiler.frontend.coverage --write docs/coverage.md
	$(BIN)/python -P -m sdllm.backends.conformance --write docs/backends.md

clean:
	rm -rf build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
