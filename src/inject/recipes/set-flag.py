# Set an attribute of a loaded module, a feature flag say, and print what it was.
# Arguments: MODULE.NAME[.NAME...] VALUE; VALUE is a Python literal (True, 5, 'text'). The attribute must exist, and the new
# value be of its type, unless one of them is None.
import sys

if len(sys.argv) != 3:
    raise SystemExit("two arguments: module.name value")
parts = sys.argv[1].split(".")
for length in range(len(parts) - 1, 0, -1):
    owner = sys.modules.get(".".join(parts[:length]))
    if owner is not None:
        break
else:
    raise SystemExit("no module %s is loaded" % parts[0])
for part in parts[length:-1]:
    owner = getattr(owner, part)
if not hasattr(owner, parts[-1]):
    raise SystemExit("%s has no attribute %s; a flag that is not there would have no effect" % (".".join(parts[:-1]), parts[-1]))


def literal(text):
    simple = {"True": True, "False": False, "None": None}
    if text in simple:
        return simple[text]
    import ast
    return ast.literal_eval(text)


try:
    new = literal(sys.argv[2])
except (ValueError, SyntaxError):
    raise SystemExit("%s is no Python literal; text needs quotes of its own" % sys.argv[2]) from None
old = getattr(owner, parts[-1])
if old is not None and new is not None and type(old) is not type(new):
    raise SystemExit("it is of type %s, not %s; nothing was set" % (type(old).__name__, type(new).__name__))
setattr(owner, parts[-1], new)
print("%s: %.1000r, was %.1000r" % (sys.argv[1], new, old))
