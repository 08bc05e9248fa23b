"""Where builds of CPython to measure are: interpreters listed by scripts/interpreters, and packages of distributions."""

import csv
import glob
import os
import re
import subprocess

from .measure import Binary, Headers

CACHE = os.environ.get("PYATTACH_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pyattach")

# Suite of Debian, series of Python. Old suites have old patch releases: that is what they are here for.
PACKAGES = [
    ("bullseye", ["3.9"]),
    ("bookworm", ["3.11"]),
    ("trixie", ["3.13"]),
    ("forky", ["3.13", "3.14", "3.15"]),
    ("sid", ["3.13", "3.14", "3.15"]),
]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGE_NAMES = ["libpython{}-dev", "python{}-minimal", "python{}-dbg"]


class Source:
    """One interpreter or include directory: what it is called in the tables, its build, and what to measure."""

    def __init__(self, label, version, build, headers, binary):
        self.label = label
        self.version = version
        self.build = build
        self.headers = headers
        self.binary = binary


def registered():
    """Prefixes of all interpreters in the registry, with their origin and version by series."""
    prefixes = {}
    with open(os.path.join(CACHE, "interpreters.tsv"), encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if "unsupported" in row["kind"]:
                continue
            path = os.path.join(row["root"], row["python"].lstrip("/"))
            prefix = os.path.dirname(os.path.dirname(path))
            label = row["origin"].replace("pyenv, on this machine", f"pyenv {row['version']}").replace(", on this machine", "")
            prefixes.setdefault(prefix, {})[os.path.basename(path)] = (label, row["version"])
    return prefixes


def packaged():
    """Prefixes of the packages that `fetch` unpacked."""
    prefixes = {}
    for stamp in sorted(glob.glob(os.path.join(CACHE, "headers", "*", ".packages"))):
        with open(stamp, encoding="utf-8") as file:
            for line in file:
                series, label = line.rstrip("\n").split("\t")
                prefix = os.path.join(os.path.dirname(stamp), "usr")
                for suffix in ("", "d"):
                    prefixes.setdefault(prefix, {})[f"python{series}{suffix}"] = (label, None)
    return prefixes


def debug_directories(prefixes):
    """Every directory with detached debug files: one root's may describe another's stripped binary."""
    return ":".join(["/usr/lib/debug", *(path for prefix in prefixes
                                          if os.path.isdir(path := os.path.join(prefix, "lib", "debug")))])


def include_directory(prefix, python):
    """The include directory that fits best: the build's own, else that of the same series' other build."""
    series = re.sub(r"[a-z]+$", "", python[len("python"):])
    names = [python, f"{python}m", f"python{series}", f"python{series}m", f"python{series}t"]
    return next((path for name in names
                 if os.path.exists(os.path.join(path := os.path.join(prefix, "include", name), "patchlevel.h"))), None)


def all_sources():
    """All that can be measured here, registry first."""
    sources = []
    prefixes = [*registered().items(), *packaged().items()]
    debug = debug_directories([prefix for prefix, _ in prefixes])
    for prefix, pythons in prefixes:
        for python, (label, version) in pythons.items():
            build = "FreeThreaded" if python.endswith("t") else "Debug" if python.endswith("d") else "Default"
            directory = include_directory(prefix, python)
            headers = Headers(directory) if directory else None
            number = headers.version() if headers else tuple(int(part) for part in re.findall(r"\d+", version)[:3])
            sources.append(Source(label, number, build, headers, binary_with_runtime(prefix, python, debug)))
    return sources


def binary_with_runtime(prefix, python, debug_directory):
    """The file that has `_PyRuntime`: the executable, or the library beside it."""
    for pattern in (f"bin/{python}", f"bin/{python}m", f"lib/lib{python}*.so.1.0"):
        for path in glob.glob(os.path.join(prefix, pattern)):
            binary = Binary(os.path.realpath(path), debug_directory)
            if binary.runtime_size():
                return binary
    return None


def archive():
    """The address of this machine's Debian archive."""
    text = ""
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")]:
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                text += file.read()
    address = re.search(r"^(?:deb|URIs:)\s.*?([a-z+]+:\S*/debian)/?(?:\s|$)", text, re.M)
    if not address:
        raise SystemExit("no Debian archive in /etc/apt")
    return address[1]


def fetch():
    """Unpacks the packages of PACKAGES below the cache; what is there stays. They are only read, never run."""
    for suite, series_list in PACKAGES:
        root = os.path.join(CACHE, "headers", f"debian-{suite}")
        if not os.path.exists(os.path.join(root, ".packages")):
            print(f"fetching {suite}", flush=True)
            fetch_suite(suite, series_list, root)


def fetch_suite(suite, series_list, root):
    work = os.path.join(CACHE, "downloads", f"layouts-debian-{suite}")
    for path in (root, os.path.join(work, "lists", "partial"), os.path.join(work, "archives", "partial")):
        os.makedirs(path, exist_ok=True)
    open(os.path.join(work, "status"), "w", encoding="utf-8").close()
    with open(os.path.join(work, "sources"), "w", encoding="utf-8") as file:
        file.write(f"deb [signed-by={KEYRING}] {archive()} {suite} main\n")
    options = [f"-oDir::Etc::SourceList={work}/sources", "-oDir::Etc::SourceParts=/dev/null", f"-oDir::State={work}",
               f"-oDir::State::status={work}/status", f"-oDir::Cache={work}", "-oAPT::Sandbox::User=root",
               "-oAcquire::Languages=none", "-oAcquire::Check-Valid-Until=false", "-q"]
    if subprocess.run(["apt-get", *options, "update"], check=False, capture_output=True).returncode:
        print("  not in the archive any more", flush=True)
        return
    lines = []
    for series in series_list:
        version = None
        for package in (name.format(series) for name in PACKAGE_NAMES):
            version = download(package, options, work, root) or version
        if version:
            lines.append(f"{series}\tDebian {suite} python{series} {version}\n")
    with open(os.path.join(root, ".packages"), "w", encoding="utf-8") as file:
        file.writelines(lines)


def download(package, options, work, root):
    """Unpacks one package; returns its version, None when the suite does not have it."""
    result = subprocess.run(["apt-get", *options, "download", package], cwd=work, check=False, capture_output=True)
    files = glob.glob(os.path.join(work, f"{package}_*.deb"))
    if result.returncode or not files:
        print(f"  no {package}", flush=True)
        return None
    subprocess.run(["dpkg-deb", "-x", files[0], root], check=True)
    os.remove(files[0])
    return os.path.basename(files[0]).split("_")[1].replace("%3a", ":")
