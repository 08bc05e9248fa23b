# Sourced by scripts/interpreters: where things are kept, and how one of them is made whole or not at all.

cache=${PYATTACH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pyattach}
downloads=$cache/downloads # packages and tarballs: only they come from the network
roots=$cache/roots         # Debian packages unpacked, one directory to chroot to each
builds=$cache/builds       # installed source builds
programs=$cache/programs   # frozen programs, and the scripts embedders run
logs=$cache/logs           # NAME.log of what was made, NAME.failed with the reason, NAME.seconds
rows=$cache/rows           # the lines of interpreters.tsv, one file per name

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# made DIRECTORY RECIPE: whether it is there, whole, and made by this very recipe.
made() { [ -f "$1/.recipe" ] && [ "$(<"$1/.recipe")" = "$2" ]; }

# make_once NAME DIRECTORY RECIPE COMMAND...: COMMAND fills the directory it gets as its last argument.
# A rename puts it in place, so that nothing half made is ever found there.
make_once() {
    local name=$1 directory=$2 recipe=$3 start=$SECONDS
    shift 3
    made "$directory" "$recipe" && return
    say "making $name"
    rm -rf "$directory.tmp"
    mkdir -p "$directory.tmp"
    exec 3>&2 >"$logs/$name.log" 2>&1
    # shellcheck disable=SC2064 # the name of now
    trap "grep . '$logs/$name.log' | tail -n 3 >'$logs/$name.failed'" EXIT
    "$@" "$directory.tmp"
    printf '%s\n' "$recipe" >"$directory.tmp/.recipe"
    rm -rf "$directory"
    mv "$directory.tmp" "$directory"
    trap - EXIT
    rm -f "$logs/$name.failed"
    echo "$((SECONDS - start))" >"$logs/$name.seconds"
    say_made "$name" >&3
}

say_made() { printf 'made %s in %s s\n' "$1" "$(<"$logs/$1.seconds")"; }

# need_packages PACKAGE...: installs those that the machine lacks.
need_packages() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    {
        apt-get -q update || : # another archive than the one needed may be out of reach
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
    } >"$logs/packages.log" 2>&1 || die "apt-get install ${missing[*]} failed: $logs/packages.log"
}
