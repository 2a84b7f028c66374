# `make demo` and `make test` set up what they need in .venv; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/resgraph
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
HASHED := $(PIP) --require-hashes --no-deps

.PHONY: bench bench-gpu browser clean demo docs lint pins test test-machines

demo: $(VENV)/ready
	$(RUN) compile specs/preact_basic.yaml specs/preact_bottleneck.yaml
	$(RUN) train generated/resnet20.py --data digits --out runs/demo --overwrite
	$(RUN) export runs/demo
	$(RUN) infer runs/demo/resnet20.onnx --data digits --show 8

test: $(VENV)/ready lint
	$(RUN) compile --check specs/*.yaml
	$(BIN)/pytest -n 2

test-machines: $(VENV)/ready
	$(BIN)/python -m tests.machines --out runs/machines

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks.bench_compile
	$(BIN)/python -m benchmarks.bench_verify
	$(BIN)/python -m benchmarks.bench_train
	$(BIN)/python -m benchmarks.bench_infer
	$(BIN)/python -m benchmarks.bench_report

bench-gpu: $(VENV)/ready
	$(BIN)/python -m benchmarks.gpu bench --out benchmarks/results/gpu
	$(BIN)/python -m benchmarks.report

browser:
	command -v chromium || apt-get install -y chromium
	npm ci --prefix tests/editor

docs: $(VENV)/ready
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .demo runs build dist site

# torch is the build for the CPU where pip has a source of it, else the index's.
$(VENV)/ready: pyproject.toml requirements.txt requirements-torch.txt requirements-torch-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' \
		|| { echo "this needs Python 3.11.5 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(HASHED) -r requirements.txt
	$(HASHED) -r requirements-torch-cpu.txt 2>/dev/null || $(HASHED) -r requirements-torch.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

pins: $(VENV)/ready
	$(PIP) uv==0.13.9
	$(BIN)/python -m tests.pins

$(VENV)/bench: $(VENV)/ready
	$(PIP) -c constraints.txt -e '.[bench]'
	@touch $@
