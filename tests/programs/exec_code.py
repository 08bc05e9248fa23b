"""Code without a file: exec and eval with made-up file names, globals without a name, types made by hand."""

import types

import truth


def executed():
    source = "\n\ndef made_up():\n    park()\n\nmade_up()\n"
    exec(compile(source, "<made up: query 17>", "exec"), {"park": truth.park, "__name__": "made.up"})


def evaluated():
    eval("[park(), 1][1]", {"park": truth.park})


def without_name():
    exec("(lambda: park())()", {"park": truth.park, "__builtins__": {}})



def far_lines():
    source = "def far():\n" + "\n" * 70000 + "    return (" + " " * 300 + "park(),\n" * 1 + "\n" * 500 + "  1)\nfar()\n"
    exec(compile(source, "far.py", "exec"), {"park": truth.park, "__name__": "far"})


def empty_name():
    exec(compile("park()", "", "exec"), {"park": truth.park, "__name__": ""})


def function_made_by_hand():
    types.FunctionType(without_columns.__code__, {"park": truth.park, "__name__": "by.hand"})()


def without_columns():
    park()  # noqa: F821, the name comes from the globals given above


for target in (executed, evaluated, without_name, far_lines, empty_name, function_made_by_hand):
    truth.start(target, name=target.__name__, daemon=True)
truth.stay()
