"""Rows that were served, run again by the model as it is: `python -m engine.models.rerun`.

stdin: jobs, each 4 bytes of length and a pickle, from the process that started this one and
from nobody else. stdout: a line of JSON for each. It ends with its stdin. What it may take is
for `engine.models.confined` to say.

    job     {model, version, digest, trust_file, also_trusted, plan, folder: of the model;
             form: that answered; inputs, outputs: arrays}
    answer  {differing, largest, examples, oracle_us, form_us, cpu_ms} or {error, cpu_ms}
"""

from __future__ import annotations

import hashlib
import json
import pickle
import statistics
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import ArtefactError
from engine.models.backends import Backend
from engine.models.loaded import Forms
from engine.models.oracle import open_oracle
from engine.models.parity import differences
from engine.models.plan import Plan, plan_from_dict
from engine.models.repository import read_version
from engine.models.trust import TrustFile

MOST_OPEN = 8
MOST_EXAMPLES = 5
TIMING_NS = 50_000_000
LEAST_ROUNDS, MOST_ROUNDS, BURST = 3, 25, 8
SLOW_NS = 300_000_000
"""A model whose run takes longer is timed once."""
DIGEST_BYTES = 8


class Opened:
    """A model as it is, and its forms, opened as they are asked for."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        entry = read_version(Path(job["model"]), job["version"])
        if entry.digest != job["digest"]:
            raise ArtefactError("the artefact on disk is no longer the one that is served")
        trust = TrustFile(Path(job["trust_file"]), job["also_trusted"])
        self.plan: Plan = plan_from_dict(json.loads(job["plan"]))
        oracle = open_oracle(entry, trust, self.plan.signature, self.plan.oracle.recipe)
        self.oracle = oracle.backend
        self.forms = Forms(entry, trust, self.plan, Path(job["folder"]), oracle)


def run_again(job: Mapping[str, Any], opened: Opened) -> dict[str, Any]:
    """Compare what was served with the model as it is, and time both. Raises what that raises."""
    inputs, served = job["inputs"], job["outputs"]
    expected = opened.oracle.run(inputs, tuple(served))
    answer = compared(inputs, served, expected, opened.plan.tolerance)
    answer |= {"oracle_us": None, "form_us": None}
    output = (opened.plan.signature.outputs[0].name,)
    form, _ = opened.forms.open(job["form"])
    if form.covers.issuperset(output):
        answer["oracle_us"], answer["form_us"] = timed_in_turns(opened.oracle, form, inputs, output)
    return answer


def compared(
    inputs: Mapping[str, np.ndarray],
    served: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: float,
) -> dict[str, Any]:
    """Rows that differ, the largest difference (None: infinite), and examples by digest."""
    found = differences(expected, served)
    rows = len(next(iter(inputs.values())))
    worst = np.zeros(rows)
    for difference in found.values():
        worst = np.maximum(worst, difference)
    wrong = np.flatnonzero(worst > tolerance)
    examples = []
    for row in wrong[:MOST_EXAMPLES].tolist():
        output = max(found, key=lambda name: found[name][row])
        examples.append(
            {
                "digest": digest_of(inputs, row),
                "output": output,
                "difference": _finite(found[output][row]),
            }
        )
    return {
        "differing": len(wrong),
        "largest": _finite(worst.max(initial=0.0)),
        "examples": examples,
    }


def digest_of(inputs: Mapping[str, np.ndarray], row: int) -> str:
    """Of one row's inputs: by it a caller finds a row of his own again."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name in sorted(inputs):
        value = np.ascontiguousarray(inputs[name][row])
        digest.update(name.encode())
        content = repr(value.tolist()).encode() if value.dtype.kind == "O" else value.tobytes()
        digest.update(content)
    return digest.hexdigest()


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def timed_in_turns(
    oracle: Backend, form: Backend, inputs: Mapping[str, np.ndarray], output: tuple[str, ...]
) -> tuple[float, float]:
    """Median microseconds of a run of each, in turns, so that both meet the same machine.

    Of elapsed and processor time the smaller counts: this process gives way to all others,
    and a model may use several threads. A quick form runs a few times a turn, the first not
    counted: after the other's run it meets cold caches, which the plan's timing did not.
    """
    oracle_ns, form_ns = list[int](), list[int]()
    spent_ns = rounds = 0
    while rounds < LEAST_ROUNDS or (spent_ns < TIMING_NS and rounds < MOST_ROUNDS):
        oracle_ns.append(_run_ns(oracle, inputs, output))
        first_ns = _run_ns(form, inputs, output)
        burst = BURST if first_ns < SLOW_NS / BURST else 0
        again_ns = [_run_ns(form, inputs, output) for _ in range(burst)]
        form_ns += again_ns or [first_ns]
        spent_ns += oracle_ns[-1] + first_ns + sum(again_ns)
        rounds += 1
        if spent_ns > SLOW_NS:
            break
    return statistics.median(oracle_ns) / 1e3, statistics.median(form_ns) / 1e3


def _run_ns(backend: Backend, inputs: Mapping[str, np.ndarray], output: tuple[str, ...]) -> int:
    cpu_ns, began_ns = time.process_time_ns(), time.perf_counter_ns()
    backend.run(inputs, output)
    taken_ns = time.perf_counter_ns() - began_ns
    return min(taken_ns, max(1, time.process_time_ns() - cpu_ns))


def answer_all(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer every job until there are no more."""
    models: OrderedDict[str, Opened] = OrderedDict()
    while len(length := jobs.read(4)) == 4:
        job = pickle.loads(jobs.read(int.from_bytes(length, "big")))
        began_ns = time.process_time_ns()
        try:
            key = f"{job['model']}\n{job['version']}\n{job['digest']}\n{job['folder']}"
            if key not in models:
                models[key] = Opened(job)
                began_ns = time.process_time_ns()
                if len(models) > MOST_OPEN:
                    models.popitem(last=False)
            models.move_to_end(key)
            answer = run_again(job, models[key])
        except Exception as error:
            # A model may fail in any way it likes, for lack of memory too.
            first_line = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"{type(error).__name__}: {first_line[:300]}"}
        answer["cpu_ms"] = (time.process_time_ns() - began_ns) / 1e6
        answers.write(json.dumps(answer, allow_nan=False).encode() + b"\n")
        answers.flush()


def main() -> int:
    """Entry of the child process."""
    warnings.simplefilter("ignore")
    # What a model prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    answer_all(sys.stdin.buffer, answers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
