"""What is said of the system's limits on models' processes, without opening any model."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from engine.models import confined
from engine.models.confined import PROBE_AGAIN_S, Confinement, Limits, how_it_ended

ALL = Confinement(network=True, processes=True)
LIMITS = Limits(memory_bytes=512_000_000, cpu_s=60)


class Probes:
    """Stands in for the command of the probe. says: what its child prints; None is a failure."""

    def __init__(self) -> None:
        self.says: str | None = None
        self.asked = 0

    def __call__(self, *_: Any) -> list[str]:
        self.asked += 1
        script = "raise SystemExit(1)" if self.says is None else f"print({self.says!r})"
        return [sys.executable, "-S", "-c", script]


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probes]:
    made = Probes()
    monkeypatch.setattr(confined, "command", made)
    caches = (confined._allowed_in, confined._probed)
    for one in caches:
        one.cache_clear()
    yield made
    for one in caches:
        one.cache_clear()


def test_a_probe_that_failed_is_asked_again_after_a_while(probes: Probes) -> None:
    assert confined.allowed(lambda: 0.0) == Confinement()
    probes.says = json.dumps(asdict(ALL))
    assert confined.allowed(lambda: PROBE_AGAIN_S - 1) == Confinement()
    assert probes.asked == 1
    assert confined.allowed(lambda: PROBE_AGAIN_S) == ALL
    assert probes.asked == 2


@pytest.mark.parametrize("found", [ALL, Confinement()])
def test_what_a_probe_has_found_holds_for_good(probes: Probes, found: Confinement) -> None:
    probes.says = json.dumps(asdict(found))
    assert confined.allowed(lambda: 0.0) == found
    probes.says = None
    assert confined.allowed(lambda: 1e6) == found
    assert probes.asked == 1


@pytest.mark.parametrize("said", ["", "no JSON", "[]", '{"colour": true}'])
def test_a_probe_that_says_nothing_sensible_has_found_nothing(probes: Probes, said: str) -> None:
    probes.says = said
    assert confined.allowed(lambda: 0.0) == Confinement()


def test_only_a_part_of_the_environment_is_passed_on() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "1", "AWS_SECRET": "x", "HOMES": "y"}
    assert confined.passed_environment(given) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "exit status 1"),
        (0, "exit status 0"),
        (-signal.SIGKILL, "ended by the system: over its 60 s of processor time, or out of memory"),
        (128 + signal.SIGKILL, "ended by the system: over its 60 s of processor time"),
        (-signal.SIGABRT, "ended by SIGABRT: over its 512 MB of memory, or a fault in a library"),
        (128 + signal.SIGSEGV, "ended by SIGSEGV: over its 512 MB of memory"),
        (-signal.SIGXFSZ, "ended by SIGXFSZ: a file over 512 MB"),
        (-signal.SIGTERM, "ended by signal 15"),
    ],
)
def test_an_end_in_words(status: int, words: str) -> None:
    assert how_it_ended(status, LIMITS).startswith(words)
