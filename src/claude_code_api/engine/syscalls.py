"""Which system calls a jail does without, as the program that the kernel runs at each of them.

The namespaces are the walls; this takes away the tools with which walls are climbed, and what namespaces do not cover:
key rings, and sockets that lead past the network namespace (a virtual machine's own, to its host).
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Sequence
from typing import Final

_EPERM: Final = 1
_ENOSYS: Final = 38
_EAFNOSUPPORT: Final = 97
# What `ioctl` is asked for to type into a terminal.
_TYPES_INTO_A_TERMINAL: Final = (0x5412, 0x541C)
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: in an empty network they lead nowhere, and programs fail without them.
_FAMILIES: Final = (1, 2, 10, 16)

# Of x86-64, then of ARM64. New ones have the same number everywhere.
_REFUSED: Final = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_ONLY_X86: Final = {"ioperm": 173, "iopl": 172, "modify_ldt": 154}
# The machine's name in the kernel, which column above is its, and its `socket` and `ioctl`.
_MACHINES: Final = {
    "x86_64": (0xC000003E, 0, 41, 16),
    "aarch64": (0xC00000B7, 1, 198, 29),
}
# From here on the numbers are those of another way to call the same kernel.
_X32: Final = 0x40000000

_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
_NUMBER_AT: Final = 0
_MACHINE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
_SECOND_ARGUMENT_AT: Final = 24


def knows(machine: str) -> bool:
    """Whether there is a filter for this kind of machine."""
    return machine in _MACHINES


def call_filter(machine: str | None = None) -> bytes:
    """Return the filter as the kernel takes it. Whatever speaks another machine's calls gets none of them."""
    name = machine if machine is not None else platform.machine()
    audit, column, socket, ioctl = _MACHINES[name]
    numbers = sorted(both[column] for both in _REFUSED.values())
    program = [_step(_LOAD, _MACHINE_AT), _step(_IF_EQUAL, audit, 1, 0), _refuse(_ENOSYS), _step(_LOAD, _NUMBER_AT)]
    if name == "x86_64":
        program += [_step(_IF_AT_LEAST, _X32, 0, 1), _refuse(_ENOSYS)]
        numbers = sorted([*numbers, *_ONLY_X86.values()])
    for number in numbers:
        program += [_step(_IF_EQUAL, number, 0, 1), _refuse(_EPERM)]
    program += _only_these(socket, _FIRST_ARGUMENT_AT, _FAMILIES)
    program += _not_these(ioctl, _SECOND_ARGUMENT_AT, _TYPES_INTO_A_TERMINAL)
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _only_these(number: int, argument_at: int, values: Sequence[int]) -> list[bytes]:
    """Judge a call by an argument; the number is loaded again behind it."""
    checks = [_step(_IF_EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
    body = [_step(_LOAD, argument_at), *checks, _refuse(_EAFNOSUPPORT), _step(_LOAD, _NUMBER_AT)]
    return [_step(_IF_EQUAL, number, 0, len(body)), *body]


def _not_these(number: int, argument_at: int, values: Sequence[int]) -> list[bytes]:
    checks = [step for value in values for step in (_step(_IF_EQUAL, value, 0, 1), _refuse(_EPERM))]
    body = [_step(_LOAD, argument_at), *checks]
    return [_step(_IF_EQUAL, number, 0, len(body)), *body]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _REFUSE | error)
