"""Epochs of what servers share: a flush is a new epoch, by which nothing older has a key. Pure.

    field ALL         flushes of everything
    field "m:<name>"  flushes of one model
    known   what this server has seen, kept over restarts
    owed    flushes that the store was not told of yet: of that group nothing is read

A store that begins anew, or from an old copy of itself, has smaller epochs than are known: it
is raised to what is known, so that no value from before a flush has a key again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from engine.files import write_atomically

ALL = "*"
MOST_FIELDS = 1000
"""A flush of one model more is a flush of everything."""
MOST_STORED = 2 * MOST_FIELDS
"""A store's, which servers that know different models may fill together."""
EPOCHS_END = 2**53
"""Beyond, the store's scripts would round them."""
MOST_DIGITS = 16
FIELD = re.compile(r"m:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""As models may be named."""


def field_of(group: str | None) -> str:
    """The field of a model's flushes, or of everything's."""
    return ALL if group is None else f"m:{group}"


def group_of(field: str) -> str | None:
    """The inverse of `field_of`."""
    return None if field == ALL else field.removeprefix("m:")


def _is_field(field: str) -> bool:
    return field == ALL or FIELD.fullmatch(field) is not None


def is_epoch(epoch: object) -> bool:
    """Whether it may be one."""
    return isinstance(epoch, int) and 0 <= epoch < EPOCHS_END


def stored_epochs(flat: object) -> dict[str, int]:
    """A store's hash of epochs, from fields and values by turns. Raises ValueError for others."""
    if not isinstance(flat, list) or len(flat) > 2 * MOST_STORED:
        raise ValueError("a list of at most so many")
    found = {}
    for name, text in zip(flat[::2], flat[1::2], strict=True):
        if not (isinstance(name, bytes) and isinstance(text, bytes) and len(text) <= MOST_DIGITS):
            raise ValueError("a field or its epoch is too long or no text")
        field, epoch = name.decode(), int(text)
        if not (_is_field(field) and is_epoch(epoch) and text == b"%d" % epoch):
            raise ValueError("a field that is no model's, or no epoch")
        found[field] = epoch
    return found


@dataclass(frozen=True, slots=True)
class Followed:
    """What a look at the store's epochs showed.

    flushed: groups that others have flushed, None for everything. behind: fields whose epoch in
    the store is smaller than known, with what it must be raised to.
    """

    flushed: tuple[str | None, ...]
    behind: Mapping[str, int]


class Epochs:
    """Safe to call from any thread.

    path: where it is kept; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._serial = 0
        self._marks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        self._owed: dict[str, int] = {}
        self._adopts = not self._load()

    def _load(self) -> bool:
        """Whether there was anything to go on from."""
        if self._path is None:
            return False
        try:
            kept = orjson.loads(self._path.read_bytes())
            known = {str(field): int(value) for field, value in kept["known"].items()}
            owed = {str(field): 0 for field in kept["owed"]}
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, AttributeError):
            return False
        if not all(map(_is_field, (*known, *owed))) or not all(map(is_epoch, known.values())):
            return False
        self._known, self._owed = known, owed
        return True

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = {"known": self._known, "owed": sorted(self._owed)}
            write_atomically(self._path, orjson.dumps(kept))
        except (OSError, TypeError, ValueError):
            # A full disk loses what a restart would need; flushes go on.
            return

    def of(self, group: str) -> tuple[int, int]:
        """The epochs of everything and of one group."""
        known = self._known
        return known.get(ALL, 0), known.get(field_of(group), 0)

    def mark(self, group: str) -> tuple[int, int]:
        """Changes with every flush of it that is known here, so that who began before can tell."""
        marks = self._marks
        return marks.get(ALL, 0), marks.get(field_of(group), 0)

    def _note(self, fields: Iterable[str]) -> None:
        self._serial += 1
        self._marks = self._marks | dict.fromkeys(fields, self._serial)

    def owes(self, group: str) -> bool:
        """Whether the store must still be told of a flush of this group."""
        owed = self._owed
        return bool(owed) and (ALL in owed or field_of(group) in owed)

    @property
    def owed(self) -> Mapping[str, int]:
        """Fields of flushes that the store was not told of, each with its serial."""
        return self._owed

    def known(self, field: str) -> int:
        """The newest epoch of a field that this server has seen."""
        return self._known.get(field, 0)

    @property
    def total(self) -> int:
        """Flushes that are known, of everything and of each model."""
        return sum(tuple(self._known.values()))

    def field_for(self, group: str | None) -> str:
        """The field that a flush goes to."""
        field = field_of(group)
        full = len(self._known) >= MOST_FIELDS and field not in self._known
        # A field that no server reads would hide the others.
        return ALL if full or not _is_field(field) else field

    def owe(self, field: str) -> int:
        """From now on nothing of it is read, until the store was told; returns its serial."""
        with self._lock:
            self._note([field])
            self._owed = self._owed | {field: self._serial}
            self._save()
            return self._serial

    def told(self, field: str, epoch: int, serial: int) -> None:
        """The store has this epoch now, by a flush of ours that had this serial.

        One that was asked for meanwhile, of the same field, is still owed.
        """
        with self._lock:
            self._known = self._known | {field: max(epoch, self._known.get(field, 0))}
            if self._owed.get(field) == serial:
                self._owed = {f: number for f, number in self._owed.items() if f != field}
            self._save()

    def follow(self, stored: Mapping[str, int]) -> Followed:
        """Take over what the store says; nobody has flushed what is met for the first time."""
        with self._lock:
            known, adopts = self._known, self._adopts
            self._adopts = False
            ahead = {f: epoch for f, epoch in stored.items() if epoch > known.get(f, 0)}
            behind = {f: epoch for f, epoch in known.items() if stored.get(f, 0) < epoch}
            old_copy = [field for field in behind if stored.get(field, 0)]
            changed = [] if adopts else [*ahead, *old_copy]
            if ahead:
                self._known = known | ahead
            self._note(changed)
            if ahead or adopts:
                self._save()
        return Followed(tuple(group_of(field) for field in changed), behind)
