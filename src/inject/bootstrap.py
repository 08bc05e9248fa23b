# What runs in the target around a script. Never imported: the text travels as one string (bootstrap.rs fills in the names
# that are passed to run() below, and leaves comments out). CPython 3.7 to 3.15.
#
# It leaves nothing behind: modules that were not loaded go again, standard streams, sys.argv, trace and profile functions
# are put back, and nothing here makes a circle of references or a class, so all of it is freed when it returns.


def run(FD, TEXT, DEVICE, INODE, AT, PID, DEADLINE, LIMIT, CUT, SOURCE, NAME, FILE, ARGUMENTS, SPACE, KIND):
    import sys
    modules = sys.modules
    borrowed = [name for name in ('posix', '_thread', 'time') if name not in modules]
    import posix, _thread, time
    for name in borrowed:
        modules.pop(name, None)
    # Importing this one anew would reset the application's handlers.
    _signal = modules.get('_signal')

    # A child forked in between, a descriptor that is something else by now, a request that comes too late, was withdrawn or
    # has been carried out: nothing is done.
    try:
        status = posix.fstat(FD)
    except OSError:
        return
    if (status.st_dev, status.st_ino) != (DEVICE, INODE):
        return
    if TEXT is not None:
        posix.close(TEXT)
    late = DEADLINE is not None and time.monotonic_ns() > DEADLINE
    if posix.getpid() != PID or status.st_size > AT or late:
        return posix.close(FD)

    ident, getpid, get_ident = _thread.get_ident(), posix.getpid, _thread.get_ident
    at, left, live, signals = [AT], [LIMIT], [True], []

    # --- records: a letter, the length in eight hexadecimal digits, data -----------------------------------------------
    def put(tag, data):
        record, start = ('%s%08x' % (tag, len(data))).encode() + data, at[0]
        try:
            while record:
                written = posix.pwrite(FD, record, at[0])
                at[0] += written
                record = record[written:]
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

        def writelines(lines):
            for line in lines:
                write(line)

        def write_bytes(data):
            out(tag, data)
            return len(data)

        def flush():
            if old is not None and not mine():
                old.flush()

        def nothing(*_, **__):
            pass

        def no():
            return False

        def get(attribute):
            return own[attribute] if attribute in own and mine() else getattr(old, attribute)

        raw, made = type(sys)('pyattach'), type(sys)('pyattach')
        raw.__dict__.update(write=write_bytes, flush=nothing)
        own = dict(encoding='utf-8', errors='backslashreplace', newlines=None, closed=False, mode='w', name=name, buffer=raw,
                   line_buffering=True, isatty=no, readable=no, seekable=no, writable=mine, close=nothing,
                   reconfigure=nothing)
        # A module that says itself what its attributes are (PEP 562): a class would be garbage with circles.
        made.__dict__.update(write=write, writelines=writelines, flush=flush, __getattr__=get)
        return made

    # --- what was thrown ----------------------------------------------------------------------------------------------
    def raise_opcode():
        try:
            raise ValueError
        except ValueError as error:
            trace = error.__traceback__
            try:
                return trace.tb_frame.f_code.co_code[trace.tb_lasti]
            finally:
                del trace

    # The signal whose handler threw it in the middle of what ran, or 0. Such an exception was meant for the application.
    def signal_of(error):
        trace, last = error.__traceback__, None
        codes = {}
        for number in range(1, 65 if _signal is not None else 1):
            try:
                handler = _signal.getsignal(number)
            except ValueError:
                continue
            handler = getattr(handler, 'func', handler)
            code = getattr(getattr(handler, '__func__', handler), '__code__', None)
            if code is not None:
                codes.setdefault(code, number)
        while trace is not None:
            if trace.tb_frame.f_code in codes:
                return codes[trace.tb_frame.f_code]
            trace, last = trace.tb_next, trace
        if isinstance(error, KeyboardInterrupt) and last is not None and _signal is not None:
            code = last.tb_frame.f_code.co_code
            if code[last.tb_lasti] != raise_opcode() and _signal.getsignal(2) is _signal.default_int_handler:
                return 2
        return 0

    def interrupted(error):
        number = signal_of(error)
        if number:
            signals.append(number)
        return number

    def short(value, limit):
        try:
            value = str(value)
        except Exception as error:
            value = '<str() failed: %s>' % type(error).__name__
        return value if len(value) <= limit else value[:limit] + '...<%d characters>' % len(value)

    def title(error):
        kind = type(error)
        module = getattr(kind, '__module__', None)
        name = getattr(kind, '__qualname__', kind.__name__)
        return name if module in ('builtins', '__main__') else '%s.%s' % (module, name)

    def describe(error, lines):
        rows, trace, depth = [], error.__traceback__, 0
        while trace is not None:
            code = trace.tb_frame.f_code
            row = '  File "%s", line %s, in %s' % (code.co_filename, trace.tb_lineno, code.co_name)
            # Long ones are shown by their ends.
            rows.append(short(row, 4000))
            if len(rows) > 100:
                del rows[50]
            trace, depth = trace.tb_next, depth + 1
        if rows:
            lines.append('Traceback (most recent call last):')
            lines.extend(rows[:50])
            if depth > 100:
                lines.append('  [%d more frames]' % (depth - 100))
            lines.extend(rows[50:])
        message = short(error, 10000)
        if isinstance(error, SyntaxError) and error.filename is not None:
            lines.append('  File "%s", line %s' % (error.filename, error.lineno))
            if isinstance(error.text, str):
                line = short(error.text, 500).rstrip('\n')
                lines.append('    ' + line.lstrip(' \t\f'))
                column = (error.offset or 0) - (len(line) - len(line.lstrip(' \t\f')))
                if 0 < column <= 500:
                    lines.append('    ' + ' ' * (column - 1) + '^')
            message = short(error.msg, 10000)
        lines.append('%s: %s' % (title(error), message) if message else title(error))
        lines.extend([short(note, 1000) for note in list(getattr(error, '__notes__', ()) or ())[:20]])
        for number, inner in enumerate(list(getattr(error, 'exceptions', ()) or ())[:20]):
            if isinstance(inner, BaseException):
                lines.append('  exception %d of the group: %s' % (number + 1, short(title(inner), 200)))
                lines.append('    ' + short(inner, 1000))
        return message

    def report(error):
        chain, link = [], ''
        # What the application is handling meanwhile is none of the script's.
        while error is not None and error is not handled and len(chain) < 10:
            chain.append((error, link))
            if error.__cause__ is not None:
                error, link = error.__cause__, 'The above exception was the direct cause of the following exception:'
            elif error.__context__ is not None and not error.__suppress_context__:
                error, link = error.__context__, 'During handling of the above exception, another exception occurred:'
            else:
                error = None
        lines = []
        for error, link in reversed(chain):
            message = describe(error, lines)
            if link:
                lines.extend(['', link, ''])
        put('x', fields(title(error), message, '\n'.join(lines)[:500000]))

    def say(error):
        if getpid() != PID:
            return
        by_signal = interrupted(error)
        # Without the frames from here.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == '<pyattach>':
            trace = trace.tb_next
        error.__traceback__ = trace
        del trace
        code = getattr(error, 'code', None)
        if by_signal or not isinstance(error, SystemExit):
            report(error)
        elif code is None:
            put('q', fields('', ''))
        elif isinstance(code, int):
            put('q', fields('code', int(code)))
        else:
            put('q', fields('text', short(code, 10000)))

    # --- a value as JSON, or None. It is given to itself: a name for itself would be a circle -----------------------------
    def json(json, value, room, depth):
        room[0] -= 1
        if room[0] < 0 or depth > 50:
            return None
        if value is None or value is True or value is False:
            return {None: 'null', True: 'true', False: 'false'}[value]
        if isinstance(value, int):
            try:
                return int.__repr__(value)
            except ValueError:
                return None
        if isinstance(value, float):
            return float.__repr__(value) if value - value == 0 else None
        if isinstance(value, str):
            room[0] -= len(value)
            if room[0] < 0:
                return None
            # UTF-16 by hand: its codec would be a module more.
            units = []
            for code in map(ord, value):
                units.extend([code] if code < 65536 else [0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff)])
            return '"%s"' % ''.join([chr(u) if 31 < u < 127 and u not in (34, 92) else '\\u%04x' % u for u in units])
        if isinstance(value, (list, tuple)):
            parts = []
            for item in value:
                part = json(json, item, room, depth + 1)
                if part is None:
                    return None
                parts.append(part)
            return '[%s]' % ','.join(parts)
        if isinstance(value, dict):
            parts = []
            for key, item in list(dict.items(value)):
                part = json(json, item, room, depth + 1)
                if part is None or not isinstance(key, str):
                    return None
                parts.append(json(json, key, room, depth + 1) + ':' + part)
            return '{%s}' % ','.join(parts)
        return None

    def answer(value):
        shown = repr(value)
        try:
            data = json(json, value, [CUT], 0)
        except Exception:
            data = None
        put('r', fields(title_of_type(type(value)), len(shown), shown[:CUT], data or ''))

    def title_of_type(kind):
        module = getattr(kind, '__module__', None)
        return kind.__qualname__ if module == 'builtins' else '%s.%s' % (module, kind.__qualname__)

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
            answer(value)

    def prepare():
        put('s', fields(ident, native() if native is not None else '', caller))
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

    began = time.monotonic()
    thrown, descriptors = [], [FD]
    try:
        prepare()
        go()
    except BaseException as error:
        thrown.append(error)
    # A signal handler may throw anywhere: each step is tried again. None does harm when done twice.
    for step in (lambda: [say(error) for error in thrown], thrown.clear, restore, retrace,
                 lambda: end() if getpid() == PID else None, close):
        for _ in range(3):
            try:
                step()
                break
            except BaseException as error:
                if not interrupted(error):
                    break

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
