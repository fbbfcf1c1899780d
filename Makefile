# The list of commands. Each installs what it needs first.
.PHONY: install demo test lint format bench bench-budgets bench-capture bench-dashboard bench-forecast bench-own-traces bench-receipts dashboards lock clean

BIN := .venv/bin
# Tests end to end mostly wait for the programs that they start, so one more worker than cores is at work. A file stays with one
# worker, which starts what the file shares once; files keep their order, in which long ones are not last.
WORKERS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
export PATH := $(CURDIR)/tests/node_modules/.bin:$(CURDIR)/$(BIN):$(PATH)

install: ## make .venv and the local Tempo node
	@.ci/install

demo: install ## the whole product on this machine, with a page to look at
	@p402 demo

test: install ## every test; starts the real parts it needs
	@.ci/system
	@.ci/viewers
	pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: install ## ruff, mypy strict, import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format: install ## let ruff rewrite what it can
	ruff check --fix .
	ruff format .

bench: install ## measure, beside the floors
	@python tests/bench/run.py

bench-capture: install ## what instrumenting a call costs, beside everybody else's
	@python tests/bench/capture.py

bench-budgets: install ## what a decision about a call costs, beside the floors
	@python tests/bench/budgets.py

bench-dashboard: install ## how long pages take, on a month of 100 people and of 10,000
	@python tests/bench/dashboard.py

bench-forecast: install ## projections of replayed months, both methods, beside what could have been known (4 minutes)
	@python tests/bench/forecast.py

bench-own-traces: install ## what requests cost more when the collector traces itself
	@python tests/bench/own_traces.py

bench-receipts: install ## what sealing, proving, verifying and setting receipts costs, beside the floors
	@python tests/bench/receipts.py

dashboards: install ## write the dashboards for Grafana anew from their builders
	@python -m p402.exporters.grafana

lock: install ## lock the environment anew (hashes, no index address)
	.ci/lock --upgrade

clean: ## forget everything that was installed or built
	rm -rf .venv tests/node_modules .demo
