"""Runs a command behind a seccomp filter. Arguments: numbers of system calls with a comma between, the error, the command."""

import ctypes
import os
import struct
import sys

numbers, error = [int(number) for number in sys.argv[1].split(",")], int(sys.argv[2])
# struct sock_filter of linux/filter.h; SECCOMP_RET_ERRNO and SECCOMP_RET_ALLOW of linux/seccomp.h.
load, equal, answer = 0x20, 0x15, 0x06
program = [struct.pack("HBBI", load, 0, 0, 0)]
for at, number in enumerate(numbers):
    program.append(struct.pack("HBBI", equal, len(numbers) - at, 0, number))
program.append(struct.pack("HBBI", answer, 0, 0, 0x7FFF0000))
program.append(struct.pack("HBBI", answer, 0, 0, 0x00050000 | error))
code = ctypes.create_string_buffer(b"".join(program))
filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((38, 1, 0, 0, 0), (22, 2, filter_program, 0, 0)):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
    if libc.prctl(*arguments):
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[3], sys.argv[3:])
