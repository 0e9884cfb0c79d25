# make demo                 renders a small dataset of built-in assets and shows it
# make annotate             opens a video of the demo dataset in the browser, with the small network of the project
# make test                 checks the code and runs all tests
# make check                checks format, lint and types, and runs the fast tests (under a minute)
# make campaign-faults      disturbs builds of a small dataset with hundreds of seeded faults (an hour or more)
# make campaign-calls       690 failing system calls, one at a time, in builds of every store (ten minutes)
# make campaign-training-calls  failing system calls during training (half an hour)
# make campaign-strangers   gives 600 strange files to the commands that read them (half an hour)
# make campaign-simulate    simulates 30,000 videos on 200 nodes in virtual time: losses and costs
# make campaign-corruption  plants damage of every kind, and checks that it is found (a minute)
# make campaign-verify      speed of verify, compared with that of the disk
# make campaign-masks       false alarms of the mask check on fifty videos, and its cost
# make campaign-fuzz        loads thousands of damaged assets
# make campaign-parallel    two workers compared with one, and the overhead of a warm worker between frames
# make campaign-blender     compares renders of the demo by Blender 4.2 and 4.5 (twenty minutes; downloads 4.5)
# make campaign-estimate    compares an estimate with the build that it is about
# make campaign-thousand    renders a thousand tiny videos by a real Slurm, killing tasks (root, slurm-wlm, munge)
# make campaign-long-video  memory of STCN and RDE over ten thousand frames (five minutes)
# make campaign-annotator   latency and memory of the annotator's page. Needs DAVIS=folder (minutes)
# make campaign-learning    trains a small network on renders (two and a half hours on one core)
# make campaign-experiment  effect of pretraining on renders. Needs DAVIS=folder (four hours on one core)
# make campaign-transfer    effect of single factors on real video. Needs DAVIS=folder; one factor needs PHOTOS=folder (five hours on one core)
# make campaign-tables      all tables and figures of the papers, from tiny networks. Needs DAVIS=folder (an hour)
#
# All targets create the environment in .venv/ first, or update it if pyproject.toml or constraints.txt is newer.

PYTHON ?= python3.11
DEMO_VIDEOS ?= 8

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --constraint constraints.txt
SYSTEM_LIBRARIES := sh bl30k_gen/blender/system_libraries.sh $(BIN)/python
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
WORKERS := $(shell echo $$(($(PROCESSORS) < 4 ? $(PROCESSORS) : 4)))

define CODE_CHECKS
$(BIN)/ruff format --check .
$(BIN)/ruff check .
$(BIN)/python -m mypy
endef

IS_RIGHT := 'import ensurepip, sys, venv; print(sys.version_info[:2] == (3, 11) or "")'
NO_PYTHON = Python 3.11 with its venv module is needed (Blender comes for no other version) and $(PYTHON) is not that: \
 apt-get install python3.11 python3.11-venv, or conda create -n bl30k python=3.11, or uv python install 3.11; then \
 make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)

.NOTPARALLEL:
.PHONY: help demo annotate test check campaign-faults campaign-calls campaign-training-calls campaign-strangers campaign-simulate campaign-corruption campaign-verify \
 campaign-masks \
 campaign-fuzz campaign-parallel campaign-estimate campaign-thousand campaign-learning-renders \
 campaign-blender campaign-long-video campaign-learning campaign-experiment campaign-transfer \
 campaign-tables campaign-annotator has-davis

help:
	@sed -n '/^# make/s/^# //p' Makefile

# One Python for everything: Blender's wheel exists only for 3.11.
$(VENV)/.created:
	$(if $(shell $(PYTHON) -c $(IS_RIGHT) 2>/dev/null),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.render: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing Blender and the other packages for rendering (about 1.5 GB) ..."
	$(INSTALL) --editable '.[render]'
	@touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing Blender, PyTorch and the test tools (about 7 GB) ..."
	$(INSTALL) --editable '.[render,train,export,annotate,cloud,dev]'
	@touch $@ $(VENV)/.render

demo: $(VENV)/.render
	@$(SYSTEM_LIBRARIES)
	$(BIN)/python generate.py render --config render_configs/demo.yaml --out out/demo --count $(DEMO_VIDEOS) \
	 --workers $(WORKERS) --threads-per-worker 1 --sheet out/demo.jpg
	@echo "The dataset is in out/demo, its contact sheet out/demo.jpg. The sheet again, and an animation:"
	@$(BIN)/python generate.py preview out/demo --out out/demo_preview

# The page uses the small network of the project by default; give others by NETWORK=..., S2M=... For scribbles,
# S2M=out/annotate_networks/s2m is trained on the demo dataset first.
VIDEO ?= out/demo/a00000
NETWORK ?= small
S2M ?=

out/annotate_networks/s2m:
	@echo "Training a small scribble-to-mask network on out/demo ..."
	$(BIN)/python train.py run s2m/static --preset tiny --data out/demo --set iterations=400 \
	 --set loss.warm_up=[300,400] --set optimiser.decay_at=[350] --out $@.part
	mv $@.part $@

annotate: $(VENV)/.test demo $(S2M)
	@echo "Draw with the brush or the polygon, then press Enter. For scribbles: make annotate S2M=out/annotate_networks/s2m"
	$(BIN)/python train.py annotate $(VIDEO) --network $(NETWORK) $(if $(S2M),--s2m $(S2M)) --open

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.test
	@$(SYSTEM_LIBRARIES)
	$(CODE_CHECKS)
	$(PYTEST)

check: $(VENV)/.test
	$(CODE_CHECKS)
	$(PYTEST) -m "not slow" -q --durations 0 \
	 --durations-min 5

# Campaigns: long runs that are not part of `make test`.
campaign-faults: $(VENV)/.render
	$(BIN)/python -m benchmarks.faults.builds --events 210 --results docs/results/faults.md

campaign-calls: $(VENV)/.test
	$(BIN)/python -m benchmarks.faults.system_calls --results docs/results/robustness.md

campaign-training-calls: $(VENV)/.test
	$(BIN)/python -m benchmarks.faults.training_calls --results docs/results/robustness.md

campaign-strangers: $(VENV)/.test
	$(BIN)/python -m benchmarks.faults.strangers --results docs/results/robustness.md

campaign-simulate: $(VENV)/.test
	$(BIN)/python -m benchmarks.faults.simulate --results docs/results/simulation.md

campaign-corruption: $(VENV)/.render
	$(BIN)/python -m benchmarks.faults.corruption --results docs/results/corruption.md

campaign-verify: $(VENV)/.render
	$(BIN)/python -m benchmarks.speed.verify --gb 2 --results docs/results/verify.md

campaign-masks: $(VENV)/.render
	$(BIN)/python -m benchmarks.faults.mask_check --videos 50 --results docs/results/mask_check.md

campaign-fuzz: $(VENV)/.render
	$(BIN)/python -m benchmarks.faults.fuzz_assets --count 4000 --results docs/results/fuzz_assets.md

campaign-parallel: $(VENV)/.render
	$(BIN)/python -m benchmarks.speed.parallel --videos 8 --rounds 3 --results docs/results/parallel.md

campaign-estimate: $(VENV)/.render
	$(BIN)/python -m benchmarks.speed.estimate --count 12 --results docs/results/estimate.md

# The environment with the other Blender, of version BLENDER. 4.5 needs NumPy 1.26, and so an older OpenCV.
BLENDER ?= 4.5
OTHER := out/blender_$(BLENDER)

$(OTHER)/.ready: $(VENV)/.created pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OTHER)
	grep -vE '^(bpy|numpy|opencv-python-headless)==' constraints.txt > $(OTHER)/constraints.txt
	$(OTHER)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(OTHER)/constraints.txt \
	 'bpy==$(BLENDER).*' --editable '.[render]'
	@touch $@

campaign-blender: $(VENV)/.render $(OTHER)/.ready
	$(BIN)/python -m benchmarks.speed.blender_versions --other $(OTHER)/bin/python --results docs/results/blender.md

campaign-thousand: $(VENV)/.render
	$(BIN)/python -m benchmarks.faults.thousand --results docs/results/thousand.md

campaign-annotator: has-davis $(VENV)/.test
	$(BIN)/python -m benchmarks.speed.annotator $(DAVIS)/JPEGImages/480p/camel --results docs/results/annotator.md

campaign-long-video: $(VENV)/.test
	$(BIN)/python -m benchmarks.speed.long_video --results docs/results/long_video.md

has-davis:
	@test -d "$(DAVIS)/JPEGImages" || { echo "error: $(or $(DAVIS),DAVIS) has no JPEGImages/: give DAVIS=folder of the DAVIS dataset" >&2; exit 2; }

LEARNING_RENDERS := out/learning_renders

campaign-learning-renders: $(VENV)/.test
	$(BIN)/python generate.py render --config benchmarks/learning/renders.yaml --out $(LEARNING_RENDERS) --count 80 \
	 --workers $(WORKERS) --threads-per-worker 1

campaign-learning: campaign-learning-renders
	$(BIN)/python -m benchmarks.learning.tracking $(LEARNING_RENDERS) --out out/learning --results docs/results

campaign-experiment: has-davis $(VENV)/.test
	$(BIN)/python generate.py render --config benchmarks/learning/transfer_renders.yaml --out out/experiment_renders \
	 --count 192 --workers $(WORKERS) --threads-per-worker 1
	$(BIN)/python -m benchmarks.learning.experiment out/experiment_renders $(DAVIS) --out out/experiment \
	 --preset benchmarks/learning/transfer.yaml --set model.norm=group --static 1600 --iterations 3200 --folds 3 --seeds 3

campaign-tables: has-davis campaign-learning-renders
	$(BIN)/python -m benchmarks.learning.tables $(LEARNING_RENDERS) $(DAVIS) --out out/tables --results docs/results/tables.md

TRANSFER_RENDERS := out/transfer/renders

campaign-transfer: has-davis $(VENV)/.test
	$(BIN)/python -m benchmarks.learning.transfer_renders $(TRANSFER_RENDERS) --workers $(WORKERS) \
	 $(if $(PHOTOS),--photos $(PHOTOS))
	$(BIN)/python -m benchmarks.learning.transfer $(TRANSFER_RENDERS) $(DAVIS) --out out/transfer
