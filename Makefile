# make tutorial   run the tutorial; options: make tutorial ARGS="--epochs 3"
# make test       run the quick tests, in up to four processes; ARGS="-n 0" in one
# make slow       run all tests, with their full counts
# make explain    one image's way through the tutorial's model, as a page: explain.html
# make notebooks  the course as notebooks, run from top to bottom: build/notebooks; the tutorial's
#                 anew from its script: examples/fashion_mnist.ipynb
# make docs       the documentation as a site: build/site/index.html; needs Python 3.11
# They set up what they need in .venv, from Python 3.10 or newer.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$p" && break; done)
RUN := $(VENV)/bin/python
ARGS ?=

.PHONY: tutorial explain improve best notebooks docs test slow lint types check gradcheck wrong-calls mutants correctness results bench clean
.DELETE_ON_ERROR:

tutorial: $(VENV)/.package
	$(RUN) examples/fashion_mnist.py $(ARGS)

explain: $(VENV)/.package
	$(RUN) -m minicnn.explain $(ARGS)

improve: $(VENV)/.package
	$(RUN) examples/improve.py $(ARGS)

best: $(VENV)/.package
	$(RUN) examples/improve.py --best $(ARGS)

notebooks: $(VENV)/.test
	$(RUN) -m tools.notebooks --execute $(ARGS)
	$(RUN) -m tools.example_notebook

test: $(VENV)/.test
	PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

slow: $(VENV)/.test
	$(RUN) -m pytest --slow $(ARGS)

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.lint
	$(VENV)/bin/mypy

check: test lint types

gradcheck: $(VENV)/.package
	$(RUN) -m minicnn.gradcheck

wrong-calls: $(VENV)/.test
	$(RUN) tests/wrong_calls.py $(ARGS)

mutants: $(VENV)/.test
	$(RUN) -m tools.mutants $(ARGS)

correctness: $(VENV)/.test
	@$(RUN) -c 'import torch' 2>/dev/null || echo "No PyTorch in $(VENV): what needs it is skipped"
	$(RUN) -m tools.correctness

results: $(VENV)/.package
	$(RUN) -m benchmarks.results

bench: .venv-bench/.ready
	.venv-bench/bin/python -m benchmarks $(ARGS)

docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet --clean
	@echo "build/site/index.html"

# a separate one: MkDocs brings colorama along, which changes what bars write
.venv-docs/.ready: pyproject.toml
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

.venv-bench/.ready: pyproject.toml benchmarks/requirements.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
		-r benchmarks/requirements.txt --editable .
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "minicnn needs Python 3.10 or newer, and none was found:" \
		"install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module does not work here;" \
		"on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.package: pyproject.toml | $(VENV)/bin/python
	@echo "Installing minicnn and what it needs into $(VENV)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo "Installing minicnn and what its tests need into $(VENV)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.package

$(VENV)/.lint: pyproject.toml | $(VENV)/bin/python
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@ $(VENV)/.test $(VENV)/.package

clean:
	rm -rf $(VENV) .venv-bench .venv-docs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
