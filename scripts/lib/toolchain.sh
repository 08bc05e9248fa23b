# Sourced by scripts that build: finds the Rust toolchain, or says how to get one.

# need_rust TOOL...: puts cargo on PATH and checks that it is new enough and has these tools (fmt, clippy).
need_rust() {
    local wanted found tool
    [ -n "$(command -v cargo)" ] || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repo/Cargo.toml")
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
    if [ -z "$found" ] || [ -z "$(command -v cargo)" ]; then
        explain_rust "There is no Rust toolchain on this machine: pyattach is built with Rust $wanted or later."
    elif [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        explain_rust "Rust $found is too old: pyattach needs $wanted or later."
    fi
    for tool in "$@"; do
        cargo "$tool" --version >/dev/null 2>&1 || explain_rust "cargo $tool is missing."
    done
}

explain_rust() {
    cat >&2 <<TEXT
$1
Install it for your user with rustup (https://rustup.rs), then open a new shell:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
With rustup there already: rustup update stable && rustup component add rustfmt clippy
TEXT
    exit 1
}

# need_command COMMAND PACKAGE: installs the Debian package when the command is missing.
need_command() {
    [ -z "$(command -v "$1")" ] || return 0
    if [ "$EUID" != 0 ] || [ -z "$(command -v apt-get)" ]; then
        printf '%s is missing. Install it, on Debian and Ubuntu with: sudo apt-get install %s\n' "$1" "$2" >&2
        exit 1
    fi
    printf '%s is missing: installing %s\n' "$1" "$2" >&2
    # A list that cannot be refreshed may still do.
    apt-get -qq update >&2 || :
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$2" >&2 || exit 1
}

# build_release: builds pyattach for use and prints its path; without libraries where that is possible.
build_release() {
    local host library
    host=$(rustc -vV | sed -n 's/^host: //p')
    library=$(cc -print-file-name=libc.a 2>/dev/null)
    if [ -f "$library" ]; then
        RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --locked --release --quiet --target "$host"
    else
        echo "No libc.a on this machine: the program will need its C library." >&2
        cargo build --locked --release --quiet --target "$host"
    fi
    printf '%s\n' "${CARGO_TARGET_DIR:-$repo/target}/$host/release/pyattach"
}
