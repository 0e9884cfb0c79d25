#!/bin/bash
# The steps of the experiment in order, each on all GPUs of this machine: bash slurm/experiment.sh DATA OUT [OPTION...]
#
# DATA holds the sources by their names (docs/data.md), DAVIS in DATA/davis. OPTIONS are those of `train.py run`.
# Finished steps are skipped, so the same command continues. STEPS, if it is set, names the steps to run. First a dry run
# of each step: data that are missing, or options that do not fit a stage, would else end the job after days.

set -e
data=$1 out=$2
shift 2
PYTHON=${PYTHON:-.venv/bin/python}
PROCESSES=${PROCESSES:-gpu}         # a number where there is no GPU

wanted() { [ -z "${STEPS:-}" ] || [[ " $STEPS " == *" $1 "* ]]; }

step() {                            # FOLDER STAGE START [OPTION...]
    local folder=$1 stage=$2 start=$3
    shift 3
    wanted "$folder" || return 0
    if [ "$mode" = check ]; then
        "$PYTHON" train.py run "$stage" --data "$data" --out "$looked/$folder" --dry-run \
            ${start:+--set imagenet=none} "$@" > "$looked/log"   # its start may not exist yet
        return
    fi
    stoppable "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node="$PROCESSES" train.py run "$stage" \
        --data "$data" ${start:+--from "$out/$start"} --out "$out/$folder" "$@"
    stoppable "$PYTHON" train.py evaluate "$out/$folder" "$data/davis" --split "${SPLIT:-2017/val}" \
        --out "$out/$folder-davis17"
}

stoppable() {                       # COMMAND...: it gets this script's SIGTERM at once, and its exit code counts
    "$@" &
    local command=$!
    trap 'kill -TERM '"$command"' 2>/dev/null' TERM
    while kill -0 "$command" 2>/dev/null; do wait "$command" || true; done
    trap - TERM
    wait "$command"
}

steps() {
    step static           stcn/static ""           "$@"
    step static-bl30k     stcn/bl30k  static       "$@"
    step static-bl30k-vos stcn/vos    static-bl30k "$@"
    # As many iterations as the stages on renders and on real videos have together.
    step static-vos       stcn/vos    static       --set iterations=800000 --set "optimiser.decay_at=[750000]" "$@"
}

looked=$(mktemp -d)
trap 'rm -rf "$looked"' EXIT
for mode in check run; do steps "$@"; done
"$PYTHON" train.py gains "$out" --gpus "${GPUS:-1}" || [ $? = 1 ]
