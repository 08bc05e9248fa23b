"""Runs a command behind a seccomp filter that looks at arguments. The first argument has the rules, with a comma between, each
`call:argument:mask:value:error`: that system call fails with the error where that argument, masked, is the value; always with a mask
and value of 0."""

import ctypes
import os
import struct
import sys

rules = [[int(number, 0) for number in rule.split(":")] for rule in sys.argv[1].split(",")]
# struct sock_filter of linux/filter.h; struct seccomp_data has the number first, the arguments from 16 on.
load, equal, masked, answer = 0x20, 0x15, 0x54, 0x06
program = []


def instruction(code, value, unequal=0):
    program.append(struct.pack("HBBI", code, 0, unequal, value))


for call, argument, mask, value, error in rules:
    instruction(load, 0)
    instruction(equal, call, 4)
    instruction(load, 16 + 8 * argument)
    instruction(masked, mask)
    instruction(equal, value, 1)
    instruction(answer, 0x00050000 | error)
instruction(answer, 0x7FFF0000)
code = ctypes.create_string_buffer(b"".join(program))
filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((38, 1, 0, 0, 0), (22, 2, filter_program, 0, 0)):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
    if libc.prctl(*arguments):
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
