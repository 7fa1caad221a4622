# PYTHON=python3.11 chooses the interpreter; without it .ci/environment finds one. DEMO is the folder of the demo.
PYTHON ?=
DEMO ?= runs/demo
# Such as --override stage1.steps=100, for a shorter one.
DEMO_OPTIONS ?=
export PYTHON

VENV := .venv
ADDONS := .venv-addons
CLUSTER := .venv-cluster
METADATA := setup.cfg setup.py pyproject.toml
# An interpreter named on the command line may differ from the one that made the environment: look again.
RECHECK := $(if $(PYTHON),FORCE)

.PHONY: help test test-slow test-addons browser cluster demo examples lint docs clean FORCE

help:
	@echo "make test         the tests, on the current TensorFlow (environment $(VENV))"
	@echo "make test-slow    only the slow tests, which the others leave out"
	@echo "make test-addons  the same tests with TensorFlow Addons (Python 3.10 or 3.11, environment $(ADDONS))"
	@echo "make browser      install what the tests in a browser need; without it they are left out"
	@echo "make cluster      sets on clusters of this machine, of Ray and Spark, whose workers die (environment $(CLUSTER))"
	@echo "make demo         train, export, generate and publish, on the built-in set, into $(DEMO)"
	@echo "make examples     the notebooks, with the model of the demo"
	@echo "make lint         ruff, the direction of imports, and mypy"
	@echo "make docs         the documentation as a site, in build/site"
	@echo "make clean        remove the environments, caches and the demo"

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest

test-slow: $(VENV)/.test
	$(VENV)/bin/python -m pytest -m slow

test-addons: $(ADDONS)/.test
	$(ADDONS)/bin/python -m pytest

browser:
	@.ci/browser

cluster:
	@.ci/cluster

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

# The demo runs what a user installs, not the checkout. That replaces the editable install, so the stamps go.
demo: $(VENV)/.test
	@rm -rf build $(VENV)/.test $(VENV)/.dev
	$(VENV)/bin/python -m pip install -qq --no-input --disable-pip-version-check .
	$(VENV)/bin/synthmed train --preset demo --data phantom --run $(DEMO) $(DEMO_OPTIONS)
	$(VENV)/bin/synthmed export --run $(DEMO) --out $(DEMO)/model
	$(VENV)/bin/synthmed generate --model $(DEMO)/model -n 64 --seed 1 --out $(DEMO)/set
	@rm -rf $(DEMO)/repository $(DEMO)/keys
	$(VENV)/bin/synthmed repository init $(DEMO)/repository --keys $(DEMO)/keys --title "SynthMed demo"
	$(VENV)/bin/synthmed publish $(DEMO)/set --repository $(DEMO)/repository --keys $(DEMO)/keys --artifact $(DEMO)/model \
	    --name phantom-demo --version 1.0.0 --title "Demo pairs, learned from phantoms" --license CC0-1.0 \
	    --creator "make demo" --training-data "the built-in phantom set" --training-license CC0-1.0
	@echo "Look at $(DEMO)/set/preview.png: generated vessel masks and their images. The repository:"
	@echo "    $(VENV)/bin/synthmed site serve $(DEMO)/repository"

examples: $(VENV)/.dev $(DEMO)/model
	SYNTHMED_MODEL=$(abspath $(DEMO)/model) $(VENV)/bin/python -m pytest --nbmake examples

$(DEMO)/model:
	$(MAKE) demo

$(VENV)/.test: $(METADATA) $(RECHECK)
	@.ci/environment $(VENV) 13 readers,test
	@touch $@

$(VENV)/.dev: $(METADATA) $(RECHECK)
	@.ci/environment $(VENV) 13 dev
	@touch $@ $(VENV)/.test

$(ADDONS)/.test: $(METADATA) $(RECHECK)
	@.ci/environment $(ADDONS) 11 addons,test
	@touch $@

clean:
	rm -rf $(VENV) $(ADDONS) $(CLUSTER) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache $(DEMO)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:
