# Sourced by scripts/interpreters: what each interpreter is, asked of itself and of its ELF file.

# Runs on every Python there is: prints the exact version and what kind of build it is.
probe='
import sys
v = sys.version_info
level = {"alpha": "a%d", "beta": "b%d", "candidate": "rc%d", "final": ""}[v[3]]
kinds = ["debug" if hasattr(sys, "gettotalrefcount") else "release"]
if "t" in getattr(sys, "abiflags", ""):
    kinds.append("free-threaded")
if "__pypy__" in sys.builtin_module_names:
    kinds.append("pypy")
if v < (3, 7) or "pypy" in kinds or sys.maxsize < 2 ** 32:
    kinds.append("unsupported")
print("%d.%d.%d" % v[:3] + (level and level % v[4]) + " " + ",".join(kinds))'

# Starting once with what programs use most leaves the byte code there: no test then compiles the library again.
warm_up='
import asyncio, concurrent.futures, ctypes, json, logging, multiprocessing, queue, select, socket, subprocess, threading'

# run_python ROOT PYTHON ENV ARGUMENT...
run_python() {
    local command=(env -u PYTHONHOME -u PYTHONPATH)
    [ "$3" = - ] || command+=("$3")
    [ "$1" = / ] || command+=(chroot "$1")
    "${command[@]}" "$2" "${@:4}"
}

# elf_kinds ROOT PYTHON: what its file shows.
elf_kinds() {
    local file headers library kinds=,static
    file=$(readlink -f "${1%/}$2")
    headers=$(readelf -hldSW "$file")
    library=$(sed -n 's/.*Shared library: \[\(libpy[^]]*\)\].*/\1/p' <<<"$headers")
    if [ -n "$library" ]; then
        kinds=,shared
        # the symbols are in there; a library elsewhere is left alone
        file=$(dirname "$(dirname "$file")")/lib/$library
    fi
    [ ! -e "$file" ] || readelf -SW "$file" | grep '[.]symtab ' >/dev/null || kinds+=,stripped
    [[ ! $headers =~ Type:\ +DYN ]] || kinds+=,pie
    [[ ! $headers =~ ld-musl ]] || kinds+=,musl
    [[ ! $headers =~ ELF32 ]] || kinds+=,32-bit
    echo "$kinds"
}

# describe NAME ORIGIN ROOT PYTHON ENV: writes the interpreter's line, if it starts.
describe() {
    local name=$1 origin=$2 root=$3 python=$4 set=$5 answer made_in=$3
    [ "$root" != / ] || made_in=$builds/$name
    [ "$rows/$name" -nt "$made_in/.recipe" ] || PYTHONDONTWRITEBYTECODE='' run_python "$root" "$python" "$set" -c "$warm_up" 2>/dev/null || :
    rm -f "$rows/$name"
    answer=$(run_python "$root" "$python" "$set" -S -E -c "$probe" 2>"$logs/$name.failed") || return 0
    rm -f "$logs/$name.failed"
    [ "$root" = / ] || answer+=,chroot
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "${answer% *}" "${answer#* }$(elf_kinds "$root" "$python")" \
        "$origin" "$root" "$python" "$set" >"$rows/$name"
}

# package_of ROOT PACKAGE SUITE: says which version of which package was unpacked there.
package_of() {
    local file
    file=$(grep "^$2_" "$1/.packages")
    file=${file#*_}
    file=${file%_*}
    echo "Debian $3 $2 ${file//%3a/:}"
}
