# List threads with what threading knows of them; name the exceptions that end threads from here on.
# Arguments: [on | off | list]; on: print each thread's exceptions even where threading.excepthook was silenced.
import sys
import threading

what = (sys.argv[1:] + ["list"])[0]
KEPT = "_pyattach_excepthook"
if what not in ("on", "off", "list"):
    raise SystemExit("on, off or list, not %s" % what)
if what != "list" and not hasattr(threading, "excepthook"):
    raise SystemExit("threading.excepthook exists from 3.8 on")
if what == "on" and not hasattr(threading, KEPT):
    old = threading.excepthook

    def noisy(args, old=old, sys=sys, threading=threading):
        name = getattr(args.thread, "name", "?")
        print("thread %r ended by %s: %s" % (name, getattr(args.exc_type, "__name__", "?"), args.exc_value), file=sys.stderr)
        old(args)

    setattr(threading, KEPT, (old, noisy))
    threading.excepthook = noisy
elif what == "off" and hasattr(threading, KEPT):
    old, noisy = threading.__dict__.pop(KEPT)
    # Somebody else has set it meanwhile: that stays.
    if threading.excepthook is noisy:
        threading.excepthook = old
print("exceptions of threads are %s" % ("named" if hasattr(threading, KEPT) else "as the application has it"))
for thread in list(threading.enumerate())[:1000]:
    print("%-24r ident %#x, daemon %s, %s" % (thread.name, thread.ident or 0, thread.daemon, type(thread).__qualname__))
