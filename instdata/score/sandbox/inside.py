"""What runs inside the sandbox: confine this process, run the candidate's code, then the tests, then say so.

sandbox.py starts this file's text with `python -c` in an empty environment; it imports nothing but the standard library, and
nothing imports it. The harness' nonce arrives on the channel and stays in `main`'s locals. Code and tests run in threads of
their own, whose stack of frames does not lead there; what could look for it elsewhere (ctypes, gc, other threads' frames) is
refused by an audit hook, which cannot be removed. Only `main` writes the nonce, after the tests.
"""

import _thread
import builtins
import ctypes
import errno
import json
import os
import resource
import socket
import struct
import sys
import types
from time import sleep

# Denied system calls, by name: their numbers on x86_64 and aarch64 (None where there is none).
DENIED = {
    "socket": (41, 198), "connect": (42, 203), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "setsid": (112, 157), "setpgid": (109, 154), "setrlimit": (160, 164),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51), "pivot_root": (155, 41), "setns": (308, 268),
    "unshare": (272, 97), "bpf": (321, 280), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "open_by_handle_at": (304, 265),
}  # fmt: skip
CLONE, CLONE3, KILL, TGKILL, PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
LANDLOCK = (444, 445, 446)  # create_ruleset, add_rule, restrict_self: the same everywhere
CLONE_THREAD, NEW_USER_AND_NET = 0x00010000, 0x10000000 | 0x40000000
# Bits of Landlock's access rights: READ_FILE, READ_DIR, EXECUTE (for shared libraries); WRITE_FILE, TRUNCATE; what a folder of
# one's own allows (make and remove files, folders and links, but no devices, sockets or programs).
READ, WRITE = 1 << 2 | 1 << 3 | 1 << 0, 1 << 1 | 1 << 14
OWN = READ & ~1 | WRITE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13
# What Python itself refuses, also where the kernel helps with nothing: other processes, the network, looking into itself.
REFUSED = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.kill", "os.killpg", "pty.spawn", "subprocess.Popen",
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostby", "ctypes.", "gc.get_",
    "sys._current_frames", "sys._current_exceptions", "signal.pthread_kill", "syslog.", "webbrowser.", "urllib.Request", "os.chroot",
)  # fmt: skip
WRITES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "shutil.rmtree",
)


def main(channel):
    """Read the order, confine, load the code, run the tests, report. Each report bears the nonce."""
    write, read = os.write, channel.makefile("r", encoding="utf-8").readline
    order = json.loads(read())
    nonce, fd = order["nonce"], channel.fileno()

    def report(message):
        data = (json.dumps({"nonce": nonce, **message}) + "\n").encode()
        while data:
            data = data[write(fd, data) :]

    watched = [builtins] + [m for m in (_import(name) for name in order["imports"]) if m]
    enforced = confine(order)
    before = [_attributes(m) for m in watched]
    report({"confined": enforced})
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for part, after in (("code", "loaded"), ("tests", "passed")):
        # The tests arrive once the code has run: it cannot read them.
        source = order["code"] if part == "code" else json.loads(read())["tests"]
        problem = _apart(source, f"<{part}>", vars(module))
        if problem is None and _thread._count():
            problem = "it left threads running"
        changed = [m.__name__ for m, was in zip(watched, before) if _changed(m, was)]
        if problem is None and changed:
            problem = f"it changed the module {changed[0]}"
        report({"failed": problem} if problem else {after: True})
        if problem:
            break
    os._exit(0)


def _apart(source, name, namespace):
    """Run source in a thread of its own; None, or what went wrong. The thread's function has its own globals, so that
    frames lead to nothing of ours."""
    lock, outcome = _thread.allocate_lock(), []
    run = types.FunctionType(_run.__code__, {"__builtins__": dict(vars(builtins))})
    lock.acquire()
    _thread.stack_size(STACK)
    _thread.start_new_thread(run, (source, name, namespace, outcome, lock))
    _thread.stack_size(1 << 20)  # for threads that the source starts
    lock.acquire()
    for _ in range(200):  # the thread that released the lock is about to end
        if not _thread._count():
            break
        sleep(0.001)
    return outcome[0] if outcome else "it ended before its time"


