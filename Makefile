# `make demo` and `make test` make their own environment in .venv; nothing else is needed than
# Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow lint results bench clean

demo: $(STAMP)
	$(BIN)/lite-llm4rec demo

# Two processes of one thread each: most tests keep one core busy.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test: $(STAMP)
	$(PYTEST)

slow: $(STAMP)
	$(PYTEST) -m slow

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

results: $(STAMP)
	$(BIN)/lite-llm4rec results --readme README.md

# train_against_rectools.py makes an environment of its own and is run by hand.
BENCHMARKS := prepare encode_items train_steps evaluate_million losses step_profile \
	export_latency ann_million
bench: $(STAMP)
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

# torch comes first and alone: its exact version takes the CPU build where one is laid out. On
# Linux elsewhere, pip takes the CUDA build (gigabytes); TORCH_INDEX=… asks for the CPU build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cli,hub,offline,plots,serve,postgres,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
