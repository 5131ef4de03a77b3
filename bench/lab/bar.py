"""Progress in a terminal: how far, the rate, and the last second's p99."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

from bench.lab.spec import LabSpec
from bench.lab.words import figure

FORM = "{desc} {bar} {n:.0f}/{total:.0f} s{postfix}"


@contextmanager
def progress_bar(spec: LabSpec, stream: TextIO) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Takes lines of progress; draws only where `stream` is a terminal."""
    if not stream.isatty():
        yield lambda line: None
        return
    with tqdm(total=spec.seconds, file=stream, bar_format=FORM, desc="starting") as bar:

        def tell(line: dict[str, Any]) -> None:
            step = f" {line['step']} of at most {line['steps']}" if line["step"] else ""
            bar.desc = f"{line['phase']}{step}"
            bar.total = max(line["seconds"], 1e-9)
            bar.n = min(line["elapsed_s"], line["seconds"])
            bar.set_postfix_str(
                f"{figure(line['achieved_per_s'])}/s, p99 {figure(line['p99_ms'])} ms, "
                f"{line['errors']} errors"
            )

        yield tell
