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

# build_release: builds pyattach for use and prints its path; without libraries where that is possible. With musl it starts
# quickest: glibc asks the processor some 80 questions first, each of which leaves a virtual machine. Fixed addresses spare
# some 6,000 relocations.
build_release() {
    local target
    target=$(rustc -vV | sed -n 's/^host: //p')
    if has_target "${target/-gnu/-musl}"; then
        target=${target/-gnu/-musl}
        RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static -C relocation-model=static" build_for "$target"
    elif [ -f "$(cc -print-file-name=libc.a 2>/dev/null)" ]; then
        RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" build_for "$target"
    else
        echo "Neither Rust's musl target nor a libc.a on this machine: the program will need its C library." >&2
        build_for "$target"
    fi
    printf '%s\n' "${CARGO_TARGET_DIR:-$repo/target}/$target/release/pyattach"
}

# has_target TARGET: Rust's library for it is here, or rustup can get it.
has_target() {
    [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ] || rustup target add "$1" >&2 2>/dev/null
}

build_for() {
    cargo build --locked --release --quiet --target "$1"
}
