#!/usr/bin/env bash
# The compiler for fuzzing: of libraries it instruments those alone that parse for Leela. What others do is no news, and every
# edge is looked at after every execution.
case ${CARGO_MANIFEST_DIR-} in
*/registry/src/*/toml* | */registry/src/*/winnow-* | */registry/src/*/serde*) exec "$@" ;;
*/registry/src/*) ;;
*) exec "$@" ;;
esac
arguments=()
for argument; do
    case $argument in
    -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
    *) arguments+=("$argument") ;;
    esac
done
exec "${arguments[@]}"
