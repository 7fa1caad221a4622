#!/bin/bash
# Trains on two nodes: sbatch examples/distributed/slurm.sh DIR RUN
# Resumes after a lost node (--requeue), and stops cleanly at the end of its time; submit it again until it ends with 0.
#SBATCH --job-name=synthmed
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
export DATA=$1 RUN=$2
export WORKERS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/.*/"&:2222"/' | paste -sd,)

srun --kill-on-bad-exit=1 bash -c '
  export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
  exec synthmed train --strategy multi_worker --preset recommended --data "$DATA" --run "$RUN"'
