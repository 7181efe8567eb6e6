#!/bin/sh
# sim/demo.sh: from a fresh clone to a live map: install, build, play a made-up specimen into Flyback.
#
# What follows the build is `flyback demo`; its options pass through (--seconds N, --headless, ...).
set -eu
cd "$(dirname "$0")/.."

case " $* " in
    *' --help '* | *' -h '*)
        cat <<'HELP'
Usage: sh sim/demo.sh [--seconds N] [--headless] [options of flyback demo]

Installs what is missing, builds Flyback, and runs `flyback demo`: a simulated microscope scans a
specimen with a known answer, and the plugin labels it while the beam still moves.

  --seconds N   how long the scan takes
  --headless    no live view; only the files

Results lie in out/demo afterwards: the recording (.fly), the final maps over the HAADF image with
their legend (.png), and result.json.
HELP
        exit 0 ;;
esac

sh configs/setup.sh
echo "demo: building"
cmake --preset default >/dev/null
cmake --build --preset default --target flyback
echo "demo: results will lie in $(pwd)/out/demo (recording, maps as PNG, result.json)"
exec build/default/flyback demo "$@"
