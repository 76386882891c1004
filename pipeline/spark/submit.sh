#!/usr/bin/env bash
# Builds everything with the jars beside this script; run it again after any failure, and it goes on where it stopped.
#
#   SPARK_SUBMIT   the program (default: spark-submit in PATH)
#   SPARK_FLAGS    its flags: --master yarn --deploy-mode cluster --conf spark.executor.cores=4 ...; they go before what the bundle sets
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -r -a flags <<< "${SPARK_FLAGS:-}"
last=
while true; do
  # Everything that is no Beam job; it ends with 0 when all is done, and with 3 and a name when a job is due.
  code=0
  job=$(@COMMAND@) || code=$?
  [[ $code == 0 ]] && exit 0
  [[ $code == 3 ]] || exit "$code"
  if [[ $job == "$last" ]]; then
    echo "$job ended, but left work undone; see the driver's log" >&2
    exit 1
  fi
  last=$job
  case $job in
@JOBS@
    *) echo "no jar beside this script has the job $job: the plan has changed; make the bundle again" >&2; exit 1 ;;
  esac
  echo "submitting $job" >&2
  "${SPARK_SUBMIT:-spark-submit}" @SETTINGS@ "${flags[@]}" --name "cc100-$job" --class @CLASS@ "$here/cc100-$stage.jar" --base-job-name "$job"
done
