"""A parent with workers of its own: one forked, one spawned by multiprocessing, one below a shell. All end with the parent."""

import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys

BELOW_SHELL = "import os; os.write(1, b'%d' % os.getpid()); os.read(0, 1)"


def forked(gate, held, announcements):
    os.close(held)
    announcements.send(os.getpid())
    os.read(gate, 1)


def spawned(announcements):
    announcements.send(os.getpid())
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])


def started(method, target, *args):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(False)
    context.Process(target=target, args=args + (sender,)).start()
    return receiver.recv()


def below_shell():
    command = ["sh", "-c", '"$0" -c "$1"; :', sys.executable, BELOW_SHELL]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    keep.append(shell)
    return int(os.read(shell.stdout.fileno(), 20))


keep = []


def main():
    import truth

    children = {
        "below_shell": below_shell(),
        "spawned": started("spawn", spawned),
        "forked": started("fork", forked, *os.pipe()),
    }
    truth.stay(children=children)


if __name__ == "__main__":
    main()
