# What bootstrap.py needs only for the value of an expression, compiled when there is one. Gives the function that writes of it.


def values(put, fields, CUT):
    # A value as JSON, or None. It is given to itself: a name for itself would be a circle.
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

    return answer
