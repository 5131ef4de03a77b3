"""Callers of a model for the experiments' tests: each has a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.contract.http import call
from tests.integration.test_parity_over_http import rows_of
from tests.waiting import until

MOST_CALLERS = 400
ASK_EVERY = 25


class Callers:
    """Sends one row at a time to a model that has probabilities.

    variants: who answered, None where no header said so.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.model = port, folder.name
        self.variants: set[str | None] = set()
        self._rows = rows_of(folder)[1]
        self._sent = 0

    def send(self, done: Callable[[], bool], deadline_s: float) -> None:
        """Some 40 requests a second until it is done; fails at the deadline."""

        def sent() -> bool:
            self._one()
            return self._sent % ASK_EVERY == 0 and done()

        until(sent, deadline_s, "the experiment that was fed with requests")

    def _one(self) -> None:
        row = (self._rows[self._sent % len(self._rows)] * (1 + self._sent * 1e-6)).tolist()
        tensor = {"name": "input", "datatype": "FP64", "shape": [1, len(row)], "data": row}
        caller = {"x-user-id": f"caller-{self._sent % MOST_CALLERS}"}
        path = f"/v2/models/{self.model}/infer"
        body = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
        status, headers, _ = call(self.port, "POST", path, body, caller)
        assert status == 200
        self.variants.add(headers.get("x-variant"))
        self._sent += 1
