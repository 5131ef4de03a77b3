"""Real hostile artefacts, opened by the child that plans: each ends at its limit, and says why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from app.cli import forget_secrets
from engine.errors import ModelFailed, Untrusted
from engine.models import confined
from engine.models import plan_store as store
from engine.models.confined import Confinement, Limits
from engine.models.plan_store import PlanStore
from engine.models.repository import read_version
from engine.models.trust import TrustFile
from tests.waiting import until

DECLARED = '[[inputs]]\nname = "input"\nshape = [-1, 2]\n'
HOSTILE = """
import os, pathlib, socket, subprocess, sys, time
class Model:
    def load(self, folder):
        {body}
    def predict(self, inputs):
        return inputs["input"].sum(axis=1)
"""
GOOD = "self.folder = folder"


class Made(NamedTuple):
    """A model whose load does what a test wants, in a store of plans."""

    plan: Callable[[], object]
    said: Path


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        body: str, *, timeout_s: float = 60, memory_bytes: int = 1 << 30, trusted: bool = True
    ) -> Made:
        folder, said = tmp_path / "models/m/1", tmp_path / "said"
        folder.mkdir(parents=True)
        (folder.parent / "model.toml").write_text(DECLARED)
        body = body.replace("SAID", repr(str(said))).replace("\n", "\n        ")
        (folder / "model.py").write_text(HOSTILE.format(body=body))
        trust = TrustFile(tmp_path / "trusted.sha256")
        if trusted:
            trust.add(folder / "model.py")
        plans = PlanStore(tmp_path / "state", 1e-5, timeout_s, trust, memory_bytes)
        entry = read_version(folder.parent, "1")
        return Made(lambda: plans.make(entry, lambda child: None), said)

    return made


def of_this_system() -> Confinement:
    return confined.allowed()


needs_network_limit = pytest.mark.skipif(
    not of_this_system().network, reason="this system lets no user have a namespace"
)
needs_processes = pytest.mark.skipif(
    not of_this_system().processes, reason="this system lets no user have a process namespace"
)


def test_a_model_that_behaves_is_planned_confined(make: Make) -> None:
    assert make(GOOD).plan() is not None


def test_a_model_that_sleeps_for_ever_is_ended_at_the_time_limit(make: Make) -> None:
    began_s = time.monotonic()
    with pytest.raises(ModelFailed, match=r"took over 3 s \(compile_timeout_s\)"):
        make("time.sleep(1e9)", timeout_s=3).plan()
    assert time.monotonic() - began_s < 15


def test_a_model_that_wants_ten_gigabytes_fails_with_the_limit(make: Make) -> None:
    with pytest.raises(ModelFailed, match=r"MemoryError.*compile_memory_bytes"):
        make("self.hoard = bytearray(10_000_000_000)").plan()


def test_a_process_that_it_starts_has_the_same_memory_limit(make: Make) -> None:
    code = "bytearray(10_000_000_000)"
    body = f"done = subprocess.run([sys.executable, '-c', {code!r}])\nassert done.returncode == 0"
    with pytest.raises(ModelFailed, match="AssertionError"):
        make(body).plan()


@needs_network_limit
def test_a_model_that_opens_a_connection_is_refused(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with pytest.raises(ModelFailed, match=r"OSError.*unreachable"):
            make(f"socket.create_connection({address!r}, 5)").plan()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("ends", ["time.sleep(1e9)", "pass"], ids=["hanging", "ending"])
@needs_processes
def test_what_a_model_forks_ends_with_it_even_in_a_session_of_its_own(
    make: Make, ends: str, tmp_path: Path
) -> None:
    marker = f"import time; time.sleep(1e9)  # {tmp_path}"
    start = f"subprocess.Popen([sys.executable, '-c', {marker!r}], start_new_session=True)"
    made = make(f"{start}\n{ends}", timeout_s=4 if "sleep" in ends else 60)
    if "sleep" in ends:
        with pytest.raises(ModelFailed, match="took over"):
            made.plan()
    else:
        made.plan()
    until(lambda: not running_with(str(tmp_path)), 10, "no process of the model is left")


def running_with(text: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if text in command and "time.sleep(1e9)" in command:
            found.append(process)
    return found


def test_a_grandchild_in_its_group_ends_where_there_is_no_namespace(tmp_path: Path) -> None:
    """The group is ended too: what a system without namespaces still has."""
    code = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1e9)  # {tmp_path}'])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    assert confined.finish(child, 30) == 0
    until(lambda: not running_with(str(tmp_path)), 10, "the grandchild is gone")


def test_the_child_ends_with_the_server(tmp_path: Path) -> None:
    """A server that is killed leaves no child that compiles for ever."""
    marker = str(tmp_path / "marker")
    (tmp_path / "sleeper.py").write_text(f"import time; open({marker!r}, 'w'); time.sleep(1e9)")
    code = (
        "import subprocess, time; from engine.models import confined; "
        "subprocess.Popen(confined.command(confined.Limits(1 << 30), 'sleeper')); time.sleep(1e9)"
    )
    environ = os.environ | {"PYTHONPATH": f"{confined.ROOT}{os.pathsep}{tmp_path}"}
    server = subprocess.Popen([sys.executable, "-c", code], env=environ, cwd=confined.ROOT)
    until(lambda: os.path.exists(marker), 20, "the child runs")
    children = psutil.Process(server.pid).children(recursive=True)
    assert children
    server.send_signal(signal.SIGKILL)
    server.wait(10)
    until(lambda: not any(c.is_running() for c in children), 10, "its children end")


def test_a_model_sees_no_secret_in_its_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYROMETER_API_KEY", "PYROMETER_ALERT_WEBHOOK", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2-hunter2-hunter2")
    made = make("pathlib.Path(SAID).write_text(repr(dict(os.environ)))")
    made.plan()
    seen = made.said.read_text()
    assert "PATH" in seen
    assert "hunter2" not in seen
    assert "PYROMETER_" not in seen


@needs_network_limit
def test_a_model_cannot_read_what_the_server_was_started_with(make: Make) -> None:
    """/proc has a process' first environment for ever, secrets that were taken out too."""
    path = f"/proc/{os.getpid()}/environ"
    assert Path(path).read_bytes()
    with pytest.raises(ModelFailed, match="PermissionError"):
        make(f"pathlib.Path({path!r}).read_bytes()").plan()


