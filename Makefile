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

VENV_READERS := .venv-readers
VENV_TRANSFORMERS_4 := .venv-transformers-4
READERS_OUTPUT := .readers/out

.PHONY: setup demo test readers-test runners-test spark-test spark-faults dataflow-test lint types format acceptance benchmark docs lock lock-readers image clean

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

# The same bytes from all stages on two local processes, Prism and Flink. Needs Java 11 or 17 and Maven, and Go for Prism.
runners-test: setup
	$(CC100) flink jar
	$(VENV)/bin/pytest -m runners tests/pipeline

# On Spark: local[2], a standalone cluster on this machine, killed processes, S3. Needs Java 11 or 17 and Maven; downloads about 600 MB, once.
spark-test: setup
	$(CC100) spark jar
	$(VENV)/bin/pytest -m spark --durations=0 --durations-min=5 tests/pipeline/spark

# Every kind of fault on a standalone cluster, and a local Flink that loses its workers.
spark-faults: setup
	$(CC100) spark jar
	$(CC100) flink jar
	$(VENV)/bin/pytest -m spark_faults tests/pipeline

# Readers of other projects that need torch or an older transformers, each in an environment of its own, on a folder that the commands make.
# torch comes without its CUDA libraries (0.6 GB in place of 3): hence no dependencies, stubs, and lazy binding.
readers-test: setup $(VENV_READERS)/.ready $(VENV_TRANSFORMERS_4)/.ready
	rm -rf $(READERS_OUTPUT)
	$(CC100) run --input examples/crawl --output $(READERS_OUTPUT) --config configs/demo.yaml
	for format in fairseq datatrove litdata cc100-txt megatron-blend; do $(CC100) export $(READERS_OUTPUT) --format $$format || exit 1; done
	for format in fairseq datatrove litdata cc100-txt; do $(CC100) export $(READERS_OUTPUT) --format $$format --verify || exit 1; done
	CC100_READERS=required CC100_READERS_OUTPUT=$(READERS_OUTPUT) TORCH_USE_RTLD_GLOBAL=1 $(VENV_READERS)/bin/pytest tests/readers/test_torch.py
	CC100_READERS=required CC100_READERS_OUTPUT=$(READERS_OUTPUT) $(VENV)/bin/pytest tests/readers/test_ordinary.py
	PYTHONPATH=.view $(VENV_TRANSFORMERS_4)/bin/pytest tests/tokenizer/test_folder_transformers.py

$(VENV_READERS)/.ready: constraints-readers.txt tests/readers/stub_cuda.sh
	rm -rf $(VENV_READERS) && $(PYTHON) -m venv $(VENV_READERS)
	$(VENV_READERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-readers.txt
	bash tests/readers/stub_cuda.sh $(VENV_READERS)
	touch $@

$(VENV_TRANSFORMERS_4)/.ready: constraints-transformers-4.txt
	rm -rf $(VENV_TRANSFORMERS_4) && $(PYTHON) -m venv $(VENV_TRANSFORMERS_4)
	$(VENV_TRANSFORMERS_4)/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints-transformers-4.txt
	mkdir -p .view/cc100
	for name in tokenizer shards; do ln -sfn ../../$$name .view/cc100/$$name; done
	touch $@

# Beam's part for Google Cloud is large and an extra; without it these tests are skipped.
dataflow-test: setup
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[aws,gcp,test]'
	$(VENV)/bin/pytest tests/pipeline/test_dataflow.py tests/test_dockerfile.py

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
	.lock/bin/python -m pip install --quiet --disable-pip-version-check '.[aws,gcp,hdfs,spark,trafilatura,test]'
	.lock/bin/python -m pip freeze --exclude cc100 > constraints.txt
	rm -rf .lock build cc100.egg-info

# The same for the readers. What torch wants of CUDA is left out, but for the runtime, which it calls when it is loaded.
lock-readers:
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet --disable-pip-version-check --dry-run --report .lock/report.json \
		'torch==2.13.*' torchvision megatron-core datatrove ai2-olmo-core litdata pytest pytest-timeout hypothesis
	$(PYTHON) -c 'import json, re; found = [(row["metadata"]["name"], row["metadata"]["version"]) for row in json.load(open(".lock/report.json"))["install"]]; \
		print(*sorted("==".join(pair) for pair in found if not re.match(r"nvidia-(?!cuda-runtime)|cuda-|triton", pair[0])), sep="\n")' > constraints-readers.txt
	$(PYTHON) -m venv --clear .lock
	.lock/bin/python -m pip install --quiet --disable-pip-version-check 'transformers==4.57.6' sentencepiece==0.2.3 protobuf pytest pytest-timeout hypothesis
	.lock/bin/python -m pip freeze > constraints-transformers-4.txt
	rm -rf .lock

image:
	docker build -t cc100 .

clean:
	rm -rf $(VENV) $(VENV_READERS) $(VENV_TRANSFORMERS_4) .readers .spark .view build dist cc100.egg-info $(DEMO) $(WORK) .pytest_cache .mypy_cache .ruff_cache .hypothesis
