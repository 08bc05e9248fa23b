# Sourced by scripts/interpreters: programs with a CPython inside, tools to compare with, programs.tsv and tools.tsv.

# frozen_programs PYTHON DIRECTORY: one executable that unpacks itself at every start, one with its files around it.
frozen_programs() {
    local directory=$2 way
    "$1" -m venv "$directory/venv"
    "$directory/venv/bin/pip" install -q pyinstaller==6.22.3
    cd "$directory"
    for way in onefile onedir; do
        venv/bin/pyinstaller --"$way" --name "$way" --distpath . --log-level WARN "$repo/tests/programs/frozen_app.py"
    done
    rm -rf venv build ./*.spec
}

# The numpy of each interpreter that gets one: the last with the old structures, and one with the new ones.
declare -A numpy_version=([3.11]=1.26.4 [3.13]=2.5.5)

# numpy_package PYTHON SERIES DIRECTORY: the package alone, to be put on the path of an interpreter of that series.
numpy_package() {
    local directory=$3
    "$1" -m venv "$directory/venv"
    "$directory/venv/bin/pip" install -q --no-deps --only-binary :all: --python-version "$2" \
        --target "$directory/site" "numpy==${numpy_version[$2]}"
    rm -rf "$directory/venv"
}

# Compared with by tests, so the version counts: benches/tools.py has the same.
py_spy_version=0.4.3

# py_spy PYTHON DIRECTORY: its program, out of the package that PyPI has for this machine.
py_spy() {
    local directory=$2
    "$1" -m venv "$directory/venv"
    "$directory/venv/bin/pip" install -q --no-deps "py-spy==$py_spy_version"
    cp "$directory/venv/bin/py-spy" "$directory/"
    rm -rf "$directory/venv"
}

# Interpreters that uvloop has wheels for: the name, the ABI, uvloop's version.
uvloop_wheels='
3.7 cp37m 0.18.0
3.8 cp38 0.21.0
3.9 cp39 0.21.0
3.10 cp310 0.21.0
3.11 cp311 0.21.0
3.12 cp312 0.21.0
3.13 cp313 0.21.0
3.14 cp314 0.22.1
3.14t cp314t 0.22.1'

# uvloop PYTHON DIRECTORY: for each of these a directory of its name, to be put on the path. The interpreters themselves
# need no pip.
uvloop() {
    local python=$1 directory=$2 name abi version
    while read -r name abi version; do
        [ -n "$name" ] || continue
        PIP_ROOT_USER_ACTION=ignore "$python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: \
            --target "$directory/$name" --platform "manylinux2014_$(uname -m)" --python-version "${name%t}" --implementation cp \
            --abi "$abi" "uvloop==$version"
    done <<<"$uvloop_wheels"
}

# Scripts that embedders run lie beside what runs them, so that programs.tsv holds in every clone.
install_scripts() {
    cp "$repo/tests/programs/frozen_app.py" "$programs/"
    [ ! -d "$roots/sid-uwsgi" ] || {
        cp "$repo/tests/programs/wsgi_app.py" "$roots/sid-uwsgi/srv/"
        uwsgi_command >"$programs/uwsgi"
        chmod +x "$programs/uwsgi"
    }
}

# uwsgi_command: prints a script, because uWSGI sends the standard output of its applications to its standard error.
uwsgi_command() {
    cat <<SH
#!/bin/sh
# Serves HTTP on the unix socket named in UWSGI_HTTP_SOCKET, which uWSGI itself reads: a path in the root, so that
# /tmp/x there is $roots/sid-uwsgi/tmp/x outside. The worker prints "READY pid" among uWSGI's own
# lines. A request for /?PATH is answered with what can be read from PATH (in the root), a named pipe say.
# SIGTERM ends it.
exec chroot $roots/sid-uwsgi /usr/bin/uwsgi-core --plugins-dir /usr/lib/uwsgi/plugins --plugin python3 --master \\
    --processes 1 --enable-threads --lazy-apps --die-on-term --wsgi-file /srv/wsgi_app.py 2>&1
SH
}

# programs_table: prints programs.tsv. Each prints "READY pid" when it is in place.
# The frozen ones and gdb end with their standard input; how to use uwsgi is said in its script.
programs_table() {
    local python
    printf 'name\tkind\torigin\tcommand\n'
    [ ! -d "$roots/sid-uwsgi" ] || program_line uwsgi embedded "$(package_of "$roots/sid-uwsgi" uwsgi-core sid)" "$programs/uwsgi"
    [ ! -x "$(command -v gdb)" ] || program_line gdb embedded "this machine's $(gdb --version | head -n 1)" \
        "$(command -v gdb) -nx -q -batch -x $programs/frozen_app.py"
    [ -d "$programs/frozen" ] || return 0
    python=$(cut -d ' ' -f 1,2 "$programs/frozen/.recipe")
    program_line pyinstaller-onefile frozen "PyInstaller from PyPI, $python" "$programs/frozen/onefile"
    program_line pyinstaller-onedir frozen "PyInstaller from PyPI, $python" "$programs/frozen/onedir/onedir"
}

# tools_table: prints tools.tsv, the tools that tests compare pyattach with, and libraries that programs of theirs use.
tools_table() {
    local series
    printf 'name\tkind\torigin\tcommand\n'
    for series in "${!numpy_version[@]}"; do
        [ ! -d "$programs/numpy-$series/site" ] ||
            program_line "numpy-$series" package "numpy ${numpy_version[$series]} from PyPI" "$programs/numpy-$series/site"
    done
    [ ! -x "$programs/py-spy/py-spy" ] ||
        program_line py-spy tool "py-spy $py_spy_version from PyPI" "$programs/py-spy/py-spy"
    [ ! -d "$programs/uvloop" ] || program_line uvloop library "uvloop from PyPI, a directory an interpreter" "$programs/uvloop"
}

program_line() { printf '%s\t%s\t%s\t%s\n' "$@"; }