def test_the_server_forgets_its_secrets_for_other_children_too() -> None:
    environ = {"PYROMETER_API_KEY": "k", "PYROMETER_OIDC_CLIENT_SECRET": "s", "PATH": "/bin"}
    forget_secrets(environ)
    assert environ == {"PATH": "/bin"}


def test_an_untrusted_file_never_runs(make: Make) -> None:
    made = make("pathlib.Path(SAID).write_text('it ran')", trusted=False)
    with pytest.raises(Untrusted, match="pyrometer models trust"):
        made.plan()
    assert not made.said.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(0)", "left no plan"),
        ("os._exit(7)", "exit status 7"),
        ("sys.exit('enough')", "enough"),
        ("os.abort()", "SIGABRT|SIGSEGV"),
        ("raise ValueError('no such file')", "ValueError: no such file"),
        (
            "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
            "processor",
        ),
    ],
    ids=["exit-0", "exit-7", "sys-exit", "abort", "raises", "cpu"],
)
def test_however_a_child_ends_the_reason_is_told(make: Make, body: str, words: str) -> None:
    with pytest.raises(ModelFailed, match=words):
        make(body).plan()


def test_words_without_end_do_not_fill_the_server(make: Make) -> None:
    before = psutil.Process().memory_info().rss
    body = "for _ in range(200): os.write(2, b'x' * 1_000_000)\nraise ValueError('at last')"
    with pytest.raises(ModelFailed, match="at last"):
        make(body).plan()
    assert psutil.Process().memory_info().rss - before < 50_000_000


def test_a_plan_that_is_a_link_or_too_large_is_not_read(tmp_path: Path) -> None:
    leaves = (lambda plan: plan.symlink_to("/dev/zero"), os.mkfifo, os.mkdir)
    for place, leave in enumerate(leaves):
        folder = tmp_path / str(place)
        folder.mkdir()
        leave(folder / "plan.json")
        with pytest.raises(ModelFailed, match="left no plan"):
            store._plan_left_in(folder, "m/1")
    (tmp_path / "plan.json").touch()
    os.truncate(tmp_path / "plan.json", store.MOST_PLAN_BYTES + 1)
    with pytest.raises(ModelFailed, match="is over"):
        store._plan_left_in(tmp_path, "m/1")


def told(code: str) -> str:
    """What a process says that runs this, by itself."""
    environ = confined.passed_environment(os.environ) | {"PYTHONPATH": str(confined.ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_limits_are_those_that_were_asked_for() -> None:
    code = (
        "import os, resource as r; from engine.models.confined import Limits, confine; "
        "confine(Limits(1 << 29, 77, False), os.getppid()); "
        "print([r.getrlimit(x) for x in (r.RLIMIT_DATA, r.RLIMIT_CPU, r.RLIMIT_CORE)])"
    )
    assert told(code) == str([(1 << 29, 1 << 29), (77, 77), (0, 0)])


@needs_network_limit
def test_it_has_no_capability_and_no_network_left() -> None:
    code = (
        "import os; from engine.models.confined import Limits, confine; "
        "confine(Limits(1 << 29), os.getppid()); status = open('/proc/thread-self/status').read(); "
        "print(os.listdir('/sys/class/net') and [line for line in status.splitlines() "
        "if line.startswith(('CapEff', 'NoNewPrivs'))], len(open('/proc/net/dev').readlines()))"
    )
    assert "CapEff:\\t0000000000000000" in told(code)
    assert "NoNewPrivs:\\t1" in told(code)
    assert told(code).endswith("3")  # two lines of head and lo, which is down


def test_where_the_kernel_refuses_it_goes_on_with_less() -> None:
    code = (
        "import os; from engine.models import confined as c; "
        "c.CLONE_NEWNET = 1 << 62; "  # no such flag: the kernel refuses
        "c.CLONE_NEWUSER = 1; "
        "print(c.confine(c.Limits(1 << 29), os.getppid()))"
    )
    assert told(code) == "Confinement(network=False, processes=False)"


def test_the_words_name_what_is_missing() -> None:
    assert "without network" in Confinement(True, True).words
    assert "the server's network" in Confinement().words
    assert Limits(1).own_processes
