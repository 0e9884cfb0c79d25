#!/bin/bash
# One job, or one task of a job array: bash slurm/task.sh COMMAND...
#
# Passes signals on to the command, which finishes the frame or iteration in hand, keeps it, and ends with code 143
# (under torchrun with code 1):
#   TERM  comes on preemption and on scancel; a preempted task is put back into the queue by Slurm (--requeue).
#   USR1  comes shortly before the time limit (--signal=B:USR1@300); the task puts itself back into the queue.

# STOP, if it is set, is the command that does the passing on.

time_is_up=
stop() { if [ -n "${STOP:-}" ]; then $STOP; else kill -TERM "$command"; fi; }
trap stop TERM
trap 'time_is_up=yes; stop' USR1

"$@" &
command=$!
while kill -0 "$command" 2>/dev/null; do
    wait "$command"     # ends early when a signal comes
done
wait "$command"
code=$?

if [ -n "$time_is_up" ] && [ "$code" != 0 ]; then
    # The name with the underscore is this task's alone; SLURM_JOB_ID of the last task is that of the whole array.
    scontrol requeue "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
fi
exit "$code"
