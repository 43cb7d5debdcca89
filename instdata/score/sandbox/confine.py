"""What confines a process of the sandbox, from the inside: namespaces of its own, limits, an allow list of system
calls.

Runs in the sandbox (launch.py sends its text), so it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from typing import Any

# System calls that programs may make: their numbers on x86_64 and aarch64 (None where there is none). What changes the
# owner, mode, times or attributes of files, priorities, processors, other processes, users or mounts is not among them.
ALLOWED = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287),
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436), "stat": (4, None),
    "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291), "fstatfs": (138, 44),
    "statfs": (137, 43), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "mremap": (25, 216), "madvise": (28, 233), "brk": (12, 214), "msync": (26, 227), "mincore": (27, 232),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "ioctl": (16, 29),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "pipe": (22, None), "pipe2": (293, 59),
    "select": (23, None), "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441), "eventfd": (284, None), "eventfd2": (290, 19), "timerfd_create": (283, 85),
    "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87), "signalfd": (282, None), "signalfd4": (289, 74),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "times": (100, 153), "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None), "pause": (34, None),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getresuid": (118, 148), "getresgid": (120, 150),
    "getgroups": (115, 158), "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156),
    "getrusage": (98, 165), "getrlimit": (97, 163), "uname": (63, 160), "sysinfo": (99, 179), "getcpu": (309, 168),
    "getpriority": (140, 141), "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98),
    "futex_waitv": (449, 449), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
    "set_tid_address": (218, 96), "rseq": (334, 293), "restart_syscall": (219, 128), "membarrier": (324, 283),
    "arch_prctl": (158, None), "wait4": (61, 260), "waitid": (247, 95), "fcntl": (72, 25), "flock": (73, 32),
    "fsync": (74, 82), "fdatasync": (75, 83), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fadvise64": (221, 223), "sync_file_range": (277, 84), "copy_file_range": (326, 285), "sendfile": (40, 71),
    "splice": (275, 76), "tee": (276, 77), "getdents": (78, None), "getdents64": (217, 61), "getcwd": (79, 17),
    "chdir": (80, 49), "fchdir": (81, 50), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "creat": (85, None), "link": (86, None),
    "linkat": (265, 37), "unlink": (87, None), "unlinkat": (263, 35), "symlink": (88, None), "symlinkat": (266, 36),
    "readlink": (89, None), "readlinkat": (267, 78), "umask": (95, 166), "socketpair": (53, 199),
    "sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212), "shutdown": (48, 210),
    "getsockopt": (55, 209), "getsockname": (51, 204), "getpeername": (52, 205), "getrandom": (318, 278),
}  # fmt: skip
CLONE, CLONE3, KILL, TGKILL, PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
PIVOT_ROOT, MOUNT_SETATTR, CAPSET = (155, 41), (442, 442), (126, 91)
CLONE_THREAD = 0x00010000
NEW = 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000  # user, pid, net, mount, ipc, uts
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
NOBODY = 65534
HOME = "/tmp"  # noqa: S108 (the sandbox's own, empty and small)
STACK = 64 << 20
DEVICES = ("null", "zero", "random", "urandom")


class Unconfined(Exception):
    """This machine does not give what a sandbox needs."""


def libraries() -> list[str]:
    """Folders and files that Python reads its standard library and shared libraries from. Not sys.path: what starts the
    sandbox has its working folder there, with whatever lies in it."""
    wanted = [
        os.path.dirname(os.__file__),
        os.path.join(sys.base_prefix, "lib"),
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
    ]
    wanted.append(os.path.join(sys.base_exec_prefix, sys.platlibdir))
    found = [os.path.abspath(p) for p in [*wanted, "/usr/share/zoneinfo", "/etc/localtime"] if p and os.path.exists(p)]
    kept: list[str] = []
    for path in sorted(set(found), key=len):
        if not any(path.startswith(k + "/") for k in kept):
            kept.append(path)
    return kept


def own_namespaces(folder: str, disk_bytes: int) -> None:
    """Go on in namespaces of one's own (user, PID, mount, network, IPC, host name), as process 2 of them, in a root
    that is a tmpfs of `disk_bytes` with the interpreter's libraries, read-only, and nothing else. Returns in that
    process alone: the calling one waits for it and ends as it does. Raises Unconfined, in the calling process, where
    the kernel gives no namespaces; in the new one where it gives them without power over mounts.

    `folder`: an empty folder to mount the root on."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(NEW):
        raise Unconfined(f"this system gives no namespaces of one's own ({os.strerror(ctypes.get_errno())})")
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as e:
        raise Unconfined(f"user namespaces cannot be set up here ({e.strerror})") from e
    die_with_parent(libc)
    first = os.fork()  # process 1 of the new namespace: when it ends, the kernel ends all of them
    if first:
        _follow(first)
    die_with_parent(libc)
    second = os.fork()  # not process 1 itself, which signals do not end
    if second:
        _follow(second)
    die_with_parent(libc)
    _new_root(libc, folder, disk_bytes)


