# Everything runs in .venv, which the first target makes and later ones bring up to date.
# Another environment, with other versions (/dev/null: the newest):
#   make test VENV=build/venv-colab CONSTRAINTS=constraints-colab.txt
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
HERE := $(VENV)/bin/python

# As root (a container) Jupyter asks for --allow-root; without a screen it prints its
# address. To reach it from outside a container: make lab LAB_FLAGS="... --ip=0.0.0.0"
LAB_FLAGS ?= $(if $(filter 0,$(shell id -u)),--allow-root) \
	$(if $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname))),,--no-browser)

# tests/chapters.py counts the claims that ran, and puts the longest chapters first
CHAPTERS := -p tests.chapters --nbval-lax --nbval-current-env \
	--nbval-kernel-name python3 --nbval-cell-timeout=300 \
	--nbval-sanitize-with tests/nbval_sanitize.cfg notebooks/solutions

# file by file: fixtures of a file are made once, a notebook keeps its kernel
TWO_AT_ONCE := -n 2 --dist loadfile
# left alone each takes as many threads as there are cores, which wait for each other
HALF_THE_CORES := $(shell expr `getconf _NPROCESSORS_ONLN` / 2)

.PHONY: help lab test course record exercises bench site lint badges set-up

lab: set-up  ## open JupyterLab on the first notebook
	$(HERE) -m jupyter lab $(LAB_FLAGS) \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

test: export TF_NUM_INTRAOP_THREADS = $(HALF_THE_CORES)
test: set-up  ## unit tests, then every chapter with its exercises solved
	$(HERE) -m pytest $(TWO_AT_ONCE) --durations=10
	$(NOTEBOOKS_UNDER) $(HERE) -m pytest $(TWO_AT_ONCE) $(CHAPTERS)

course: set-up  ## run the course as learners get it, write build/course/index.html
	$(HERE) -m tl_helpers course

record: set-up  ## run notebooks/solutions, keep outputs, claims, seconds; then exercises
	$(HERE) -m tl_helpers record

exercises: set-up  ## write the learners' notebooks from notebooks/solutions
	$(HERE) -m tl_helpers exercises

bench: set-up  ## ratio table, build/bench.json
	$(HERE) benchmarks/ratios/run.py

site: set-up  ## the course as pages, build/site/index.html; works from a USB stick
	$(HERE) docs/make_site.py

lint: set-up  ## ruff, over code and notebooks
	$(HERE) -m ruff check
	$(HERE) -m ruff format --check

badges: set-up  ## stamp the Colab badge and the set-up cell into every notebook
	$(HERE) -m tl_helpers badges

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s%s\n", $$1, $$2}' Makefile

set-up:
	@command -v $(PYTHON) >/dev/null || { echo "Got no $(PYTHON), expected \
	Python 3.11 to 3.13; install it from python.org or your package manager."; exit 1; }
	@$(PYTHON) .ci/set_up.py $(VENV) $(CONSTRAINTS)
