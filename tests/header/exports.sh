#!/bin/sh
# exports.sh NM FUNCTIONS SHARED STATIC: the shared library exports the declared functions and nothing else; every global name of the
# static one is ours, so that it cannot meet another library's.
set -eu
nm=$1 functions=$2 shared=$3 static=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$functions" | sort >"$work/declared"
[ -s "$work/declared" ] || { echo "no declared functions found"; exit 1; }
"$nm" -D --defined-only --extern-only --format=posix "$shared" | awk '{ print $1 }' | sort >"$work/exported"
diff "$work/declared" "$work/exported" || { echo "exported and declared functions differ (< declared, > exported)"; exit 1; }
foreign=$("$nm" --defined-only --extern-only --format=posix "$static" 2>/dev/null | awk 'NF > 2 && $1 !~ /^egi?_/ { print $1 }')
[ -z "$foreign" ] || { echo "global names without our prefix: $foreign"; exit 1; }
echo "$(wc -l <"$work/declared") functions, all exported, nothing else"
