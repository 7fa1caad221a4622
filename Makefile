# PYTHON=python3.11 chooses the interpreter; without it .ci/environment finds one. DEMO is the folder of the demo.
PYTHON ?=
DEMO ?= runs/demo
# Such as --override stage1.steps=100, for a shorter one.
DEMO_OPTIONS ?= --override stage1.steps=150 --override stage2.steps=150
# Pairs of the model of the package.
RETINAS ?= 16
export PYTHON

VENV := .venv
ADDONS := .venv-addons
CLUSTER := .venv-cluster
METADATA := setup.cfg setup.py pyproject.toml
# An interpreter named on the command line may differ from the one that made the environment: look again.
RECHECK := $(if $(PYTHON),FORCE)

.PHONY: help test test-slow test-addons browser cluster demo retina examples lint docs clean FORCE

help:
	@echo "make test         the tests, on the current TensorFlow (environment $(VENV))"
	@echo "make test-slow    only the slow tests, which the others leave out"
	@echo "make test-addons  the same tests with TensorFlow Addons (Python 3.10 or 3.11, environment $(ADDONS))"
	@echo "make browser      install what the tests in a browser need; without it they are left out"
	@echo "make cluster      sets on clusters of this machine, of Ray and Spark, whose workers die (environment $(CLUSTER))"
	@echo "make demo         generate with the model of the package; train, export and publish a small one; into $(DEMO)"
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

# The demo runs what a user installs, not the checkout. That replaces the editable install, so the stamps go. It needs
# few packages, and takes an environment of more where there is one.
demo: $(if $(wildcard $(VENV)/.test $(VENV)/.dev),,$(VENV)/.demo)
	@rm -rf build $(VENV)/.test $(VENV)/.dev
	$(VENV)/bin/python -m pip install -qq --no-input --disable-pip-version-check .
	$(VENV)/bin/synthmed models
	$(VENV)/bin/synthmed generate --model retina -n $(RETINAS) --seed 1 --runtime onnx --out $(DEMO)/retina
	$(VENV)/bin/synthmed train --preset demo --data phantom --run $(DEMO) $(DEMO_OPTIONS)
	$(VENV)/bin/synthmed export --run $(DEMO) --out $(DEMO)/model
	$(VENV)/bin/synthmed generate --model $(DEMO)/model -n 64 --seed 1 --out $(DEMO)/set
	@rm -rf $(DEMO)/repository $(DEMO)/keys
	$(VENV)/bin/synthmed repository init $(DEMO)/repository --keys $(DEMO)/keys --title "SynthMed demo"
	$(VENV)/bin/synthmed publish $(DEMO)/set --repository $(DEMO)/repository --keys $(DEMO)/keys --artifact $(DEMO)/model \
	    --name phantom-demo --version 1.0.0 --title "Demo pairs, learned from phantoms" --license CC0-1.0 \
	    --creator "make demo" --training-data "the built-in phantom set" --training-license CC0-1.0
	@echo "Look at $(DEMO)/retina/preview.png, and at the repository: $(VENV)/bin/synthmed site serve $(DEMO)/repository"
	@echo "Your own: $(VENV)/bin/synthmed data check DIR, then $(VENV)/bin/synthmed train --from retina --data DIR --run RUN"

# The model that the package ships: make retina RUN=RUN [RETINA_OPTIONS="--trained-on ... --held-out ... --command ..."]
retina: $(VENV)/.test
	$(VENV)/bin/python benchmarks/pretrained.py --run $(RUN) $(RETINA_OPTIONS)

examples: $(VENV)/.dev $(DEMO)/model
	SYNTHMED_MODEL=$(abspath $(DEMO)/model) $(VENV)/bin/python -m pytest --nbmake examples

$(DEMO)/model:
	$(MAKE) demo

$(VENV)/.test: $(METADATA) $(RECHECK)
	@.ci/environment $(VENV) 13 readers,test
	@touch $@

$(VENV)/.demo: $(METADATA) $(RECHECK)
	@.ci/environment $(VENV) 13 repository
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
