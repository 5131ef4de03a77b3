"""Processes that open models: what they may take, and what they are kept from.

    python -m engine.models.confined LIMITS MODULE [ARGUMENT...]

sets LIMITS, JSON of `Limits` and the parent's process id, to itself and then runs MODULE. It
starts no thread and imports nothing of ours before, as the system demands of who leaves a
namespace.

memory      RLIMIT_DATA, of each process: private memory that can be written, threads' stacks too
time        RLIMIT_CPU, of each process; the wall clock is its parent's to watch
files       RLIMIT_FSIZE: no file larger than its memory; RLIMIT_CORE: no core files
network     a namespace without any, where the system lets a user have one
processes   RLIMIT_NPROC there, and a process namespace, which ends with the model: what it
            forked does not outlive it
parent      ends with it, PR_SET_PDEATHSIG
environment only what PASSED and PASSED_PREFIXES name

It does not hide files: a model that runs code reads what the server's user may read.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any

MODULE = "engine.models.confined"
ROOT = Path(__file__).parent.parent.parent
MOST_PROCESSES = 512
"""Processes and threads; the compiler takes up to 16 at once, and libraries some for each core."""
PROBE_S, PROBE_AGAIN_S = 10.0, 60.0
LOOK_EVERY_S = 0.02

PASSED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "CPATH", "CC", "CXX"),
    }
)
PASSED_PREFIXES = ("LC_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "MALLOC_", "CUDA_")

CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CAPABILITY_VERSION_3 = 0x20080522
OWN_COUNT_SINCE = (5, 14)
"""Linux counts RLIMIT_NPROC by user namespace since; before, by user on the whole machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """memory_bytes, cpu_s: of each process; cpu_s 0 is no limit.

    own_processes: a process namespace of its own. The child is then another process, whose
    parent is the one that was started.
    """

    memory_bytes: int
    cpu_s: int = 0
    own_processes: bool = True


@dataclass(frozen=True, slots=True)
class Confinement:
    """What this system allowed beside memory, time, files and environment."""

    network: bool = False
    processes: bool = False

    @property
    def words(self) -> str:
        network = "without network" if self.network else "with the server's network"
        own = "a process namespace" if self.processes else "the server's process namespace"
        return f"models are opened {network}, in {own}"


def command(limits: Limits, module: str, *arguments: str) -> list[str]:
    """What starts MODULE confined, as a child of this process."""
    told = json.dumps(asdict(limits) | {"parent": os.getpid()})
    return [sys.executable, "-m", MODULE, told, module, *arguments]


def passed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a confined process sees: no secret is in it."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED or name.startswith(PASSED_PREFIXES)
    }


