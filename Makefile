# Every target sets itself up: the first makes .venv and installs the pinned requirements there, once
# for each text that they have had.

PYTHON      ?= python3
PORT        ?= 8000
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN         := .venv/bin
READY       := .venv/.installed-$(shell cat requirements.txt binder/chapters.txt pyproject.toml | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.PHONY: help writable book pages slides assignments pdf serve notebooks test test-stability links release lint bench clean

# A person running a cell sees progress bars; an executed chapter stores nothing of them.
book pages slides serve notebooks test test-stability: export TQDM_DISABLE = 1

# Tests run side by side, one on each core: threads of their own would fight for these.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

book: $(READY)  ## build the book, executing its chapters; a warning is an error
	$(build)
	@echo "Open $(CURDIR)/_build/html/index.html"

pages: export STORED_OUTPUTS = 1
pages: $(READY)  ## build the pages from the outputs that the chapters hold, executing nothing
	$(build)

slides: pages  ## build the pages, and say where the chapters' slides are
	@echo "Slides, one deck a chapter (S opens the speaker's notes):"
	@ls $(CURDIR)/_build/html/slides/*.html

assignments: $(READY)  ## make the graded notebooks: students' into the pages, the lecturer's beside them
	@$(BIN)/python -m course.assignments

pdf: pages  ## print the book, and its results on two pages, into the folder of the pages
	$(BIN)/python _ext/print_book.py

define build
@rm -rf _build/html _build/.built && mkdir -p _build
@$(BIN)/python _ext/digests.py > _build/.sources
$(BIN)/jupyter-book build --all -W -n --keep-going .
@$(BIN)/python -m course.assignments
@mv _build/.sources _build/.built
endef

serve: $(READY)  ## show the book on localhost:$(PORT), rebuilt as files are edited
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

test: lint pages  ## lint, build the pages, run every chapter and every test (PYTEST_ARGS is passed on)
	$(BIN)/pytest --numprocesses auto --dist loadfile $(PYTEST_ARGS)

# The numbers a chapter prints must not depend on the machine.
test-stability: $(READY)  ## run the chapters with noise, other threads and other instruction sets
	$(BIN)/python tests/stability/run.py $(SETTINGS)

links: export STORED_OUTPUTS = 1
links: $(READY)  ## try every link that leads out of the book
	$(BIN)/jupyter-book build --all --builder linkcheck .

release: book  ## pack the book, the lecturers' archive and the library into dist
	$(BIN)/python _ext/print_book.py
	$(BIN)/python _ext/release.py

lint: $(READY)  ## check the style of code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)  ## measure what is claimed about speed
	$(BIN)/python benchmarks/run.py

clean:  ## remove everything built (keeps .venv)
	rm -rf _build dist conf.py .pytest_cache .ruff_cache .hypothesis

$(READY): | writable
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	@rm -f .venv/.installed*
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $$($(BIN)/python binder/torch_index.py $(TORCH_INDEX)) -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

writable:
	@test -w . || { echo "This folder is read-only: copy the book to one where you may write."; exit 1; }
