# What bootstrap.py needs only when something was thrown, compiled then: until it is, other threads wait for the GIL, and so does
# the script's first line. Gives two functions: whether an exception was meant for the application, and what writes of it.


def errors(put, fields, getpid, PID, signals, handled, _signal):
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

    return interrupted, say
