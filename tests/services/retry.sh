# shellcheck shell=sh
# Sourced by what fetches things: a mirror or a registry that does not answer is asked again.

# retry COMMAND...: until it succeeds, three times at most; one that is not there is not tried again
retry() {
    for pause in 5 20 0; do
        "$@" && return
        status=$?
        [ "$status" != 127 ] && [ "$pause" != 0 ] || return "$status"
        echo "failed, and is tried again in $pause s: $*" >&2
        sleep "$pause"
    done
}
