# Needs python3 (3.10 to 3.13) with pip, and make. Everything else comes from PyPI into .venv,
# in the versions of uv.lock. `make help` lists the commands.

SCALE  ?= quick
DATASET ?=
FOLDERS ?= results
PYTHON ?= python3
UV_VERSION := 0.13.9

UV   := .uv/bin/uv
RUN  := .venv/bin/python -m helpers
# uv works with the python3 found here; it downloads none, and adds groups without taking others away.
SYNC = UV_PYTHON_DOWNLOADS=never UV_PYTHON="$$($(PYTHON) -c 'import sys; print(sys.executable)')" \
       env -u VIRTUAL_ENV $(UV) sync --locked --inexact --compile-bytecode
PYTEST := .venv/bin/python -m pytest -n 2 --dist loadfile

.DELETE_ON_ERROR:
.PHONY: help report pdf test test-pythons bench long dashboard lock clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: .venv/.report  ## run the notebooks and build the site (SCALE=quick or full, DATASET=folder:PATH for your own)
	@$(RUN) report --scale $(SCALE) $(if $(DATASET),--dataset "$(DATASET)")

pdf: .venv/.report  ## the last such report as one PDF, through Chromium
	@$(RUN) pdf --scale $(SCALE) $(if $(DATASET),--dataset "$(DATASET)")

test: .venv/.test  ## everything that continuous integration runs
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	$(PYTEST) tests
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks

test-pythons: .uv/.$(UV_VERSION)  ## train the smallest run on every promised Python that is found here
	@for version in 3.10 3.11 3.12 3.13; do \
	    found=; \
	    for each in "$$(command -v python$$version)" "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
	        if [ -z "$$found" ] && "$$each" -c '' 2>/dev/null; then found=$$each; fi; \
	    done; \
	    if [ -z "$$found" ]; then echo "Python $$version: not found"; continue; fi; \
	    echo "Python $$version: $$found"; \
	    store=$$(mktemp -d); \
	    REPORT_CACHE="$$store/cache" REPORT_RESULTS="$$store/results" env -u VIRTUAL_ENV \
	        $(UV) run --quiet --locked --isolated --no-python-downloads --python "$$found" \
	        python -m helpers run --scale smoke --dataset miniature \
	        --backbone-weights miniature --image-size 48 || exit 1; \
	    rm -rf "$$store"; \
	done

bench: .venv/.report  ## speed and memory against plain Keras, into results/bench.json (35 min on idle cores)
	@$(RUN) bench

long: .venv/.test  ## the tests that take minutes: two devices, twenty random kills, each resumed
	.venv/bin/python -m pytest -m long tests
	.venv/bin/python -m tests.kills --kills 20

dashboard: .venv/.dashboard  ## a page over any folders of records (FOLDERS="results other/folder")
	@.venv/bin/streamlit run helpers/apps/dashboard.py --browser.gatherUsageStats false \
	    --client.toolbarMode minimal --server.address localhost --theme.primaryColor "#0072B2" -- $(FOLDERS)

lock:  .uv/.$(UV_VERSION)  ## after an edit of pyproject.toml: write uv.lock and requirements.txt again
	$(UV) lock
	$(UV) export --locked --all-groups --no-hashes --no-annotate --no-header --output-file requirements.txt

clean:  ## remove what was built here; records and downloads stay
	rm -rf build .venv .uv .mypy_cache .pytest_cache .ruff_cache

# Stamps: a second call finds them newer than the lock and installs nothing.

.uv/.$(UV_VERSION):
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 10) <= v < (3, 14) else \
	    "python3 here is %d.%d; this project needs 3.10 to 3.13: make PYTHON=python3.12 ..." % v[:2])'
	@rm -rf .uv
	PIP_USER=0 $(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv==$(UV_VERSION)
	@touch $@

.venv/.report: .uv/.$(UV_VERSION) pyproject.toml uv.lock
	$(SYNC)
	@touch $@

.venv/.test: .uv/.$(UV_VERSION) pyproject.toml uv.lock
	$(SYNC) --group test --group sweep --group dashboard --group trackers --group export
	@touch $@ .venv/.report .venv/.dashboard .venv/.sweep .venv/.trackers .venv/.export

.venv/.dashboard .venv/.sweep .venv/.trackers .venv/.export: .venv/.%: .uv/.$(UV_VERSION) pyproject.toml uv.lock
	$(SYNC) --group $*
	@touch $@ .venv/.report
