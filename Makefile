# Everything works from a fresh clone: each target first makes .venv from the locked versions, once.

PYTHON ?= python3
ACCEPTANCE_DATA ?= ../shared
VENV := .venv
READY := $(VENV)/.ready
DEMO := demo-out
WORK := .acceptance
CRAWL := $(ACCEPTANCE_DATA)/data/wet/crawl
CHECK := $(abspath $(VENV))/bin/python $(ACCEPTANCE_DATA)/checks
CC100 := $(abspath $(VENV))/bin/cc100

.PHONY: setup demo test lint types format acceptance benchmark docs lock image clean

setup: $(READY)

$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 13) else "Python 3.11 or 3.12 is needed; give one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[aws,test]'
	touch $(READY)

demo: setup
	rm -rf $(DEMO)
	$(CC100) run --input examples/crawl --output $(DEMO) --config configs/demo.yaml
	$(CC100) status $(DEMO)
	$(CC100) inspect $(DEMO) --examples 1
	$(VENV)/bin/python examples/read_tokens.py $(DEMO) en

test: setup
	CC100_TEST_DATA=$(abspath $(ACCEPTANCE_DATA))/data $(VENV)/bin/pytest -n 2

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --config pyproject.toml

# mypy does not follow package_dir, so it is shown the tree under its importable name.
types: setup
	mkdir -p .view/cc100
	for name in pipeline transforms tokenizer shards; do ln -sfn ../../$$name .view/cc100/$$name; done
	MYPYPATH=.view $(VENV)/bin/mypy --namespace-packages -p cc100

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The checks that judge an output folder against its contract, on the data beside them; skipped where that is absent.
acceptance: setup
	VENV=$(abspath $(VENV)) DATA=$(abspath $(ACCEPTANCE_DATA)) WORK=$(WORK) bash benchmarks/acceptance.sh

benchmark: setup
	$(VENV)/bin/python benchmarks/language_id.py
	$(VENV)/bin/python benchmarks/minhash.py

docs: setup
	$(VENV)/bin/python -m cc100.pipeline.config > docs/configuration.md

# Fix the versions anew: an unconstrained environment, written down.
lock:
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet --disable-pip-version-check '.[aws,gcp,test]'
	.lock/bin/python -m pip freeze --exclude cc100 > constraints.txt
	rm -rf .lock build cc100.egg-info

image:
	docker build -t cc100 .

clean:
	rm -rf $(VENV) .view build dist cc100.egg-info $(DEMO) $(WORK) .pytest_cache .mypy_cache .ruff_cache .hypothesis
