# Every target does its own set-up: nothing but Python 3.11+ and make is assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-integration check docs figures constraints clean secrets images images-check

help:
	@echo "make demo     install, start the service, analyse the simulated demo study"
	@echo "make test     install everything and run the whole test suite"
	@echo "make test-integration  the part of it that talks to programs of others"
	@echo "make check    lint, types, import contracts"
	@echo "make docs     build the documentation in site/; a warning is an error"
	@echo "make figures  draw the diagrams of the documentation again, after a change"
	@echo "make secrets  the passwords of docker-compose.yml, as files under docker/secrets"
	@echo "make images-check  build the images and try them, without a Docker engine"
	@echo "make clean    remove the environment and what the targets made"

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Thrombolens needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "python3-venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

# The service alone: no torch, no test tools.
$(VENV)/.service: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e ".[cpu]"
	@touch $@

# torch first: an index that offers it as a file is asked for exactly this version.
$(VENV)/.development: $(VENV)/.service
	$(INSTALL) "torch==2.13.0"
	$(INSTALL) -e ".[cpu,training,dev,docs]"
	@touch $@

# The documentation asks the service for its API: it needs the service beside mkdocs.
$(VENV)/.documentation: $(VENV)/.service
	$(INSTALL) -e ".[cpu,docs]"
	@touch $@

demo: $(VENV)/.service
	$(BIN)/thrombolens demo --study examples/demo-study.zip --out demo-output

# Files of tests on several cores, four at most: a simulated case takes some gigabytes.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test: $(VENV)/.development
	@$(BIN)/python -m tests.tools
	$(PYTEST)

# Part of `test`: with the servers, viewers and validators of others.
test-integration: $(VENV)/.development
	@$(BIN)/python -m tests.tools
	$(PYTEST) tests/integration

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.documentation
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

# Draw the diagrams of the pages again, after a change in one: with Mermaid of npm, in Chromium.
figures: $(VENV)/.development
	$(BIN)/python docs/hooks/draw_figures.py

secrets:
	@docker/make_secrets.sh

# With buildah; IMAGES may also name worker-gpu, trainer-cpu and trainer-gpu.
IMAGES := gateway worker-cpu
images:
	docker/build_images.sh $(IMAGES)

images-check: $(VENV)/.development
	docker/check/run.sh $(BIN)/python $(IMAGES)

# Write down what is installed now, after a deliberate upgrade.
constraints: $(VENV)/.development
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) demo-output site .mypy_cache .ruff_cache .pytest_cache .hypothesis
