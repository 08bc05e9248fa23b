# Sourced by scripts/interpreters: CPython built from source. Quick builds: no PGO or LTO, no tests, few of the
# optional modules. Nothing that a reader from outside depends on changes with that.

# To be changed when builds that exist should be made again, for what this file does differently.
cpython_build_changed=2026-11-21

# The versions wanted, with the checksums in the source packages that Debian's maintainers signed.
declare -A cpython_source=(
    [3.13]="3.13.15 xz 1e66a7945a48390ee4c2a4268a0e4185884059a13c4aab6d148aa208deea4a76"
    [3.14]="3.14.7 xz 3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81"
    [3.15]="3.15.0~rc1 xz f84dad680ab2147417d2739355c2678f0f9acffe4ae8ef77895de1454b384b07"
)

cpython_version() { echo "${cpython_source[$1]%% *}"; }

# cpython_build SERIES PREFIX CONFIGURE-ARGUMENT... DIRECTORY: PREFIX is where DIRECTORY will be.
cpython_build() {
    local series=$1 prefix=$2 directory=${*: -1} arguments=("${@:3:$#-3}") tarball
    local tree=$directory/tree
    # shellcheck disable=SC2086 # version, suffix, checksum
    tarball=$(debian_tarball "python$series" ${cpython_source[$series]})
    mkdir "$tree"
    tar -x -f "$tarball" -C "$tree" --strip-components=1 --exclude='*/Doc'
    cd "$tree"
    unneeded_modules >Modules/Setup.local
    OPT="-DNDEBUG -O1" ./configure --prefix="$prefix" --without-ensurepip --disable-test-modules "${arguments[@]}"
    make -j "$(nproc)"
    # not `make install`, which compiles the library to byte code three times over
    make DESTDIR="$tree/out" altbininstall inclinstall sharedinstall
    mv "$tree/out$prefix"/* "$directory/"
    tar -c -C Lib --exclude=./test --exclude=./idlelib --exclude=./tkinter --exclude=./turtledemo --exclude=__pycache__ . |
        tar -x -C "$directory/lib/python$series"* --no-same-owner
    cp build/lib.*/_sysconfig* "$directory/lib/python$series"*/
    cd "$directory"
    rm -rf "$tree"
    basename "${tarball%.orig.*}" | tr _ ' ' >"$directory/.source"
}

unneeded_modules() {
    echo '*disabled*'
    echo _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _curses _curses_panel _dbm
    echo _decimal _elementtree _gdbm _lzma _sqlite3 _tkinter _uuid _zstd readline xxlimited xxlimited_35
}

# cpython_musl SERIES PREFIX DIRECTORY: linked with musl, its loader and all, as on Alpine.
cpython_musl() {
    local musl=$3/musl
    mkdir -p "$musl/include"
    musl_compiler "$musl"
    musl_libffi "$musl"
    export CC=$musl/cc CXX=/bin/false PKG_CONFIG=/bin/false
    export LIBFFI_CFLAGS="-I$musl/include" LIBFFI_LIBS="-L$musl -lffi"
    cpython_build "$1" "$2" "$3"
    rm -rf "$musl"
}

# musl_compiler DIRECTORY: musl-gcc hides all of the system's headers, the kernel's among them; and it calls itself
# gnu, which CPython's configure compares with the C library it finds.
musl_compiler() {
    local machine
    machine=$(uname -m)
    ln -s /usr/include/linux /usr/include/asm-generic "$1/include/"
    ln -s "/usr/include/$machine-linux-gnu/asm" "$1/include/asm"
    cat >"$1/cc" <<CC
#!/bin/sh
[ "\$1" = --print-multiarch ] && echo $machine-linux-musl && exit
exec musl-gcc -isystem $1/include "\$@"
CC
    chmod +x "$1/cc"
}

# musl_libffi DIRECTORY: ctypes needs it. Debian's tarball has no configure script; for one machine that can be said
# in a few lines.
musl_libffi() {
    local tree=$1/libffi source
    [ "$(uname -m)" = x86_64 ] || die "libffi for musl: written for x86_64 only"
    mkdir "$tree"
    source=$(debian_tarball libffi 3.4.8 gz cbb7f0b3b095dc506387ec1e35b891bfb4891d05b90a495bc69a10f2293f80ff)
    tar -x -f "$source" -C "$tree" --strip-components=1
    sed -e 's/@TARGET@/X86_64/' -e 's/@HAVE_LONG_DOUBLE@/1/' -e 's/@[A-Z_]*@/0/' "$tree/include/ffi.h.in" >"$1/include/ffi.h"
    cp "$tree/src/x86/ffitarget.h" "$1/include/"
    cat >"$tree/fficonfig.h" <<'H'
#define EH_FRAME_FLAGS "a"
#define HAVE_AS_X86_PCREL 1
#define HAVE_LONG_DOUBLE 1
#define HAVE_MEMFD_CREATE 1
#define SIZEOF_DOUBLE 8
#define SIZEOF_LONG_DOUBLE 16
#define SIZEOF_SIZE_T 8
#define STDC_HEADERS 1
#ifdef LIBFFI_ASM
#define FFI_HIDDEN(name) .hidden name
#else
#define FFI_HIDDEN __attribute__((visibility("hidden")))
#endif
H
    for source in prep_cif types closures tramp x86/ffi64 x86/unix64 x86/ffiw64 x86/win64; do
        source=$(ls "$tree/src/$source".[cS])
        "$1/cc" -c -O2 -fPIC -D_GNU_SOURCE -DHAVE_CONFIG_H -I"$tree" -I"$tree/include" -I"$tree/src/x86" "$source" \
            -o "$tree/$(basename "${source%.*}").o"
    done
    ar rcs "$1/libffi.a" "$tree"/*.o
    rm -rf "$tree"
}

# stripped_copy FROM DIRECTORY: no symbol table anywhere.
stripped_copy() {
    cp -a "$1/." "$2/"
    find "$2" -type f \( -path '*/bin/python3*' -o -name '*.so' \) ! -name '*config' -exec strip --strip-all {} +
}
