#!/bin/sh
# use.sh CMAKE BUILD SOURCE CC: installs into a folder of its own, then builds the example twice as a stranger would: by
# find_package(engram) and by pkg-config.
set -eu
cmake=$1 build=$2 source=$3 cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cmake" --install "$build" --prefix "$work/prefix" >/dev/null
mkdir "$work/user"
cp "$source/examples/minimal/finetune.c" "$work/user"
cat >"$work/user/CMakeLists.txt" <<'TXT'
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(engram 0.1 REQUIRED)
add_executable(finetune finetune.c)
target_link_libraries(finetune PRIVATE engram::engram)
TXT
"$cmake" -S "$work/user" -B "$work/user/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" >"$work/log" 2>&1 &&
    "$cmake" --build "$work/user/build" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name engram.pc)")
export PKG_CONFIG_PATH
sed -i "s|^prefix=.*|prefix=$work/prefix|" "$PKG_CONFIG_PATH/engram.pc" # installed with --prefix
# shellcheck disable=SC2046 # flags
"$cc" "$work/user/finetune.c" -o "$work/user/finetune" $(pkg-config --cflags --libs --static engram)
for program in "$work/user/build/finetune" "$work/user/finetune"; do
    code=0
    "$program" 2>"$work/usage" || code=$?
    [ "$code" = 2 ] && grep -q '^usage: ' "$work/usage" || { echo "$program: exit $code"; cat "$work/usage"; exit 1; }
done
[ -x "$work/prefix/bin/engram" ] || { echo "no command installed"; exit 1; }
"$work/prefix/bin/engram" --version
