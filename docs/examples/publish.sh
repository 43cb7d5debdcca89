#!/usr/bin/env bash
# From `make belle` to a published, verified dataset, on a Hub that stands in on loopback: no account, no network.
# Run it at the top of a clone. For the real Hub leave the three lines of the stand-in out, log in with `hf auth login`,
# and write your own name in place of `me`.
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH"
work=$(mktemp -d)

[ -f builds/belle/manifest.json ] || make belle              # installs what it needs, then builds

python3 tests/hub_server.py > "$work/hub.env" & hub=$!      # the stand-in; it ends with this script
trap 'kill $hub; rm -rf "$work"' EXIT
until [ -s "$work/hub.env" ]; do kill -0 $hub; sleep 0.1; done; source "$work/hub.env"; export HF_HOME="$work/hf"

instdata push-to-hub belle --repo me/belle --dry-run         # files and sizes; nothing is sent
instdata push-to-hub belle --repo me/belle                   # one commit, one tag
instdata push-to-hub belle --repo me/belle                   # the same again: nothing to send
instdata verify me/belle                                     # downloads it and counts everything again
python3 - <<'PYTHON'
from datasets import load_dataset

for config, split in (("30pct", "train"), ("full", "train"), ("holdout", "test")):
    print(config, len(load_dataset("me/belle", config, split=split)), "rows")
PYTHON
