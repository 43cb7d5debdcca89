#!/usr/bin/env bash
# What two CPU cores are too slow for, on one GPU: both papers, the cards, the leaderboard, a mixture study, with SmolLM2.
#   bash docs/examples/gpu_study.sh alpaca_en_52k.json doit_rows.jsonl     (doit_rows.jsonl: docs/examples/doit_rows.py)
# Not run yet on a card; by --plan on two cores 1.4e16 FLOPs of training and about 40 hours there. Each line resumes.
set -euo pipefail
alpaca=$(realpath "$1") doit=$(realpath "$2") here=$(dirname "$(realpath "$0")")
recipe() {  # name, source, steps, sizes
  printf 'name: %s\nseed: 0\ntaxonomy: %s\nsources:\n%s\nsteps:\n%s\nsubsets: %s\n' "$1" "$2" "$3" "$4" "$5" > "$1.yaml"
  instdata build "$1.yaml"
}
set_="  - {path: $alpaca, name: alpaca, format: alpaca, origin: text-davinci-003, license: cc-by-nc-4.0}"
end='  - dedup: {method: minhash, view: prompt, threshold: 0.7}
  - quality: {rules: default}'
recipe alpaca belle "$set_" "  - clean
  - categorize: {method: auto}
  - holdout: {per_ability: 40}
$end" '{by: ability, sizes: [64, 128, 256, 512, 1024, 2048, 10%, 100%]}'
recipe mix belle "$set_" "  - clean
  - categorize: {method: auto}
  - filter: {where: \"ability in ('classification', 'open_qa', 'rewrite', 'brainstorming')\"}
  - holdout: {per_ability: 120}
$end" '{by: ability, sizes: [100%]}'
python "$here/planted.py" "$alpaca" --out planted
recipe planted100 belle '  - {path: planted/clean.jsonl, name: clean, origin: human, license: cc-by-4.0}
  - {path: planted/shuffled.jsonl, name: shuffled, license: cc-by-4.0}' "  - categorize: {method: auto}
  - holdout: {per_ability: 100}
  - filter: {where: \"source = 'clean'\", name: planted}" '{by: ability, sizes: [64, 256, 512]}'
recipe doit doit "  - {path: $doit, name: doit, license: cc-by-4.0}" '  - holdout: {per_ability: 20}
  - dedup: {method: minhash, view: prompt, threshold: 0.7}' '{by: ability, per_ability: [1, 4, 16, 48], on_short: clip}'

ran() { "$@" || [ $? -eq 3 ]; }  # 3: undecided
ran instdata ablate builds/alpaca --filter quality --sizes 64,128,256,512 --seeds 5 --max-seeds 8 --yes
ran instdata ablate builds/planted100 --filter planted --sizes 64 --seeds 8 --max-seeds 8 --yes
ran instdata ablate builds/planted100 --filter planted --sizes 256 --metric accuracy --card --max-items 480 --yes --out small
ran instdata ablate builds/planted100 --filter planted --sizes 256 --metric accuracy --max-items 480 --yes --out large \
  --model local:qwen2.5-coder-1.5b-instruct --set lora=16 --transfer small
instdata leaderboard builds/alpaca --keep 1000 --methods rds,target_loss,ifd,longest
instdata reproduce belle builds/alpaca --scale 4800 --seeds 2
instdata reproduce doit builds/doit --scale 16 --seeds 2
ran instdata next builds/mix --design --rows 256 --mixtures 8 --seeds 4 --fresh-seeds 6
