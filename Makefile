# make run and make test are all a newcomer needs; each makes the virtual environment by itself.
.DEFAULT_GOAL := help
SHELL := bash
RECIPE ?= demo
KIND ?=
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test test-all lint bench bench-gpu results compile clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# CPU-only torch where an index for it is configured; the marker is touched last, so an interrupted install is repeated
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Glacierflow needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,serve,cluster,dev]'
	mkdir -p build/typing
	ln -sfn ../../components build/typing/glacier_components
	ln -sfn ../../pipelines build/typing/glacier_pipelines
	ln -sfn ../../glacier_core build/typing/glacier_core
	touch $@

# what the benchmarks are measured against and cannot be installed beside: an environment of its own
.venv-peers/installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
	touch $@

run: .venv/installed  ## run a recipe: make run RECIPE=<name or file>
	$(BIN)/glacier run $(RECIPE)

test: .venv/installed  ## the test suite, without what is marked slow
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-all: .venv/installed  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m ''

lint: .venv/installed  ## ruff and strict mypy over sources and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p glacier_core -p glacier_components -p glacier_pipelines
	$(BIN)/mypy tests benchmarks

bench: .venv/installed .venv-peers/installed  ## every benchmark; dated results go to benchmarks/results
	for benchmark in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$benchmark .py) || exit 1; done

bench-gpu: .venv/installed  ## training on a GPU: samples a second, share of its peak, loading
	$(BIN)/python -m benchmarks.gpu.bench_gpu

results: .venv/installed  ## train and score everything for docs/results.md: make results KIND=front for one kind
	$(BIN)/python -m benchmarks.accuracy --kind '$(KIND)'

compile: .venv/installed  ## write pipelines/compiled/*.yaml anew
	$(BIN)/python -m glacier_pipelines.compiling

clean:  ## remove what make has made; the store in work/ stays
	rm -rf .venv .venv-peers build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
