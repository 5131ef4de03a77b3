"""A call tree that grows out of what others wrote, within bounds, and the frames they mean.

A frame written "name (file:line)" becomes its parts; one with a file and no line is native
code, as the sampler writes it. Files become as short as the sampler's, so that a function of a
file and one that was sampled here are the same.
"""

from __future__ import annotations

import re

import numpy as np

from engine.errors import InvalidInput
from engine.profiling.calltree import ANY, CallTree, Frame
from engine.profiling.exports import UNNAMED

MOST_NODES = 200_000
MOST_FRAMES = 50_000
MOST_DEPTH = 512
MOST_STEPS = 10_000_000
MOST_CHARACTERS = 500
MOST_VALUE = 2**62
_LINE = re.compile(r"(.+):([1-9][0-9]{0,8})")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_IMPORT_ROOT = re.compile(r"^.*(?:(?:site|dist)-packages|lib/python3\.\d+)/")


class Growing:
    """A tree while it is read. Raises InvalidInput beyond the bounds."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._numbers: dict[Frame, int] = {}
        self._nodes: dict[int, int] = {}
        self._parent: list[int] = []
        self._frame: list[int] = []
        self._own: list[int] = []
        self._sum = self._steps = 0

    def number(self, frame: Frame) -> int:
        """The frame's number, a new one for a new frame."""
        known = self._numbers.setdefault(frame, len(self._frames))
        if known == len(self._frames):
            if known >= MOST_FRAMES:
                raise InvalidInput(f"more than {MOST_FRAMES:,} distinct frames")
            self._frames.append(frame)
        return known

    def below(self, node: int, frame: int) -> int:
        """The node of a frame that a node called; node: -1 above a root."""
        self._steps += 1
        key = (node + 1) * MOST_FRAMES + frame
        known = self._nodes.get(key)
        if known is not None:
            return known
        if len(self._parent) >= MOST_NODES:
            raise InvalidInput(f"more than {MOST_NODES:,} distinct stacks")
        self._nodes[key] = len(self._parent)
        self._parent.append(node)
        self._frame.append(frame)
        self._own.append(0)
        return self._nodes[key]

    def stack(self, frames: list[int], value: int) -> None:
        """Book a value to a stack, root first; one without frames is left out."""
        if len(frames) > MOST_DEPTH:
            raise InvalidInput(f"a stack of {len(frames):,} frames; the most is {MOST_DEPTH}")
        node = -1
        for frame in frames:
            node = self.below(node, frame)
        if self._steps > MOST_STEPS:
            raise InvalidInput(f"more than {MOST_STEPS:,} frames in all stacks together")
        if node >= 0:
            self.add(node, value)

    def add(self, node: int, value: int) -> None:
        """Book a value, 0 <= value <= MOST_VALUE, to a node."""
        self._sum += value
        if self._sum > MOST_VALUE:
            raise InvalidInput("the values up to here add up to more than 2**62")
        self._own[node] += value

    def tree(self) -> CallTree:
        """What was read; its values fill all three columns. Raises InvalidInput if nothing was."""
        if self._sum == 0:
            raise InvalidInput("the profile has no samples")
        own = np.repeat(np.array(self._own, dtype=np.int64)[:, None], 3, axis=1)
        parent, frame = (np.array(column, np.int32) for column in (self._parent, self._frame))
        return CallTree(self._frames, (ANY,), np.zeros_like(parent), parent, frame, own)


def parse_label(label: str) -> Frame:
    """The frame that a label stands for: "name", "name (file)" or "name (file:line)"."""
    label = checked(label.strip() or UNNAMED)
    opening = _opening(label)
    if opening <= 1 or label[opening - 1] != " ":
        return Frame(label, "", "", 0)
    name, file = label[: opening - 1], label[opening + 1 : -1]
    numbered = _LINE.fullmatch(file)
    if numbered:
        return frame_of(name, numbered[1], int(numbered[2]))
    if any(character in file for character in "./\\<"):
        return frame_of(name, file, 0)
    return Frame(label, "", "", 0)


def frame_of(name: str, file: str, line: int) -> Frame:
    """A frame as the sampler names it: of an absolute path only what is below its import root."""
    short = short_file(file)
    return Frame(name, module_of(short), short, line, is_native=bool(file) and line == 0)


def short_file(file: str) -> str:
    """A relative path as it is; of an absolute one the part below the root, or its last two."""
    path = file.replace("\\", "/")
    if not _ABSOLUTE.match(path):
        return file
    below = _IMPORT_ROOT.sub("", path)
    return "/".join(path.split("/")[-2:]) if below == path else below


def module_of(file: str) -> str:
    """The dotted module of a short file."""
    if file.startswith("<"):
        return file.strip("<>")
    path = file.replace("\\", "/").removesuffix(".py").removesuffix("/__init__")
    return path.lstrip("./").replace("/", ".")


def checked(name: str) -> str:
    """The name or file itself. Raises InvalidInput where it is longer than MOST_CHARACTERS."""
    if len(name) > MOST_CHARACTERS:
        raise InvalidInput(f"a name of {len(name):,} characters; the most is {MOST_CHARACTERS}")
    return name


def _opening(label: str) -> int:
    """Where the bracket opens that a label's last character closes; -1 where there is none."""
    depth = 0
    for at in range(len(label) - 1, -1, -1):
        depth += (label[at] == ")") - (label[at] == "(")
        if depth == 0:
            return at if at < len(label) - 1 else -1
    return -1
