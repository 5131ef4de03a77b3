"""Which columns of an estimator's input hold text, read off the fitted estimator itself.

A pipeline is followed to its first real step, a ColumnTransformer into its parts: an
encoder knows its categories, an imputer its fill values, a vectoriser takes raw text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True)
class ColumnKinds:
    """What was found. Columns are positions among the estimator's inputs.

    text: those that hold text. known: text column -> the values an encoder knows.
    closed: text columns whose encoder refuses any other value. by_name: a ColumnTransformer
    picks its columns by name, so it needs a DataFrame. raw_text: the estimator takes a
    one-dimensional list of texts.
    """

    text: set[int] = field(default_factory=set)
    known: dict[int, list[str]] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    by_name: bool = False
    raw_text: bool = False


def column_kinds(estimator: Any) -> ColumnKinds:
    """The kinds of an estimator's columns."""
    kinds = ColumnKinds()
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    count = int(getattr(estimator, "n_features_in_", 0) or len(names))
    kinds.raw_text = _takes_raw_text(estimator)
    if not kinds.raw_text:
        _follow(estimator, list(range(count)), names, kinds)
    return kinds


def first_steps(estimator: Any) -> list[Any]:
    """The estimators that see the caller's columns: a pipeline's first step, a union's all."""
    if hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            if step not in (None, "passthrough"):
                return first_steps(step)
        return []
    if hasattr(estimator, "transformer_list"):
        return [first for _, step in estimator.transformer_list for first in first_steps(step)]
    return [estimator]


def final_step(estimator: Any) -> Any:
    """The last step of a pipeline, else the estimator itself."""
    return final_step(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def parts_of(estimator: Any) -> Iterator[Any]:
    """The estimator and every fitted estimator inside it."""
    yield estimator
    inside = [step for _, step in getattr(estimator, "steps", ())]
    inside += [step for _, step in getattr(estimator, "transformer_list", ())]
    inside += [part for _, part, _ in getattr(estimator, "transformers_", ())]
    for part in inside:
        if part is not None and not isinstance(part, str):
            yield from parts_of(part)


def _takes_raw_text(estimator: Any) -> bool:
    firsts = first_steps(estimator)
    return bool(firsts) and all(hasattr(first, "build_analyzer") for first in firsts)


def _follow(estimator: Any, columns: list[int], names: list[str], kinds: ColumnKinds) -> None:
    for first in first_steps(estimator):
        if hasattr(first, "transformers_"):
            for _, part, chosen in first.transformers_:
                kinds.by_name |= _is_by_name(chosen)
                if not isinstance(part, str):
                    places = _positions(chosen, names, len(columns))
                    _follow(part, [columns[i] for i in places], names, kinds)
        elif hasattr(first, "build_analyzer"):
            kinds.text.update(columns)
        elif hasattr(first, "categories_") and len(first.categories_) == len(columns):
            _read_categories(first, columns, kinds)
        elif np.asarray(getattr(first, "statistics_", ())).dtype.kind == "O":
            found = zip(columns, first.statistics_, strict=True)
            kinds.text.update(column for column, value in found if isinstance(value, str))


def _read_categories(encoder: Any, columns: list[int], kinds: ColumnKinds) -> None:
    refuses = getattr(encoder, "handle_unknown", "error") == "error"
    for column, categories in zip(columns, encoder.categories_, strict=True):
        known = [value for value in categories if isinstance(value, str)]
        if not known:
            continue
        kinds.text.add(column)
        kinds.known[column] = known
        if refuses and len(known) == len(categories):
            kinds.closed.add(column)


def _is_by_name(chosen: Any) -> bool:
    if isinstance(chosen, slice):
        return isinstance(chosen.start, str) or isinstance(chosen.stop, str)
    if isinstance(chosen, str):
        return True
    return not callable(chosen) and any(isinstance(item, str) for item in np.ravel(chosen))


def _positions(chosen: Any, names: Sequence[str], count: int) -> list[int]:
    """Positions of a ColumnTransformer's column specification among `count` columns."""
    if isinstance(chosen, str | int | np.integer):
        return _positions([chosen], names, count)
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            start = names.index(chosen.start) if chosen.start else 0
            stop = names.index(chosen.stop) + 1 if chosen.stop else len(names)
            return list(range(start, stop))
        return list(range(*chosen.indices(count)))
    items = list(chosen)
    if items and isinstance(items[0], bool | np.bool_):
        return [place for place, item in enumerate(items) if item]
    return [names.index(item) if isinstance(item, str) else int(item) for item in items]
