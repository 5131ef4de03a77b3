.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODELS ?= $(or $(PYROMETER_MODELS),models)

.PHONY: help setup run test lint fmt examples lock bench optimization batches storms unique \
	replay encodings coldstart telemetrycost accesscost profilercost auditcost profilesoak viewers soak-tab observer scrape locked timeline zoo budget swaps loads smaller loadtest soak omission faults ray shared providers scale fuzz schemathesis fleet experiments gate gateproof coverage mutants clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pyrometer needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(VENV)/.ready ## create the environment from the lock

examples: setup ## train the bundled models where they are missing
	$(BIN)/python -m examples --models $(MODELS)

run: examples ## serve the models and the console
	exec $(BIN)/pyrometer serve --models $(MODELS)

# Engines of the last kinds run in the tests' own process and measure its memory: it begins anew.
test: setup ## run all tests; two files at a time, but for those that look at the clock
	$(BIN)/python -m pytest tests/e2e -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/unit tests/contract -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/integration/[am]* tests/integration/test_[a-k]*
	$(BIN)/python -m pytest tests/integration/test_[l-z]*
	$(BIN)/python -m pytest --ignore tests/e2e --ignore tests/unit --ignore tests/contract --ignore tests/integration

# The browser's tests are left out: they take long, and the components are reached without them. So is
# an exception put into a thread: where that thread is traced, CPython 3.11 turns in place for ever.
MEASURED = PYTHONPATH=tests/measured PYTHON_COVERAGE_CONFIG=$(CURDIR)/pyproject.toml \
	$(BIN)/python -m coverage run -m pytest
coverage: setup ## branches of engine and components that the tests reach, servers they start included
	rm -rf build/coverage && mkdir -p build/coverage
	-$(MEASURED) tests/unit tests/contract -n 2 --dist loadfile
	-$(MEASURED) tests/integration/[am]* tests/integration/test_[a-k]*
	-$(MEASURED) tests/integration/test_[l-z]*
	-$(MEASURED) --ignore tests/e2e --ignore tests/unit --ignore tests/contract --ignore tests/integration \
		-k "not thread_dies"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet --fail-under 0
	$(BIN)/python -m coverage report

mutants: setup ## small changes to the statistics and the histogram: do the tests notice?
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target build/mutmut mutmut==3.8.1
	PYTHONPATH=build/mutmut $(BIN)/python -m mutmut run
	PYTHONPATH=build/mutmut $(BIN)/python -m mutmut results

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

optimization: examples ## before and after on this machine, at most 150 s; the report reads it
	$(BIN)/python -m bench.optimization --models $(MODELS)

bench: optimization ## before and after, then beside MLServer, BentoML, LitServe, Ray Serve, Triton, FastAPI and the limits
	$(BIN)/python -m bench --models $(MODELS)

batches: examples ## 1 to 1,024 rows, 30 to 3,000 columns, JSON and binary, beside MLServer
	$(BIN)/python -m bench.batches

storms: examples ## full queues, deadlines, flushes and the end, under load
	$(BIN)/python -m bench.storms --models $(MODELS)

unique: examples ## what caches cost traffic that never repeats
	$(BIN)/python -m bench.unique --models $(MODELS)

replay: setup ## what the cache's choice of what to keep is worth
	$(BIN)/python -m bench.cache_replay

encodings: setup ## what gzip, binary tensors and decimals cost and save
	$(BIN)/python -m bench.encodings

coldstart: examples ## process start to the first answer, and the idle process' CPU
	$(BIN)/python -m bench.cold_start --models $(MODELS)

telemetrycost: examples ## throughput with the recorder on and off, and its cost a request
	$(BIN)/python -m bench.telemetry_cost --models $(MODELS)

accesscost: examples ## processor time a request with keys asked for and not
	$(BIN)/python -m bench.access_cost --models $(MODELS)

profilercost: examples ## throughput with the profiler off, at 29 and at 499 Hz
	$(BIN)/python -m bench.profiler_cost --models $(MODELS)

auditcost: examples ## what audits of served rows cost the request path
	$(BIN)/python -m bench.audit_cost --models $(MODELS)

profilesoak: setup ## an hour of hostile stacks ahead of time, then five real minutes
	$(BIN)/python -m bench.profile_soak

viewers: examples ## what 100 viewers of the console cost inference
	$(BIN)/python -m bench.viewers --models $(MODELS)

