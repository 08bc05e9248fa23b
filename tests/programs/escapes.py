"""Names that would drive a terminal if they were printed as they are."""

import truth

NASTY = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \r\n\t\x9b2J \u202ereversed\u202c \u2028 end"


def target():
    code = compile("def inside():\n    park()\n\ninside()\n", "/srv/" + NASTY + ".py", "exec")
    exec(code, {"park": truth.park, "__name__": NASTY})


def renamed():
    truth.park()


if hasattr(renamed.__code__, "replace"):
    replaced = {"co_name": NASTY}
    if hasattr(renamed.__code__, "co_qualname"):
        replaced["co_qualname"] = "Class." + NASTY
    renamed.__code__ = renamed.__code__.replace(**replaced)

truth.start(target, name=NASTY, daemon=True)
truth.start(renamed, name="renamed", daemon=True)
truth.stay()
