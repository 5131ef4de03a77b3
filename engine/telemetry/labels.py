"""What requests are counted by: a bounded set of labels, and the outcomes of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MAX_LABELS = 500
OTHER = "(other)"
UNKNOWN_MODEL = "(unknown model)"
UNKNOWN_ROUTE = "(unknown route)"
OUTCOMES = ("ok", "client_error", "shed", "cancelled", "expired", "server_error")
OK, CLIENT_ERROR, SHED, CANCELLED, EXPIRED, SERVER_ERROR = range(6)
_BY_STATUS = np.full(1000, OK, dtype=np.int64)
_BY_STATUS[400:500] = CLIENT_ERROR
_BY_STATUS[500:] = SERVER_ERROR
_BY_STATUS[429], _BY_STATUS[499], _BY_STATUS[504] = SHED, CANCELLED, EXPIRED


def outcomes_of(statuses: np.ndarray) -> np.ndarray:
    """Places in OUTCOMES of HTTP statuses, int64 (n,)."""
    found: np.ndarray = _BY_STATUS[np.clip(statuses, 0, 999)]
    return found


class Label(NamedTuple):
    """Whose request it was. is_service: false for the console's and scrapers' own traffic."""

    model: str
    version: str
    variant: str
    route: str
    is_service: bool = True


class Series(NamedTuple):
    """A label and an outcome: what a histogram belongs to."""

    label: Label
    outcome: str


OVERFLOW = (Label(OTHER, "", "", OTHER), Label(OTHER, "", "", OTHER, False))


class Labels:
    """Labels by number, at most MAX_LABELS; those that came later are one label."""

    def __init__(self) -> None:
        self._ids = {label: place for place, label in enumerate(OVERFLOW)}
        self._labels = list(OVERFLOW)
        self.refused = 0

    def id_of(self, label: Label) -> int:
        """The number of a label, a new one where there is room. For one thread at a time."""
        known = self._ids.get(label)
        if known is not None:
            return known
        if len(self._labels) >= MAX_LABELS:
            self.refused += 1
            return 0 if label.is_service else 1
        self._ids[label] = len(self._labels)
        self._labels.append(label)
        return len(self._labels) - 1

    def __getitem__(self, number: int) -> Label:
        return self._labels[number]

    def __iter__(self) -> Iterator[Label]:
        return iter(tuple(self._labels))

    def __len__(self) -> int:
        return len(self._labels)

    def series(self, number: int) -> Series:
        """The series numbered label * len(OUTCOMES) + outcome."""
        label, outcome = divmod(number, len(OUTCOMES))
        return Series(self._labels[label], OUTCOMES[outcome])

    def is_service(self) -> np.ndarray:
        """Whether each label is service traffic, bool (len(self),)."""
        return np.array([label.is_service for label in self._labels])
