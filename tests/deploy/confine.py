"""Runs a program under the system calls that a profile allows, and nothing else.

usage: confine.py PROFILE PROGRAM [ARGUMENT...]

PROFILE is a JSON file in the form that container engines take. The filter is made by libseccomp, as theirs is. Memory that
was written to cannot become executable either, where the kernel can hold that (Linux 6.3).
Exit status 77: libseccomp is missing.
"""

import ctypes
import json
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


class Argument(ctypes.Structure):
    _fields_ = [
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def load(profile):
    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        sys.exit(77)
    lib.seccomp_init.restype = ctypes.c_void_p
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    context = ctypes.c_void_p(lib.seccomp_init(ERRNO | profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW", rule
        given = rule.get("args", [])
        arguments = (Argument * max(len(given), 1))()
        for place, argument in zip(arguments, given):
            operator = OPERATORS[argument["op"]]
            place.index, place.operator = argument["index"], operator
            place.a, place.b = argument["value"], argument.get("valueTwo", 0)
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            # A call of another processor only.
            if number < 0:
                continue
            done = lib.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(given), arguments)
            assert done == 0, (name, done)
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    assert lib.seccomp_load(context) == 0


load(json.load(open(sys.argv[1])))
os.execvp(sys.argv[2], sys.argv[2:])
