# Everything runs in .venv, which the first target makes and later ones bring up to date.
PYTHON ?= python3
HERE := .venv/bin/python

# As root (a container) Jupyter asks for --allow-root; without a screen it prints its
# address. To reach it from outside a container: make lab LAB_FLAGS="... --ip=0.0.0.0"
LAB_FLAGS ?= $(if $(filter 0,$(shell id -u)),--allow-root) \
	$(if $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname))),,--no-browser)

NBVAL := --nbval-lax --nbval-current-env --nbval-kernel-name python3 \
	--nbval-cell-timeout=300 --nbval-sanitize-with tests/nbval_sanitize.cfg

# file by file, so that fixtures of a file are made once
TWO_AT_ONCE := -n 2 --dist loadfile

.PHONY: lab test course bench site lint badges set-up

lab: set-up  ## open JupyterLab on the first notebook
	$(HERE) -m jupyter lab $(LAB_FLAGS) \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

test: set-up  ## unit tests, then every notebook
	$(HERE) -m pytest $(TWO_AT_ONCE) --durations=10
	$(NOTEBOOKS_UNDER) $(HERE) -m pytest $(TWO_AT_ONCE) --durations=10 $(NBVAL) notebooks

course: set-up  ## run the whole course, write build/course/index.html
	$(HERE) -m tl_helpers course

bench: set-up  ## ratio table, build/bench.json
	$(HERE) benchmarks/ratios/run.py

site: set-up  ## the course as pages, build/site/index.html; works from a USB stick
	$(HERE) docs/make_site.py

lint: set-up
	$(HERE) -m ruff check
	$(HERE) -m ruff format --check

badges: set-up  ## stamp the Colab badge and the set-up cell into every notebook
	$(HERE) -m tl_helpers badges

set-up:
	@command -v $(PYTHON) >/dev/null || { echo "Got no $(PYTHON), expected \
	Python 3.11 to 3.13; install it from python.org or your package manager."; exit 1; }
	@$(PYTHON) .ci/set_up.py
