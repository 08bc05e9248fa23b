# Sourced by scripts/interpreters: Debian packages of any suite, unpacked into a root; Debian's copies of upstream tarballs.

# The archive that this machine installs from: the first URI of its apt configuration that ends in /debian.
debian_archive() {
    local uri
    for uri in $(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
        grep -E '^(deb|URIs:) ' | grep -oE '[a-z+]+:[^ ]+'); do
        case $uri in */debian | */debian/) echo "${uri%/}"; return ;; esac
    done
    die "no Debian archive in /etc/apt"
}

# apt_for ARCHITECTURE SUITE TYPE: sets `apt`, options that give apt-get lists, a cache and an empty "installed"
# set of its own, and refreshes the lists. The caller holds the lock.
apt_for() {
    local dir=$downloads/apt-$1-$2-$3 index=Packages
    [ "$3" = deb-src ] && index=Sources
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    : >"$dir/status"
    echo "$3 [arch=$1 target=$index signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "$(debian_archive) $2 main" >"$dir/sources"
    apt=(-q -o Dir::Etc::SourceList="$dir/sources" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State="$dir" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir"
        -o APT::Architecture="$1" -o APT::Architectures::="$1" -o APT::Sandbox::User=root
        -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
    apt_dir=$dir
    apt-get "${apt[@]}" update
}

# debian_root ARCHITECTURE SUITE PACKAGE... DIRECTORY: the packages and all that they depend on, as apt resolves
# it where nothing is installed. No maintainer script runs, so no shell is needed in there.
debian_root() {
    local architecture=$1 suite=$2 directory=${*: -1} packages=("${@:3:$#-3}") files
    (
        flock 9
        apt_for "$architecture" "$suite" deb
        # with no archive at hand, apt tells the file of every package that it would install
        apt-get "${apt[@]}" -o Dir::Cache::archives=/nonexistent/ install --print-uris "${packages[@]}" |
            sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" >"$directory/.packages"
        apt-get "${apt[@]}" install -y --download-only "${packages[@]}"
    ) 9>"$downloads/$architecture-$suite.lock"
    files=$(sed "s|^|$downloads/apt-$architecture-$suite-deb/archives/|" "$directory/.packages")
    [ -n "$files" ] || die "apt resolved nothing for ${packages[*]} in $suite"
    bare_root "$directory"
    unpack_debs "$directory" <<<"$files"
}

# unpack_debs DIRECTORY <files
unpack_debs() {
    local file
    while read -r file; do
        dpkg-deb --fsys-tarfile "$file" | tar -x -C "$1" --keep-directory-symlink --no-same-owner \
            --exclude './usr/share/doc/*' --exclude './usr/share/man/*' --exclude './usr/share/locale/*' --exclude '*.a'
    done
}

# A merged /usr first, or older packages would make real /lib and /bin directories; then what programs open.
bare_root() {
    local name
    for name in bin sbin lib lib64; do
        mkdir -p "$1/usr/$name"
        ln -s "usr/$name" "$1/$name"
    done
    mkdir -p "$1"/{dev,etc,proc,sys,run,root,srv,tmp}
    chmod 1777 "$1/tmp"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
    mknod -m 666 "$1/dev/null" c 1 3
    mknod -m 666 "$1/dev/zero" c 1 5
    mknod -m 666 "$1/dev/urandom" c 1 9
}

# debian_tarball PACKAGE VERSION SUFFIX SHA256: prints the path of the upstream tarball of a Debian source package:
# the pinned one while the archive has it, else the newest that can be fetched of those that sid lists.
debian_tarball() {
    (
        flock 9
        [ -e "$downloads/$1_$2.orig.tar.$3" ] || pinned_tarball "$@" || stored_tarball "$1" "$2" || listed_tarball "$1"
    ) 9>"$downloads/$1.lock" >&2
    stored_tarball "$1" "$2" || die "no source of $1: the archive has neither $2 nor one that it lists"
}

# stored_tarball PACKAGE VERSION: this one if it is there, else the newest that is.
stored_tarball() {
    find "$downloads" -maxdepth 1 -name "$1_$2.orig.tar.?z" | grep . ||
        find "$downloads" -maxdepth 1 -name "$1_*.orig.tar.?z" | sort -V | tail -n 1 | grep .
}

pinned_tarball() {
    local pool=${1:0:1} file=$1_$2.orig.tar.$3
    case $1 in lib*) pool=${1:0:4} ;; esac
    /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
        "$(debian_archive)/pool/main/$pool/$1/$file" "$downloads/$file.part" "SHA256:$4" &&
        mv "$downloads/$file.part" "$downloads/$file"
}

# listed_tarball PACKAGE: an archive can list sources that it does not serve (yet), so each is tried.
listed_tarball() {
    local version
    apt_for "$(dpkg --print-architecture)" sid deb-src
    for version in $(apt-cache "${apt[@]}" showsrc "$1" | sed -n 's/^Version: //p' | sort -rVu); do
        (cd "$downloads" && apt-get "${apt[@]}" source --download-only --tar-only "$1=$version") && return
    done
}