MINUTES ?= 30
soak-tab: examples ## a tab left live under load, the server away in the middle: MINUTES=30
	$(BIN)/python -m bench.soak_tab --models $(MODELS) --minutes $(MINUTES)

observer: examples ## the console's figures beside wrk's
	$(BIN)/python -m bench.observer --models $(MODELS)

scrape: examples ## a real Prometheus beside the console, and the Grafana dashboard's queries
	$(BIN)/python -m bench.scrape --models $(MODELS)

locked: examples ## a locked history file for a minute, under load
	$(BIN)/python -m bench.locked_history --models $(MODELS)

timeline: setup ## how long a look back takes when history is full
	$(BIN)/python -m bench.timeline

zoo: setup ## estimators of every family over HTTP against their own answers
	$(BIN)/python -m bench.zoo

budget: setup ## 200 models of 10 MB in 512 MB under 16 callers for a minute
	$(BIN)/python -m bench.memory_budget

swaps: setup ## 100 hot swaps under load, every fifth version broken
	$(BIN)/python -m bench.hot_swap

loads: examples ## load from the artefact cache, cost by loaded models, memory
	$(BIN)/python -m bench.loads --models $(MODELS)

smaller: setup ## smaller forms under an accuracy budget: bytes and quality
	$(BIN)/python -m bench.smaller

loadtest: examples ## 50 concurrent callers: errors below 1 %, over 40 requests/s
	$(BIN)/pyrometer bench run --product-test --serve $(MODELS)

HOURS ?= 1
soak: examples ## mixed load on a fresh server; memory, files and threads must not grow: HOURS=1
	$(BIN)/pyrometer bench soak --serve $(MODELS) --hours $(HOURS)

faults: setup ## every fault of docs/faults.md under load, one table: FAULTS='--only kill'
	$(BIN)/python -m bench.faults $(FAULTS)

shared: setup ## two servers and a Redis: hits across, flushes, Redis killed and back, what it costs
	$(BIN)/python -m bench.shared

ray: examples ## a Ray cluster on this machine: nodes killed under load, a heavy model on 1 and 2 replicas
	$(BIN)/python -m bench.ray_cluster --models $(MODELS) $(RAY)

omission: setup ## a server that stalls 1 s in 10: open loop, wrk2's arithmetic, closed loop
	$(BIN)/python -m bench.lab.omission

fuzz: MINUTES = 5
fuzz: setup ## hostile inputs to the codec and the HTTP reader, new ones each time: MINUTES=5
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

CASES ?= 20000
schemathesis: examples ## every route by /openapi.json, without keys, with one and with none given: CASES=20000
	$(BIN)/python -m tests.fuzz.poke --models $(MODELS) --cases $(CASES)

fleet: setup ## merged percentiles of a fleet beside those of the pooled samples, and the cost of a pull
	$(BIN)/python -m bench.fleet

experiments: setup ## a slow and a wrong candidate of known figures found; no shadow answer leaks
	$(BIN)/python -m bench.experiments

providers: examples ## tournaments with an ONNX Runtime that has OpenVINO, in build/providers
	test -x build/providers/bin/python || $(BIN)/python -m venv --without-pip build/providers
	cd build/providers/lib/python3*/site-packages && test -d onnxruntime || $(CURDIR)/$(BIN)/python \
		-m pip install --quiet --no-deps --disable-pip-version-check --target . onnxruntime-openvino==1.24.1
	cd build/providers/lib/python3*/site-packages && $(CURDIR)/$(BIN)/python -c \
		'import site; print(site.getsitepackages()[0])' > pyrometer.pth
	build/providers/bin/python -m bench.providers --models $(MODELS)

scale: examples ## a queueing model and a simulator beside measured load; plans for 1 k to 10 M requests/s
	$(BIN)/python -m bench.scale --measure --models $(MODELS)

gate: examples ## CPU time per request of this tree against the last commit: fails over 3 %
	$(BIN)/pyrometer bench gate --models $(MODELS) $(GATE)

gateproof: examples ## does the gate find 8 %, ten times, and pass ten A/A: three quarters of an hour
	$(BIN)/python -m bench.gate.proof --times 10 --models $(MODELS)

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--group dev --group bench pyproject.toml -o requirements.lock

audit: setup ## advisories about what is locked, and a CycloneDX bill of materials: build/audit
	$(BIN)/python deploy/audit.py

audit-lock: ## resolve the tools of `make audit` anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		deploy/audit.in -o deploy/audit.lock

clean: ## remove the environment, built models and state
	rm -rf $(VENV) $(MODELS) .pyrometer build *.egg-info
