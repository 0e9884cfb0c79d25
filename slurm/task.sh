#!/bin/bash
# Runs a job, or a task of a job array: bash slurm/task.sh COMMAND...
#
# Forwards signals to the command, which finishes and keeps the current frame or iteration, and exits with code 143
# (under torchrun with code 1):
#   TERM  is sent on preemption and by scancel; Slurm requeues a preempted task (--requeue).
#   USR1  is sent shortly before the time limit (--signal=B:USR1@300); the task requeues itself.

# STOP, if it is set, is the command that forwards the signal.

time_is_up=
stop() { if [ -n "${STOP:-}" ]; then $STOP; else kill -TERM "$command"; fi; }
trap stop TERM
trap 'time_is_up=yes; stop' USR1

"$@" &
command=$!
while kill -0 "$command" 2>/dev/null; do
    wait "$command"     # returns early when a signal arrives
done
wait "$command"
code=$?

if [ -n "$time_is_up" ] && [ "$code" != 0 ]; then
    # <array>_<task> names this task only; SLURM_JOB_ID of the last task is the id of the whole array.
    scontrol requeue "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
fi
exit "$code"
