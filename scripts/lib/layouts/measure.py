"""Measures one build of CPython: from its headers with gcc, from its DWARF with gdb, and its binary's own _PyRuntime.

Nothing of what is measured is run: the compiler's assembly output is read, and gdb only evaluates constant expressions.
"""

import os
import re
import subprocess
import tempfile

# Headers that define the structures, in any version; those a version lacks are left out.
HEADERS = """
    Python.h frameobject.h internal/pystate.h internal/pycore_runtime.h internal/pycore_pystate.h internal/pycore_interp.h
    internal/pycore_gil.h internal/pycore_ceval.h internal/pycore_frame.h internal/pycore_interpframe_structs.h
    internal/pycore_interpframe.h internal/pycore_dict.h internal/pycore_code.h internal/pycore_long.h
    internal/pycore_moduleobject.h internal/pycore_tstate.h
""".split()

# What is added to a configuration's own macros to get another build of the same headers.
BUILD_MACROS = {"Default": [], "Debug": ["Py_DEBUG"], "FreeThreaded": ["Py_GIL_DISABLED"]}
# The Makefile, not pyconfig.h, says that a JIT is built in.
JIT_MACROS = ["_Py_JIT", "_Py_TIER2=1"]


def field_names(rust_file):
    """All names in FIELD_NAMES, alternatives apart, in sorted order."""
    with open(rust_file, encoding="utf-8") as file:
        literals = re.findall(r'^\s+\w+: [\w<>]+ = "([^"]+)",$', file.read(), re.M)
    return sorted({name for literal in literals for name in literal.split("|")})


def expression(name):
    """The name as a C expression."""
    if name.startswith("sizeof "):
        return f"sizeof({name[7:]})"
    structure, member = name.split(".", 1)
    return f"(unsigned long)&(({structure} *)0)->{member}"


def run(*command):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env=dict(os.environ, LC_ALL="C"))


class Headers:
    """An include directory `python3.X`, for every build that its macros can give."""

    def __init__(self, directory):
        self.directory = os.path.realpath(directory)
        self.macros = dict(re.findall(r"^\s*#\s*define\s+(PY_VERSION_HEX|PY_(?:MAJOR|MINOR|MICRO)_VERSION)\s+(\S+)",
                                      self._text("patchlevel.h"), re.M))

    def _text(self, name):
        with open(os.path.join(self.directory, name), encoding="utf-8") as file:
            return file.read()

    def version(self):
        return tuple(int(self.macros[f"PY_{part}_VERSION"]) for part in ("MAJOR", "MINOR", "MICRO"))

    def _pyconfig(self):
        """Text of pyconfig.h; Debian's is a choice between those of its architectures."""
        text = self._text("pyconfig.h")
        if "HAVE_STDLIB_H" in text or "STDC_HEADERS" in text:
            return text
        multiarch = run("gcc", "-print-multiarch").stdout.strip()
        path = os.path.join(os.path.dirname(self.directory), multiarch, os.path.basename(self.directory), "pyconfig.h")
        with open(path, encoding="utf-8") as file:
            return file.read()

    def measure(self, build, names, extra=()):
        """Offsets in this build; names that it lacks are left out. None when the headers do not compile at all."""
        with tempfile.TemporaryDirectory() as work:
            config = os.path.join(work, "pyconfig.h")
            with open(config, "w", encoding="utf-8") as file:
                macros = [macro for macros in BUILD_MACROS.values() for macro in macros] + ["Py_TRACE_REFS"]
                file.write(re.sub(rf"^#define ({'|'.join(macros)}) .*$", "", self._pyconfig(), flags=re.M))
            return self._compile(work, config, [*BUILD_MACROS[build], *extra], names)

    def _compile(self, work, config, macros, names):
        """Compiles one line per name; lines that the compiler complains about go, until none is left."""
        names = list(names)
        source = os.path.join(work, "offsets.c")
        command = ["gcc", "-S", "-w", "-o", "-", "-include", config, "-DPy_BUILD_CORE", "-I", self.directory,
                   "-I", os.path.dirname(self.directory), *(f"-D{macro}" for macro in macros), source]
        while names:
            with open(source, "w", encoding="utf-8") as file:
                file.writelines(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in HEADERS)
                file.write("const unsigned long offsets[] = {\n#line 1 \"names\"\n")
                file.writelines(f"{expression(name)},\n" for name in names)
                file.write("};\n")
            result = run(*command)
            if result.returncode == 0:
                body = result.stdout.split("offsets:\n", 1)[1]
                return dict(zip(names, emitted(body)))
            bad = {int(line) for line in re.findall(r"^names:(\d+):.* error: ", result.stderr, re.M)}
            if not bad:
                return None
            names = [name for line, name in enumerate(names, 1) if line not in bad]
        return None


def emitted(assembly):
    """The 8-byte values of an array in assembly text."""
    values = []
    for operation, operand in re.findall(r"^\s+\.(quad|zero)\s+(\d+)$", assembly, re.M):
        values += [int(operand)] if operation == "quad" else [0] * (int(operand) // 8)
    return values


class Binary:
    """An executable or libpython, with the directory that holds detached debug files."""

    def __init__(self, path, debug_directory="/usr/lib/debug"):
        self.path = path
        self.debug_directory = debug_directory

    def runtime_size(self):
        """sizeof(_PyRuntimeState) as linked: the section's size (3.10 on), else the symbol's."""
        section = re.search(r" \.PyRuntime +PROGBITS +\S+ \S+ (\S+) ", run("readelf", "-SW", self.path).stdout)
        if section:
            return int(section[1], 16)
        for line in run("readelf", "--syms", "-W", self.path).stdout.splitlines():
            words = line.split()
            if len(words) >= 8 and words[3] == "OBJECT" and words[7].split("@")[0] == "_PyRuntime":
                return int(words[2], 0)
        return None

    def measure(self, names):
        """Offsets from DWARF; empty when there is none."""
        commands = [f"set debug-file-directory {self.debug_directory}", "set language c", f"file {self.path}"]
        for name in names:
            commands += [f"echo \\n@{name}@", f"output/d {expression(name)}"]
        result = run("gdb", "-batch", "-nx", *(word for command in commands for word in ("-ex", command)))
        return {name: int(value) for name, value in re.findall(r"^@(.*)@(\d+)$", result.stdout, re.M)}
