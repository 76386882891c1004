#!/usr/bin/env bash
# Runs the acceptance checks of $DATA (a folder with checks/ and data/) on outputs made here; nothing to do where it is absent.
set -euo pipefail
: "${VENV:?}" "${DATA:?}" "${WORK:?}"
crawl="$DATA/data/wet/crawl"
if [ ! -d "$crawl" ] || [ ! -d "$DATA/checks" ]; then
  echo "acceptance: $DATA holds no checks/ and data/wet/crawl; skipped (name another folder with make ACCEPTANCE_DATA=...)"
  exit 0
fi
check() { local name=$1; shift; "$VENV/bin/python" "$DATA/checks/$name.py" "$@"; }
cc100="$VENV/bin/cc100"
rm -rf "$WORK" && mkdir -p "$WORK"
work=$(cd "$WORK" && pwd)

echo "== corpus"
"$cc100" corpus --input "$crawl" --output "$work/two" --workers 2
check corpus "$work/two" "$crawl" --truth "$DATA/data/truth"

echo "== same bytes: 1 worker, 4 worker processes with other blocks, passes and buckets, other hash seed and time zone"
"$cc100" corpus --input "$crawl" --output "$work/one" --workers 1
check same "$work/two" "$work/one"
rm -rf "$work/one"
reversed=()
for file in $(ls -r "$crawl"/*.gz | grep -v paths); do reversed+=(--input "$file"); done
PYTHONHASHSEED=7 TZ=Asia/Kathmandu "$cc100" corpus "${reversed[@]}" --output "$work/four" --workers 4 \
  --set runner.worker_processes_from=0 --set runner.passes=3 --set runner.buckets=5 --set runner.block_files=3
check same "$work/two" "$work/four"
rm -rf "$work/four"

echo "== damaged files"
check malformed --data "$DATA/data/malformed" --cc100 "$cc100" --work "$work/malformed" --alone 3
rm -rf "$work/malformed"

echo "== text of web pages"
"$cc100" corpus --input "$DATA/data/warc" --output "$work/pages" --workers 2
check extraction "$work/pages" --gold "$DATA/data/gold"
rm -rf "$work/pages"

echo "== tokenizer and token arrays"
"$cc100" tokenizer --output "$work/two" --set tokenizer.vocab_size=64000
check tokenizer_sample "$work/two"
"$cc100" encode --output "$work/two" --workers 1
check tokens "$work/two"

echo "== same arrays from 3 worker processes, other hash seed and time zone"
mkdir "$work/other" && cp -r "$work/two/manifest.json" "$work/two/shards" "$work/two/tokenizer" "$work/other"
PYTHONHASHSEED=7 TZ=Asia/Kathmandu "$cc100" encode --output "$work/other" --workers 3 --set runner.worker_processes_from=0
diff -r "$work/two/tokens" "$work/other/tokens"
rm -rf "$work/other"

echo "== all stages after kills"
check resume --output "$work/killed" --kills "${KILLS:-10}" --fresh -- \
  "$cc100" run --input examples/crawl --config configs/demo.yaml --output '{output}' --workers 2 --set runner.worker_processes_from=0
rm -rf "$work/killed" "$work/killed.reference"

echo "== speed of encoding (a report, no limit)"
check tokens_speed --output "$work/two" --work "$work/tokens-speed" --cc100 "$cc100" --repeat 1

echo "== resume after kills"
first=$(ls "$crawl"/*.gz | grep -v paths | head -n 3)
inputs=(); for file in $first; do inputs+=(--input "$file"); done
check resume --output "$work/killed" --kills "${KILLS:-10}" --fresh -- "$cc100" corpus "${inputs[@]}" --output '{output}' --workers 2
rm -rf "$work/killed" "$work/killed.reference"

echo "== speed (a report, no limit)"
check speed --input "$crawl" --few 2 --work "$work/speed" --cc100 "$cc100" --workers 2
rm -rf "$work"