def _run(source, name, namespace, outcome, lock):
    try:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102
        outcome.append(None)
    except BaseException as error:
        line, trace = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None, error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == name else line
            trace = trace.tb_next
        text = str(error)[:200] if type(error).__module__ == "builtins" else ""
        outcome.append(f"{type(error).__name__[:50]}{': ' + text if text else ''} ({name[1:-1]}, line {line})")
    finally:
        lock.release()


def _import(name):
    try:
        return __import__(name)
    except Exception:
        return None


def _attributes(module):
    """What a module holds, and what its own classes hold."""
    if module is sys:
        return {}
    held = dict(vars(module))
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__:
            held.update((f"{name}.{k}", v) for k, v in vars(value).items() if not k.startswith("_abc_"))
    return held


def _changed(module, was):
    """Whether anything that was there is another thing now. (Submodules and lazy attributes may have come.)"""
    now = _attributes(module)
    return any(now.get(k) is not v for k, v in was.items())


# ---- confinement


def confine(order):
    """Every protection that this machine gives, in the order in which they can be put on; the words for those that hold."""
    libc = ctypes.CDLL(None, use_errno=True)
    linux = sys.platform == "linux"
    if linux:
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: this process does not outlive the harness
    held = []
    if linux and libc.unshare(NEW_USER_AND_NET) == 0:  # a network without interfaces; no power over what is outside
        held.append("namespace")
    held += limit(order, linux, bool(held))
    sys.path[:] = [p for p in sys.path if p]
    if linux and libc.prctl(38, 1, 0, 0, 0) == 0:  # PR_SET_NO_NEW_PRIVS: the next two need it
        held += ["landlock"] if landlock(libc, order["folder"]) else []
        held += ["seccomp"] if seccomp(libc) else []
    for name in ("ctypes", "_ctypes", "ctypes._endian"):
        sys.modules[name] = None
    _import("_posixsubprocess").fork_exec = _refuse  # subprocess is audited, this is not
    sys.addaudithook(_guard(os.path.realpath(order["folder"]), [os.path.realpath(p) for p in _libraries()]))
    return [*held, "audit"]


def _refuse(*_):
    raise PermissionError("other processes are not allowed here")


def limit(order, linux, spaced):
    """Resource limits, soft and hard. `spaced`: this process has a user namespace of its own."""
    megabyte = 1 << 20
    memory = order["memory_mb"] * megabyte
    if linux:  # the interpreter and a thread's stack are not the candidate's
        with open("/proc/self/statm") as file:
            memory += int(file.read().split()[0]) * resource.getpagesize() + STACK
    wanted = {
        "AS": memory, "CPU": order["seconds"] + 2, "FSIZE": order["file_mb"] * megabyte, "NOFILE": 64, "CORE": 0, "STACK": None,
        # Only since 5.14 are processes counted by namespace; before, the user's others would count.
        "NPROC": 64 if spaced and _kernel() >= (5, 14) else None, "MEMLOCK": 0,
    }  # fmt: skip
    held = []
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None or value is None:
            continue
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
            held.append(name.lower())
        except (ValueError, OSError):
            pass
    return ["limits"] if {"as", "cpu", "fsize"} <= set(held) else []


STACK = 64 << 20


def _kernel():
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in os.uname().release.split(".")[:2])


def _libraries():
    """Folders that Python reads its modules and shared libraries from."""
    return [
        *sys.path,
        os.path.join(sys.base_prefix, "lib"),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/share/zoneinfo",
    ]


