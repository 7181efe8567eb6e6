#!/bin/sh
# tests/run.sh: install, build and test Flyback. See --help.
set -u

usage()
{
    cat <<'HELP'
Usage: sh tests/run.sh [--presets | --preset NAME] [--label NAME] [--no-install]

Installs what is missing (configs/setup.sh), configures and builds a preset, and runs its tests.

  --presets       default, asan and tsan, one after the other: what CI runs (at most an hour)
  --preset NAME   one preset of CMakePresets.json instead of `default` (at most 10 minutes)
  --label NAME    only the tests with this label: unit, arch, golden, conform, e2e, browser, fail, fuzz
  --no-install    trust that everything needed is there
  --help          this text

Tests that need ../shared (golden cases, real files, weights) are NOT RUN where that folder is absent,
and say so. The exit status is 0 only when every preset configured, was built and passed.
HELP
}

presets=default
label=
install=1
while [ $# -gt 0 ]; do
    case "$1" in
        --presets) presets='default asan tsan' ;;
        --preset | --label)
            if [ $# -lt 2 ]; then
                echo "run.sh: $1 needs a name (see --help)" >&2
                exit 2
            fi
            if [ "$1" = --preset ]; then presets=$2; else label=$2; fi
            shift ;;
        --no-install) install=0 ;;
        -h | --help) usage; exit 0 ;;
        *) echo "run.sh: $1: no such option (see --help)" >&2; exit 2 ;;
    esac
    shift
done

cd "$(dirname "$0")/.." || exit 1
jobs=$(nproc 2>/dev/null || echo 2)

say() { printf '\n==== %s\n' "$*"; }

if [ "$install" = 1 ]; then
    say 'install'
    sh configs/setup.sh || exit 1
fi
if [ ! -d ../shared ]; then
    say 'NOT RUN: ../shared is absent: tests on its golden cases, real files and weights will be skipped'
fi

logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Run a command with its output both on the screen and in file $1; its own exit status is ours.
logged()
{
    log=$1
    shift
    { "$@" 2>&1; echo $? >"$logs/status"; } | tee "$log"
    return "$(cat "$logs/status")"
}

table=
failed_any=0
sum_passed=0
sum_failed=0
sum_skipped=0
row() { table="$table$(printf '%-10s %-24s %6s s' "$1" "$2" "$3")
"; }

for preset in $presets; do
    began=$(date +%s)
    verdict=
    say "$preset: configure"
    cmake --preset "$preset" || verdict='NOT CONFIGURED'
    if [ -z "$verdict" ]; then
        say "$preset: build"
        cmake --build --preset "$preset" || verdict='NOT BUILT'
    fi
    if [ -z "$verdict" ]; then
        say "$preset: test"
        # Without a filter an empty suite would pass; with one, a label that no test has.
        set -- ctest --preset "$preset" --parallel "$jobs" --no-tests=error
        [ -n "$label" ] && set -- "$@" --label-regex "^$label\$"
        logged "$logs/$preset" "$@" || verdict='FAILED'
        # "97% tests passed, 3 tests failed out of 100"; those that ended 77 are named with (Skipped).
        counts=$(sed -n 's/^.* tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$logs/$preset")
        failed=${counts% *}
        all=${counts#* }
        skipped=$(grep -c '(Skipped)$' "$logs/$preset")
        failed=${failed:-0}
        all=${all:-0}
        sum_failed=$((sum_failed + failed))
        sum_skipped=$((sum_skipped + skipped))
        sum_passed=$((sum_passed + all - failed - skipped))
        if [ -z "$verdict" ]; then
            verdict="$((all - skipped)) passed"
            [ "$skipped" -gt 0 ] && verdict="$verdict, $skipped not run"
        else
            verdict="FAILED: $failed of $all"
            failed_any=1
        fi
    else
        failed_any=1
        sum_failed=$((sum_failed + 1))
    fi
    row "$preset" "$verdict" $(($(date +%s) - began))
done

say 'summary'
printf '%s' "$table"
printf '%d passed, %d failed, %d skipped\n' "$sum_passed" "$sum_failed" "$sum_skipped"
exit "$failed_any"
