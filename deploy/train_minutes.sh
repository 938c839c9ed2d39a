#!/usr/bin/env bash
# One run of under ten minutes on a GPU that is at hand for a while, each going on where the last one
# was saved:
#
#   deploy/train_minutes.sh BACKBONE DATA RUN [MINUTES] [START]
#
# BACKBONE is a folder, a hub id or a GGUF file, DATA the folder of question files and texts, RUN that
# of the run, MINUTES how long it trains (8; start, last validation and export come on top), START a
# folder with adapters.safetensors to begin with. Figures come as lines while it trains, the state is
# saved every minute, and RUN/small has adapters.safetensors and config.json of the best weights.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 BACKBONE DATA RUN [MINUTES] [START]" >&2
    exit 2
fi
backbone=$1 data=$2 run=$3 minutes=${4:-8} start=${5:-}
recipe=${RECIPE:-read_gpu}
device=${DEVICE:-cuda}

common=(train "$recipe" --backbone "$backbone" --out "$run")
more=()
if [[ -e $run/state.pt ]]; then more+=(--resume); fi
if [[ -n $start ]]; then common+=(--start "$start"); fi

mplus "${common[@]}" --data "$data" --device "$device" --minutes "$minutes" "${more[@]}"
mplus "${common[@]}" --export "$run/small" --trained-only
grep ',validation ' "$run/losses.csv" | tail -n 12 || true
