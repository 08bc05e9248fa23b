# What runs in the target around a script. Never imported: the text travels as one string (bootstrap.rs fills in the names
# that are passed to run() below, and leaves comments out). CPython 3.7 to 3.15.
#
# Compiling it takes the GIL from all other threads for a millisecond or two, before the script's first line. So what most
# scripts do not need is in files of its own, ERRORS, VALUES and STREAM, compiled when it is needed. And nothing in here lets go of
# the GIL before the script begins, where that can be helped: with many threads it is long before it comes back.
#
# It leaves nothing behind: modules that were not loaded go again, standard streams, sys.argv, trace and profile functions
# are put back, and nothing here makes a circle of references or a class, so all of it is freed when it returns.


def run(FD, TEXT, DEVICE, INODE, AT, PID, DEADLINE, LIMIT, CUT, SOURCE, NAME, FILE, ARGUMENTS, SPACE, KIND, ERRORS, VALUES,
        STREAM):
    import sys
    modules = sys.modules
    borrowed = [name for name in ('posix', '_thread', 'time') if name not in modules]
    import posix, _thread, time
    for name in borrowed:
        modules.pop(name, None)
    # Importing this one anew would reset the application's handlers.
    _signal = modules.get('_signal')

    # A child forked in between, a descriptor that is something else by now, a request that comes too late, was withdrawn or
    # has been carried out: nothing is done. Without a deadline all of that has been looked at before.
    if DEADLINE is not None:
        try:
            status = posix.fstat(FD)
        except OSError:
            return
        if (status.st_dev, status.st_ino) != (DEVICE, INODE):
            return
        if TEXT is not None:
            posix.close(TEXT)
        if posix.getpid() != PID or status.st_size > AT or time.monotonic_ns() > DEADLINE:
            return posix.close(FD)

    ident, getpid, get_ident = _thread.get_ident(), posix.getpid, _thread.get_ident
    at, left, live, signals, unsaid = [AT], [LIMIT], [True], [], []

    # --- records: a letter, the length in eight hexadecimal digits, data -----------------------------------------------
    def record_of(tag, data):
        return ('%s%08x' % (tag, len(data))).encode() + data

    def put(tag, data):
        # Writing lets go of the GIL: what is said first may wait for what is said next.
        record, start = b''.join(unsaid) + record_of(tag, data), at[0]
        try:
            while record:
                written = posix.pwrite(FD, record, at[0])
                at[0] += written
                record = record[written:]
            unsaid.clear()
        except BaseException:
            at[0] = start
            posix.ftruncate(FD, start)
            raise

    def text(value):
        return str(value).encode('utf-8', 'backslashreplace')

    def fields(*values):
        values = [text(value) for value in values]
        return b''.join([('%08x' % len(value)).encode() + value for value in values])

    # --- streams: this thread's writes are records, all others go where they went before ----------------------------------
    def mine():
        return live[0] and get_ident() == ident and getpid() == PID

    def out(tag, data):
        data = bytes(data)
        for start in range(0, len(data), 65536):
            if left[0] <= 0:
                return
            piece = data[start:start + min(65536, left[0])]
            left[0] -= len(piece)
            try:
                put(tag, piece)
                if left[0] <= 0:
                    put('l', b'')
            except OSError:
                left[0] = 0

    def stream(tag, name, old):
        def write(what):
            if not mine():
                return len(what) if old is None else old.write(what)
            if not isinstance(what, str):
                raise TypeError('write() argument must be str, not ' + type(what).__name__)
            out(tag, what.encode('utf-8', 'backslashreplace'))
            return len(what)

        def flush():
            if old is not None and not mine():
                old.flush()

        def get(attribute):
            if not mine():
                return getattr(old, attribute)
            if not own:
                own.update(compiled(STREAM, 'attributes')(out, tag, write, name, mine, type(sys)))
            return own[attribute] if attribute in own else getattr(old, attribute)

        # A module that says itself what its attributes are (PEP 562): a class would be garbage with circles.
        made, own = type(sys)('pyattach'), {}
        made.__dict__.update(write=write, flush=flush, __getattr__=get)
        return made

    # --- before, the script, after ----------------------------------------------------------------------------------------
    threading = modules.get('threading')
    active = getattr(threading, '_active', None)
    known = active is None or ident in active
    try:
        caller = str(active[ident].name) if active is not None and known else ''
    except Exception:
        caller = ''
    native = getattr(_thread, 'get_native_id', None)
    tracing, profiling = sys.gettrace(), sys.getprofile()
    none, handled = [], sys.exc_info()[1]
    streams = [getattr(sys, 'stdout', none), getattr(sys, 'stderr', none), getattr(sys, 'argv', none)]
    ours = [stream('o', '<stdout>', None if streams[0] is none else streams[0]),
            stream('e', '<stderr>', None if streams[1] is none else streams[1]), [NAME] + ARGUMENTS]
    names = ('stdout', 'stderr', 'argv')

    def go():
        if SPACE is None:
            space = {'__name__': '__main__', '__file__': FILE, '__doc__': None, '__package__': None, '__loader__': None,
                     '__spec__': None, '__builtins__': modules.get('builtins', __builtins__)}
        elif SPACE in modules:
            space = modules[SPACE].__dict__
        else:
            return put('x', fields('LookupError', 'no module %s is loaded' % SPACE,
                                   'LookupError: no module %s is loaded' % SPACE))
        value = eval(compile(SOURCE, '<pyattach %s>' % NAME, 'eval' if KIND else 'exec', 0, 1), space)
        if KIND:
            compiled(VALUES, 'values')(put, fields, CUT)(value)

    def prepare():
        thread = fields(ident, native() if native is not None else '', caller)
        if DEADLINE is None:
            unsaid.append(record_of('s', thread))
        else:
            # By CPython's own protocol, nothing else tells that it has begun.
            put('s', thread)
        if tracing is not None:
            sys.settrace(None)
        if profiling is not None:
            sys.setprofile(None)
        sys.stdout, sys.stderr, sys.argv = ours

    def restore():
        for name, old, own in zip(names, streams, ours):
            if getattr(sys, name, none) is own:
                if old is none:
                    delattr(sys, name)
                else:
                    setattr(sys, name, old)
        live[0] = False
        if not known:
            active.pop(ident, None)

    def retrace():
        if tracing is not None and sys.gettrace() is None:
            sys.settrace(tracing)
        if profiling is not None and sys.getprofile() is None:
            sys.setprofile(profiling)

    def end():
        for number in signals:
            put('i', fields(number))
        put('d', fields(int((time.monotonic() - began) * 1000000)))

    def close():
        # Never twice: the number may be another file's by then.
        if descriptors:
            posix.close(descriptors.pop())

    # --- what most scripts do not need --------------------------------------------------------------------------------------
    def compiled(text, name):
        space = {}
        exec(compile(text, '<pyattach>', 'exec', 0, 1), space)
        return space.pop(name)

    helpers, tries = [], []

    def help_with(number):
        if not helpers:
            helpers.extend(compiled(ERRORS, 'errors')(put, fields, getpid, PID, signals, handled, _signal))
        return helpers[number]

    def tell(error):
        if getpid() != PID:
            return
        try:
            say = help_with(1)
        except BaseException:
            # It is tried again if a signal's handler threw that; else there is no room for the code, or no leave.
            tries.append(1)
            if len(tries) < 3:
                raise
            name = type(error).__name__
            return put('x', fields(name, '', name))
        say(error)

    began = time.monotonic()
    thrown, descriptors = [], [FD]
    try:
        prepare()
        go()
    except BaseException as error:
        thrown.append(error)
    # A signal handler may throw anywhere: each step is tried again. None does harm when done twice.
    for step in (lambda: [tell(error) for error in thrown], thrown.clear, restore, retrace,
                 lambda: end() if getpid() == PID else None, close):
        for _ in range(3):
            try:
                step()
                break
            except BaseException as error:
                try:
                    if not help_with(0)(error):
                        break
                except BaseException:
                    pass

    # The application gets the signal again, when this thread is back in its own code.
    if signals:
        def hand_on():
            wait = _thread.allocate_lock()
            wait.acquire()
            wait.acquire(True, 0.05)
            for number in signals:
                if number == 2:
                    _thread.interrupt_main()
                else:
                    posix.kill(PID, number)
        _thread.start_new_thread(hand_on, ())


globals().pop('run')(**{name: globals().pop(name) for name in list(globals()) if name.isupper()})
