"""Names outside ASCII, in each width a str can have: functions, classes, modules, threads, files, a file name that is not text."""

import os
import shutil
import sys
import tempfile

import truth

MODULE = """
class Größe:
    def messen(self, park):
        return park()
"""


def été():
    truth.park()


def функция():
    truth.park()


def 関数():
    truth.park()


def 𠀀𠀁():
    truth.park()


class Überklasse:
    def méthode(self):
        truth.park()


def file(name):
    def target():
        code = compile("def inside():\n    park()\n\ninside()\n", name, "exec")
        exec(code, {"park": truth.park, "__name__": "modul.é.名"})

    return target


def imported():
    directory = tempfile.mkdtemp(prefix="каталог 名 ")
    try:
        with open(os.path.join(directory, "größe.py"), "w", encoding="utf-8") as module:
            module.write(MODULE)
        sys.path.insert(0, directory)
        import größe
    finally:
        shutil.rmtree(directory)
    größe.Größe().messen(truth.park)


names = {
    "fil é": été,
    "поток": функция,
    "スレッド": 関数,
    "🧵 thread 𠀀": 𠀀𠀁,
    "ÿ" * 300: Überklasse().méthode,
    "file é": file("/srv/naïve/é.py"),
    "file 名": file("/srv/名/файл.py"),
    "file 😀": file("/srv/😀.py"),
    "not text": file("/srv/" + os.fsdecode(b"caf\xe9\xff.py") if sys.getfilesystemencoding() == "utf-8" else "x.py"),
    "lone \udcff surrogate": file("plain.py"),
    "nul \0 inside": file("nul.py"),
    "": file("empty.py"),
    "imported": imported,
}
for name, target in names.items():
    truth.start(target, name=name, daemon=True)
truth.stay()
