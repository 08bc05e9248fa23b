# What few scripts ask of the streams that bootstrap.py puts in place of sys.stdout and sys.stderr, compiled when one does. Gives
# these attributes by name.


def attributes(out, tag, write, name, mine, new_module):
    def writelines(lines):
        for line in lines:
            write(line)

    def write_bytes(data):
        out(tag, data)
        return len(data)

    def nothing(*_, **__):
        pass

    def no():
        return False

    raw = new_module('pyattach')
    raw.__dict__.update(write=write_bytes, flush=nothing)
    return dict(encoding='utf-8', errors='backslashreplace', newlines=None, closed=False, mode='w', name=name, buffer=raw,
                line_buffering=True, isatty=no, readable=no, seekable=no, writable=mine, close=nothing, reconfigure=nothing,
                writelines=writelines)
