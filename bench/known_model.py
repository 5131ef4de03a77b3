"""A model of known behaviour that times itself: what experiments are tried on.

Every run appends its row, wall and CPU time to a file of its version under `times/`, so that
whatever is said of these runs can be held against what they took.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

MODEL = "known"
TRUE_RATIO = 1.2
WRONG_SHARE = 0.01
ROUNDS = 20_000.0
WALL, CPU = 0, 1
TOML = 'serve = 1\n[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 1]\n'
SOURCE = """
import hashlib
import math
import os
from statistics import NormalDist
from time import perf_counter_ns, thread_time_ns

import numpy as np

ROUNDS, WRONG_SHARE, FIRST = {rounds}, {wrong_share}, {first}
NORMAL = NormalDist(0.0, 0.15)
TIMES = os.open({times!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Known:
    def load(self, folder):
        pass

    def predict(self, inputs):
        wall_ns, cpu_ns = perf_counter_ns(), thread_time_ns()
        x = inputs["x"][:, 0]
        level = min(max(float(x[0]) * 7919 % 1.0, 1e-3), 1 - 1e-3)
        rounds = round(ROUNDS * math.exp(NORMAL.inv_cdf(level)))
        if rounds:  # a loop of known length, in C
            hashlib.pbkdf2_hmac("sha256", b"row", b"salt", rounds)
        answer = np.tile([FIRST, 1.0 - FIRST], (len(x), 1))
        wrong = np.mod(x * 104729, 1.0) < WRONG_SHARE
        answer[wrong] = answer[wrong][:, ::-1]
        wall_ns, cpu_ns = perf_counter_ns() - wall_ns, thread_time_ns() - cpu_ns
        os.write(TIMES, b"%r %d %d\\n" % (float(x[0]), wall_ns, cpu_ns))
        return {{"y": answer}}
"""


@dataclass(frozen=True)
class Behaviour:
    """How a version behaves. rounds: of its loop, about 0.25 us each.

    first: the probability that it answers where it is not wrong.
    """

    rounds: float = 0.0
    wrong_share: float = 0.0
    first: float = 0.25


def known_versions(rounds: float) -> dict[str, Behaviour]:
    """Control, the slow one and the wrong one."""
    return {
        "1": Behaviour(rounds),
        "2": Behaviour(rounds * TRUE_RATIO),
        "3": Behaviour(rounds, WRONG_SHARE),
    }


def write_models(folder: Path, versions: dict[str, Behaviour], serve: str = "1") -> None:
    """A repository of one model under `folder`, trusted; with its own trust file."""
    lines = []
    (folder / "times").mkdir(parents=True, exist_ok=True)
    for version, behaviour in versions.items():
        place = folder / "models" / MODEL / version
        place.mkdir(parents=True)
        source = SOURCE.format(
            rounds=behaviour.rounds,
            wrong_share=behaviour.wrong_share,
            first=behaviour.first,
            times=str(folder / "times" / version),
        )
        (place / "model.py").write_text(source)
        lines.append(f"{hashlib.sha256(source.encode()).hexdigest()}  {version}/model.py")
    toml = TOML.replace("serve = 1", f"serve = {serve}")
    (folder / "models" / MODEL / "model.toml").write_text(toml)
    (folder / "trusted.sha256").write_text("\n".join(lines) + "\n")
    (folder / "trusted.sha256").chmod(0o600)


def forget_times(folder: Path) -> None:
    """Begin anew what `times_ms` reads; while no server runs."""
    for path in (folder / "times").iterdir():
        path.unlink()


def times_ms(folder: Path, version: str) -> dict[float, tuple[float, float]]:
    """What each row took, WALL and CPU, in ms: its last run by this version."""
    rows = (line.split() for line in (folder / "times" / version).read_text().splitlines())
    return {float(x): (int(wall) / 1e6, int(cpu) / 1e6) for x, wall, cpu in rows}
