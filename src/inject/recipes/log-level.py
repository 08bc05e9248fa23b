# Raise (or lower) the level of a logger for some minutes, then put it back.
# Arguments: [LEVEL] [MINUTES] [LOGGER]; DEBUG 5 and the root logger without. MINUTES: up to 120; 0 puts back now.
import sys
import threading

logging = sys.modules.get("logging")
if logging is None:
    raise SystemExit("logging is not loaded in this process")
words = sys.argv[1:] + [None] * 3
level, minutes = (words[0] or "DEBUG").upper(), min(float(words[1] or 5), 120)
logger = logging.getLogger(words[2]) if words[2] else logging.getLogger()
if not isinstance(logging.getLevelName(level), int):
    raise SystemExit("no level %s" % level)

# What has been changed waits in the module, so that a second run takes over from the first.
waiting = logging.__dict__.setdefault("_pyattach_levels", {})


def put_back(logger, logging=logging, waiting=waiting):
    old, ours, timer = waiting.pop(logger, (None, None, None))
    # Somebody else has set it meanwhile: that stays.
    if timer is not None and logger.level == ours:
        logger.setLevel(old)
    if not waiting:
        logging.__dict__.pop("_pyattach_levels", None)


if logger in waiting:
    waiting[logger][2].cancel()
    put_back(logger)
    waiting = logging.__dict__.setdefault("_pyattach_levels", waiting)
name, old = logger.name, logging.getLevelName(logger.level)
if minutes > 0:
    timer = threading.Timer(minutes * 60, put_back, (logger,))
    timer.daemon = True
    timer.name = "pyattach-log-level"
    waiting[logger] = (logger.level, logging.getLevelName(level), timer)
    logger.setLevel(level)
    timer.start()
    print("logger %s: %s for %g minutes, then %s again" % (name, level, minutes, old))
else:
    if not waiting:
        logging.__dict__.pop("_pyattach_levels", None)
    print("logger %s: %s" % (name, old))
handlers, where = [], logger
while where is not None:
    handlers, where = handlers + where.handlers, where.parent if where.propagate else None
for handler in handlers:
    if handler.level > logger.level:
        print("note: %r lets nothing below %s through" % (handler, logging.getLevelName(handler.level)))