def landlock(libc, folder):
    """Read the standard library and shared libraries, write in one folder, no TCP (from ABI 4), no signals to others (from
    ABI 6). False where the kernel has no Landlock."""
    abi = libc.syscall(LANDLOCK[0], None, 0, 1)
    if abi < 1:
        return False
    bits = 13 if abi == 1 else 14 if abi == 2 else 15 if abi < 5 else 16
    handled = (1 << bits) - 1
    parts = [handled, *([3] if abi >= 4 else []), *([3] if abi >= 6 else [])]  # files, TCP (bind, connect), scopes
    attributes = struct.pack(f"{len(parts)}Q", *parts)
    ruleset = libc.syscall(LANDLOCK[0], attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    rules = [(p, READ) for p in _libraries()] + [
        (p, 1 << 2) for p in ("/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero")
    ]
    for path, access in [*rules, ("/dev/null", 1 << 2 | WRITE), (folder, OWN)]:
        try:
            at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            access &= 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14
        rule = struct.pack("=Qi", access & handled, at)
        libc.syscall(LANDLOCK[1], ruleset, 1, rule, 0)
        os.close(at)
    done = libc.syscall(LANDLOCK[2], ruleset, 0) == 0
    os.close(ruleset)
    return done


def seccomp(libc):
    """System calls for other processes, sockets, other programs and the kernel's machinery fail. False where the machine is
    of another kind or the filter does not hold."""
    machine = ARCHES.get(os.uname().machine)
    if machine is None:
        return False
    column, arch = machine
    load, equal, above, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, deny, unknown = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

    def only_if(call, argument, jump, value):
        """Call number `call` goes through where the low half of an argument passes a test."""
        return [
            (equal, 0, 4, call[column]), (load, 0, 0, 16 + 8 * argument), (jump, 0, 1, value), (give, 0, 0, allow), (give, 0, 0, deny),
        ]  # fmt: skip

    program = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, deny), (load, 0, 0, 0)]
    if column == 0:
        program += [(above, 0, 1, 0x40000000), (give, 0, 0, unknown)]  # x32: the same calls under other numbers
    program += [
        (equal, 0, 1, CLONE3[column]),
        (give, 0, 0, unknown),
    ]  # its flags cannot be read; libc falls back to clone
    for numbers in DENIED.values():
        if numbers[column] is not None:
            program += [(equal, 0, 1, numbers[column]), (give, 0, 0, deny)]
    program += only_if(CLONE, 0, any_bit, CLONE_THREAD)
    program += only_if(KILL, 0, equal, os.getpid()) + only_if(TGKILL, 0, equal, os.getpid())
    program += only_if(PRLIMIT, 2, equal, 0)
    program.append((give, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = struct.pack("HxxxxxxQ" if struct.calcsize("P") == 8 else "HxxI", len(program), ctypes.addressof(code))
    if libc.prctl(22, 2, head, 0, 0) != 0:
        return False
    try:
        socket.socket().close()
    except OSError:
        return True
    return False


def _guard(folder, libraries):
    """The audit hook. Reading and writing by name is checked here too, for machines without Landlock."""

    def inside(path, folders):
        if not isinstance(path, (str, bytes)):
            return True  # a descriptor that is open already
        path = realpath(fsdecode(path))
        return any(path == f or path.startswith(f + "/") for f in folders)

    realpath, fsdecode, refused, writes = os.path.realpath, os.fsdecode, REFUSED, WRITES
    free = [*libraries, "/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"]
    changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def guard(event, args):
        if event.startswith(refused):
            raise PermissionError(f"{event} is not allowed here")
        if event == "open" and args[0] is not None:
            writing = bool(args[2] & changes) if isinstance(args[2], int) else True
            if not inside(args[0], [folder, "/dev/null"] if writing else [folder, *free]):
                raise PermissionError("this file is out of bounds")
        elif event in ("os.listdir", "os.scandir") and not inside(args[0] or ".", [folder, *free]):
            raise PermissionError("this folder is out of bounds")
        elif event in writes and not all(inside(a, [folder]) for a in args[:2] if isinstance(a, (str, bytes))):
            raise PermissionError("this file is out of bounds")

    return guard


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
