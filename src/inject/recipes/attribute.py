# Print an attribute of a loaded module, or of what is in it.
# Arguments: MODULE.NAME[.NAME...]; the module must be loaded, nothing is imported.
import sys

if len(sys.argv) != 2:
    raise SystemExit("one argument: module.name")
parts = sys.argv[1].split(".")
for length in range(len(parts), 0, -1):
    value = sys.modules.get(".".join(parts[:length]))
    if value is not None:
        break
else:
    raise SystemExit("no module %s is loaded" % parts[0])
for part in parts[length:]:
    if not hasattr(value, part):
        raise SystemExit("%s has no attribute %s" % (type(value).__name__, part))
    value = getattr(value, part)
shown = repr(value)
print(shown if len(shown) <= 20000 else shown[:20000] + "...<%d characters>" % len(shown))
