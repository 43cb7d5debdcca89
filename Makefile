# Everything here works from a fresh clone with Python 3.10+ and a package index; no hub, no key.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: belle ablate docs fuzz install test test-slow lint schema bench release-files clean
.DEFAULT_GOAL := belle

# The main job: install, then build recipes/belle.yaml with the embedded model (or your endpoint, where one is configured).
belle: install
	$(BIN)/instdata build recipes/belle.yaml

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --prefer-binary -e '.[generate,local,classify,hub,report]'
	$(BIN)/python -m instdata.cli.compile_kernels
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --prefer-binary -e '.[test]'
	@touch $@

# A planted fault, found: half of the rows answer another row's question, and one step drops them. SmolLM2, one size of 64 rows.
ablate: $(VENV)/.trains
	$(BIN)/python docs/examples/planted.py recipes/seeds/belle_en.jsonl recipes/seeds/doit_en.jsonl --out planted
	$(BIN)/instdata build docs/examples/planted.yaml
	$(BIN)/instdata ablate planted --filter planted --sizes 64 --max-seeds 3 --yes || [ $$? -eq 3 ]  # 3: undecided

$(VENV)/.trains: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --prefer-binary -e '.[train]'
	@touch $@

test: $(VENV)/.tested
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

# Parsers under hostile text, then whole files, 10 minutes each (make fuzz FUZZ_SECONDS=60); not part of `make test`.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.tested
	$(BIN)/python -m tests.security.fuzz $(FUZZ_SECONDS)
	$(BIN)/python tests/read/fuzz_files.py $(FUZZ_SECONDS)s $$$$

# Real models and large files: minutes.
test-slow: $(VENV)/.tested
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

# The schema that editors use; a test says when it is behind.
schema: $(VENV)/.installed
	$(BIN)/instdata schema > recipes/recipe.schema.json

# The docs site, strictly: a broken link ends it. site/index.html opens without a server.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --prefer-binary -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.tested
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/build.py

# What goes with a release: wheel and sdist, hashes of what `instdata[all]` needs (pip refuses hashes where lm-eval's chain
# asks for an extra of a pinned package), a bill of materials of every extra, and the sums of all of it.
release-files: $(VENV)/.tested
	rm -rf dist
	$(BIN)/python -m pip install --quiet 'uv>=0.8'
	$(BIN)/python -m build --outdir dist .
	$(BIN)/uv lock --quiet
	$(BIN)/uv export --quiet --locked --no-emit-project --extra all --format requirements.txt -o dist/requirements.txt
	$(BIN)/uv export --quiet --locked --no-emit-project --all-extras --format cyclonedx1.5 -o dist/instdata.cdx.json
	mv uv.lock dist/
	cd dist && sha256sum * > SHA256SUMS

clean:
	rm -rf $(VENV) site builds ablations planted runs dist build uv.lock *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
