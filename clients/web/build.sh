#!/bin/sh
# Builds the web page into dist/. Says nothing when all goes well.
set -eu
cd "$(dirname "$0")"

installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  sh npm.sh ci --silent
fi
sh npm.sh run --silent build