def die_with_parent(libc: ctypes.CDLL) -> None:
    """SIGKILL when the parent ends: nothing outlives the harness."""
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)


def _follow(child: int) -> None:
    """Wait for a child holding no pipe, and end as it ended: 128 + the signal."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3, 64):
        if descriptor != null:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _new_root(libc: ctypes.CDLL, folder: str, disk_bytes: int) -> None:
    """Make `folder` the root: a tmpfs, libraries and four devices bound into it."""
    column = ARCHES[os.uname().machine][0] if os.uname().machine in ARCHES else 0

    def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
        words = [w and w.encode() for w in (source, target, kind)]
        if libc.mount(*words, ctypes.c_ulong(flags), data and data.encode()):
            raise Unconfined(f"mounting {target} is not allowed here ({os.strerror(ctypes.get_errno())})")

    mount(None, "/", None, REC | PRIVATE)
    mount("sandbox", folder, "tmpfs", NOSUID | NODEV, _bounds(disk_bytes))
    for path in [*libraries(), *(f"/dev/{name}" for name in DEVICES)]:
        target = folder + path
        if os.path.islink(path) and os.path.isdir(path) and path.count("/") == 1:  # /lib -> usr/lib
            os.symlink(os.readlink(path), target)
            continue
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
        mount(path, target, None, BIND | REC)
        if path.startswith("/dev/"):
            continue
        attributes = struct.pack("QQQQ", RDONLY | NOSUID | NODEV, 0, 0, 0)
        if libc.syscall(MOUNT_SETATTR[column], -100, target.encode(), 0x8000, attributes, len(attributes)):
            flags = os.statvfs(target).f_flag & (RDONLY | NOSUID | NODEV | 8 | 1024 | 2048)  # what is locked stays
            mount(None, target, None, BIND | REMOUNT | RDONLY | NOSUID | flags)
    os.makedirs(folder + HOME, exist_ok=True)
    os.chdir(folder)
    if libc.syscall(PIVOT_ROOT[column], b".", b".") or libc.umount2(b".", 2):
        raise Unconfined(f"the root cannot be changed here ({os.strerror(ctypes.get_errno())})")
    os.chdir(HOME)


def _bounds(disk_bytes: int) -> str:
    """What a tmpfs may hold: bytes, and files, whose inodes are memory too."""
    return f"size={disk_bytes},nr_inodes=4096,mode=755"


def bounded_home(libc: ctypes.CDLL, disk_bytes: int) -> None:
    """A tmpfs over bubblewrap's own, which knows no bound of the number of files. The power to mount it is bubblewrap's
    gift and is given up right after."""
    if libc.mount(b"sandbox", HOME.encode(), b"tmpfs", ctypes.c_ulong(NOSUID | NODEV), _bounds(disk_bytes).encode()):
        raise Unconfined(f"mounting {HOME} is not allowed in bubblewrap here ({os.strerror(ctypes.get_errno())})")
    os.chdir(HOME)


def give_up_power(libc: ctypes.CDLL) -> None:
    """No capabilities, none to come."""
    column = ARCHES[os.uname().machine][0] if os.uname().machine in ARCHES else 0
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    libc.syscall(CAPSET[column], struct.pack("Ii", 0x20080522, 0), bytes(24))


def limit(seconds: int, memory_mb: int, disk_mb: int) -> bool:
    """Resource limits, soft and hard; whether memory, processor time and file size are bounded."""
    memory = (memory_mb << 20) + STACK
    if os.path.exists("/proc/self/statm"):  # the interpreter is not the candidate's
        with open("/proc/self/statm") as file:
            memory += int(file.read().split()[0]) * resource.getpagesize()
    else:
        memory += 64 << 20
    wanted = {"AS": memory, "CPU": seconds + 2, "FSIZE": disk_mb << 20, "NOFILE": 64, "CORE": 0, "STACK": STACK,
        "NPROC": 64, "MEMLOCK": 0}  # fmt: skip
    if sys.platform != "linux" or not _counts_by_namespace():
        del wanted["NPROC"]  # the user's other processes would count
    held = set()
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
            held.add(name)
        except (ValueError, OSError):
            pass
    return {"AS", "CPU", "FSIZE"} <= held


def _counts_by_namespace() -> bool:
    """Whether the kernel counts a user namespace's processes apart (Linux 5.14)."""
    major, minor = (int("".join(c for c in part if c.isdigit()) or 0) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (5, 14) and os.getpid() < 10


def seccomp(libc: ctypes.CDLL) -> bool:
    """System calls that are not on the list fail: EPERM, or ENOSYS where libc has another way. False where the machine
    is of another kind or the filter was not taken."""
    machine = ARCHES.get(os.uname().machine)
    if machine is None or libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        return False
    column, arch = machine
    load, equal, above, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, deny, unknown = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

    def only_if(call: tuple[int, int], argument: int, jump: int, value: int) -> list[tuple[int, int, int, int]]:
        """Call number `call` goes through where the low half of an argument passes a test."""
        return [
            (equal, 0, 4, call[column]), (load, 0, 0, 16 + 8 * argument), (jump, 0, 1, value), (give, 0, 0, allow),
            (give, 0, 0, deny),
        ]  # fmt: skip

    program = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, deny), (load, 0, 0, 0)]
    if column == 0:
        program += [(above, 0, 1, 0x40000000), (give, 0, 0, unknown)]  # x32: the same calls under other numbers
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            program += [(equal, 0, 1, number), (give, 0, 0, allow)]
    program += [(equal, 0, 1, CLONE3[column]), (give, 0, 0, unknown)]  # its flags cannot be read; libc has clone
    program += only_if(CLONE, 0, any_bit, CLONE_THREAD)
    for call in (KILL, TGKILL):
        program += only_if(call, 0, equal, os.getpid())
    program += only_if(PRLIMIT, 2, equal, 0)
    program.append((give, 0, 0, deny))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    return libc.prctl(22, 2, head, 0, 0) == 0


def confine(order: dict[str, Any]) -> list[str]:
    """Put on every protection of the order's way; the words for those that hold. Raises Unconfined where one that the
    way needs does not hold: namespaces are made here (`own`), or were before this process began (`bwrap`, `docker`)."""
    way, held = order["way"], []
    if way == "own":
        own_namespaces(order["folder"], order["disk_mb"] << 20)
    if way != "none":
        held.append("namespaces")
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and way != "own":
        die_with_parent(libc)
    if way == "bwrap":
        bounded_home(libc, order["disk_mb"] << 20)
    if limit(order["seconds"], order["memory_mb"], order["disk_mb"]):
        held.append("limits")
    if sys.platform == "linux":
        if way != "none":
            give_up_power(libc)
        if seccomp(libc):
            held.append("seccomp")
    if way != "none" and not {"limits", "seccomp"} <= set(held):
        raise Unconfined("limits or the filter of system calls do not hold on this system")
    return held
