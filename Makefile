# Every target sets itself up: the first makes .venv and installs the pinned requirements there, once.

PYTHON ?= python3
PORT   ?= 8000
BIN    := .venv/bin
READY  := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help book serve notebooks test test-stability lint bench clean

# A person running a cell sees progress bars; an executed chapter stores nothing of them.
book serve notebooks test test-stability: export TQDM_DISABLE = 1

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

book: $(READY) _build/.code  ## build the book, executing its chapters; a warning is an error
	@rm -rf _build/html _build/.built
	$(BIN)/jupyter-book build --all -W -n --keep-going .
	@touch _build/.built
	@echo "Open $(CURDIR)/_build/html/index.html"

serve: $(READY) _build/.code  ## show the book on localhost:$(PORT), rebuilt as files are edited
	$(BIN)/jupyter-book config sphinx .
	PYTHONPATH=_ext $(BIN)/sphinx-autobuild --port $(PORT) \
	  --ignore '*/conf.py' --ignore '*/_build/*' --ignore '*/.*' . _build/serve

notebooks: $(READY)  ## execute the chapters in place, or one: make notebooks CHAPTER=setting
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False \
	  --ClearMetadataPreprocessor.enabled=True \
	  --ClearMetadataPreprocessor.clear_cell_metadata=False \
	  --ClearMetadataPreprocessor.preserve_nb_metadata_mask='{"kernelspec", ("language_info", "name")}' \
	  $(if $(CHAPTER),chapters/$(CHAPTER).ipynb,chapters/*.ipynb)

test: lint book  ## lint, build the book, run every test (PYTEST_ARGS is passed on)
	$(BIN)/pytest $(PYTEST_ARGS)

# The numbers a chapter prints must not depend on the machine.
test-stability: $(READY)  ## run the chapters with other threads and other instruction sets
	@for setting in OPENBLAS_NUM_THREADS=1\ OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=2\ OMP_NUM_THREADS=2 \
	    OPENBLAS_CORETYPE=Haswell OPENBLAS_CORETYPE=Nehalem ATEN_CPU_CAPABILITY=default; do \
	  echo "== $$setting"; env $$setting $(BIN)/pytest chapters $(PYTEST_ARGS) || exit 1; \
	done

lint: $(READY)  ## check the style of code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)  ## measure what is claimed about speed
	$(BIN)/python benchmarks/run.py

clean:  ## remove everything built (keeps .venv)
	rm -rf _build conf.py .pytest_cache .ruff_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

# Outputs are cached by a chapter's own text; they depend on the library as well.
_build/.code: requirements.txt $(wildcard lib/*.py)
	@rm -rf _build/.jupyter_cache
	@mkdir -p _build && touch $@