def start(
    limits: Limits, module: str, stdin: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    """MODULE, confined, in a session of its own, so that `end` ends what it has forked too.

    stdin, stderr: files, not pipes: what it left behind may hold a pipe open for ever.
    """
    return subprocess.Popen(
        command(limits, module),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=ROOT,
        env=passed_environment(os.environ),
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes]) -> None:
    """End a child of `start` that nobody has waited for, its own children, and its group.

    The first process of a namespace takes all of that with it, whatever group it made for itself.
    """
    for process_id in _children_of(child.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def finish(child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The status a child of `start` ends with; None where it had to be ended after timeout_s.

    Its group ends with it, before the child's id is free for others.
    """
    until_s = time.monotonic() + timeout_s
    in_time = True
    while in_time and not _has_ended(child.pid):
        time.sleep(LOOK_EVERY_S)
        in_time = time.monotonic() < until_s
    if child.returncode is None:
        end(child)
    status = child.wait()
    return status if in_time else None


def _children_of(process_id: int) -> list[int]:
    """Its children's ids; none where the system does not tell."""
    try:
        text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _has_ended(process_id: int) -> bool:
    """Whether it has; its status stays to be fetched."""
    try:
        return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # fetched already
        return True


def allowed(monotonic: Callable[[], float] = time.monotonic) -> Confinement:
    """What this system allows, found out by a child that tries it. Takes about 50 ms once.

    What a child has found holds for this process' life. Where none could tell, for want of a
    process or of time, another is asked after PROBE_AGAIN_S; till then it is said to be nothing.
    """
    return _allowed_in(int(monotonic() // PROBE_AGAIN_S))


@lru_cache(maxsize=1)
def _allowed_in(_: int) -> Confinement:
    """One stretch of PROBE_AGAIN_S."""
    try:
        return _probed()
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return Confinement()


@cache
def _probed() -> Confinement:
    """A child's finding. Raises where there is none: that is not kept."""
    told = subprocess.run(
        command(Limits(memory_bytes=1 << 30), "probe"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env=passed_environment(os.environ),
        timeout=PROBE_S,
        check=True,
    ).stdout
    return Confinement(**json.loads(told))


# in the child


def confine(limits: Limits, parent: int) -> Confinement:
    """Confine this process, which has one thread. Returns in a fork where that has its own ids."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = _leave_namespaces(libc, limits.own_processes)
    _end_with_parent(libc, parent)
    if found.processes:
        _go_on_in_a_fork()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if found.network:
        _give_up_capabilities(libc)
        if _kernel() >= OWN_COUNT_SINCE:
            _lower(resource.RLIMIT_NPROC, MOST_PROCESSES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.memory_bytes)
    if limits.cpu_s:
        _lower(resource.RLIMIT_CPU, limits.cpu_s)
    return found


def _leave_namespaces(libc: Any, own_processes: bool) -> Confinement:
    """A user namespace with an empty network, and one of processes, as far as is allowed."""
    user, group = os.getuid(), os.getgid()
    wanted = Confinement(network=True, processes=own_processes)
    for attempt in (wanted, replace(wanted, processes=False)):
        flags = CLONE_NEWUSER | CLONE_NEWNET | (CLONE_NEWPID if attempt.processes else 0)
        if libc.unshare(flags) == 0:
            maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1"}
            for name, content in (maps | {"gid_map": f"{group} {group} 1"}).items():
                # Without a map the ids merely look foreign; files are this user's all the same.
                with contextlib.suppress(OSError):
                    Path("/proc/self", name).write_text(content)
            return attempt
    return Confinement()


def _end_with_parent(libc: Any, parent: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before that was set
        os._exit(1)


def _go_on_in_a_fork() -> None:
    """Return in a child, the first process of the new namespace; end here with its status."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)


def _give_up_capabilities(libc: Any) -> None:
    """All that a user has in his own namespace: with them he could make others."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def _lower(limit: int, value: int) -> None:
    """Set a limit where it is not lower already."""
    _, hard = resource.getrlimit(limit)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (lowest, lowest))


def _kernel() -> tuple[int, ...]:
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(part) for part in numbers if part.isdigit())


# its parent's words for its end


def how_it_ended(code: int, limits: Limits) -> str:
    """An exit status, the words for what most likely led to it."""
    number = -code if code < 0 else code - 128
    if number <= 0:
        return f"exit status {code}"
    memory = f"{limits.memory_bytes / 1e6:,.0f} MB of memory"
    if number == signal.SIGKILL:
        return f"ended by the system: over its {limits.cpu_s} s of processor time, or out of memory"
    if number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
        name = signal.Signals(number).name
        return f"ended by {name}: over its {memory}, or a fault in a library"
    if number == signal.SIGXFSZ:
        return f"ended by SIGXFSZ: a file over {limits.memory_bytes / 1e6:,.0f} MB"
    return f"ended by signal {number}"


def main() -> None:
    """Entry of the child: see the module's docstring."""
    told = json.loads(sys.argv[1])
    parent = int(told.pop("parent"))
    found = confine(Limits(**told), parent)
    module, sys.argv = sys.argv[2], sys.argv[2:]
    if module == "probe":
        print(json.dumps(asdict(found)))
        return
    import runpy  # the server, which imports this too, has no use for it

    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
