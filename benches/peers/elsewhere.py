#!/usr/bin/env python3
"""Runs a command as if it stood on another machine: it takes only what nobody else wants of the processors, who wakes up
does not wait for it, and it takes nobody's place when it wakes up itself.

    elsewhere.py COMMAND [ARGUMENT ..]
"""

import ctypes
import os
import platform
import struct
import sys

LOWEST = 19
#: The longest there is: who computes keeps its processor for a slice, unless who wakes up has a shorter one (Linux 6.12).
SLICE_NS = 100_000_000
SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


def leave():
    """Puts the calling process there, and what it starts from now on."""
    attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_BATCH, 0, LOWEST, 0, SLICE_NS, 0, 0)
    if ctypes.CDLL(None).syscall(SYS_SCHED_SETATTR[platform.machine()], 0, attributes, 0) != 0:
        raise SystemExit("the kernel does not let a process give way")


if __name__ == "__main__":
    leave()
    os.execvp(sys.argv[1], sys.argv[1:])
