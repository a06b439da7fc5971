# Two commands are all a newcomer needs: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PAGE := clients/web/dist/index.html
HOST ?= 127.0.0.1
PORT ?= 8080

.PHONY: run setup test chaos check generate bench lock clean

run: setup  ## Start Atrium with embedded Postgres, demo data and the web page
	$(BIN)/python -m server serve --host $(HOST) --port $(PORT) --demo

setup: .venv/.installed $(PAGE)  ## Create the environment and build the web page

.venv/.installed: requirements-dev.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

$(PAGE): .venv/.installed $(shell find clients/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
	sh clients/web/build.sh

test: setup  ## Run the whole suite: real Postgres, Redis, browser
	$(BIN)/python -m pytest -n auto --dist loadgroup tests

chaos: setup  ## Random faults under load: make chaos SECONDS=600 [SEED=…] [FAULT="…"]
	$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault "$(FAULT)")

check: setup  ## Linters, types, layers, SQL, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml
	$(BIN)/squawk --config .squawk.toml sql/migrations/*.sql
	$(BIN)/python -m server generate --check

generate: setup  ## Write everything that is generated: schema, OpenAPI, AsyncAPI, reference pages
	$(BIN)/python -m server generate

bench: setup  ## Compare with the peers in one run
	$(BIN)/python -m bench

lock:  ## Renew the lock files from pyproject.toml
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url -q pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-emit-index-url -q pyproject.toml --group dev -o requirements-dev.lock

clean:
	rm -rf .venv clients/web/dist clients/web/node_modules bench/build
