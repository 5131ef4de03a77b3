"""What a model takes and gives, and how a caller's tensors are bound to it.

    Signature
      inputs      declared tensors; for a column-named model one matrix `input` (rows, n)
      columns     feature names of that matrix, () where unnamed
      outputs     every output on offer; the first is the default
      classes     a classifier's labels, as text
      nan_inputs  inputs that may hold NaN, since the model takes it
      categories  input -> the texts it knows, where the model refuses all others
      as_declared arrays keep their declared dtype (graphs, Python files); otherwise number
                  matrices are float64, what scikit-learn would make of them

Binding turns the tensors of a request into the exact arrays the backends run. What to
check of each input is decided once, when the binder is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.types import NUMPY_DTYPES, Tensors, TensorSpec, datatype_of

FLOAT64 = np.dtype(np.float64)
SMALL = 1e76
"""A sum of squares below this holds no NaN, no infinity and no value beyond float32."""
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT64_MAX = float(np.finfo(np.float64).max)

Fit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one model version.

    finite_float32: the model refuses values beyond float32's range, as scikit-learn's
    trees do.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    finite_float32: bool = False
    nan_inputs: frozenset[str] = frozenset()
    categories: Mapping[str, frozenset[str]] = field(default_factory=dict)
    as_declared: bool = False

    @property
    def fixed_rows(self) -> int:
        """The one batch size that the model takes, where it was exported so; else 0."""
        return max(0, *(spec.shape[0] for spec in self.inputs)) if self.as_declared else 0

    def bind(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """The model's own arrays for a caller's tensors, all with the same rows >= 1.

        Raises InvalidInput naming the tensor.
        """
        fits = self._fits
        if self.columns and self.inputs[0].name not in tensors:
            name = self.inputs[0].name
            return {name: fits[name](self._matrix_of_columns(tensors))}
        if tensors.keys() != fits.keys():
            _refuse_names(tensors, list(fits))
        if len(fits) == 1:
            (name,) = fits
            return {name: fits[name](tensors[name])}
        bound = {name: fit(tensors[name]) for name, fit in fits.items()}
        if len(bound) > 1 and len({len(array) for array in bound.values()}) != 1:
            sizes = ", ".join(f"{name} has {len(array)}" for name, array in bound.items())
            raise InvalidInput(f"inputs differ in rows: {sizes}")
        return bound

    def check_outputs(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The outputs to compute: those asked for, or the default.

        Raises InvalidInput naming an output that the model does not have.
        """
        if not names:
            return self._default_output
        known = self._output_names
        for name in names:
            if name not in known:
                some = ", ".join(sorted(known))
                raise InvalidInput(f"output {name[:80]!r} is unknown; it has {some}")
        return names

    @cached_property
    def _default_output(self) -> tuple[str, ...]:
        return (self.outputs[0].name,)

    @cached_property
    def _output_names(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self.outputs)

    @cached_property
    def _fits(self) -> dict[str, Fit]:
        """The one callable per input that checks and converts it."""
        return {spec.name: self._fit_of(spec) for spec in self.inputs}

    def _fit_of(self, spec: TensorSpec) -> Fit:
        convert = self._conversion(spec)

        def fit(array: np.ndarray) -> np.ndarray:
            return convert(_shaped(spec, array))

        if spec.datatype == "BYTES" or self.as_declared or -1 in spec.shape[1:]:
            return fit
        row_shape = spec.shape[1:]

        def fit_usual(array: np.ndarray) -> np.ndarray:
            # What nearly every request sends; NaN and whatever is large take the closer look.
            if array.dtype is FLOAT64 and array.shape[1:] == row_shape and array.flags.c_contiguous:
                flat = array.reshape(-1)
                if len(flat) and flat.dot(flat) < SMALL:
                    return array
            return fit(array)

        return fit_usual

    def _conversion(self, spec: TensorSpec) -> Fit:
        name = spec.name
        if spec.datatype == "BYTES":
            known = self.categories.get(name)
            return lambda array: _texts(name, array, known)
        if self.as_declared:
            return lambda array: _as_declared(name, array, spec.datatype)
        limit = _FLOAT32_MAX if self.finite_float32 else _FLOAT64_MAX
        check = _refuse_beyond if name in self.nan_inputs else _refuse_nan_and_beyond
        return lambda array: check(name, _numbers(name, array), limit)

    def _matrix_of_columns(self, tensors: Tensors) -> np.ndarray:
        if tensors.keys() != set(self.columns):
            _refuse_names(tensors, list(self.columns))
        columns = []
        for name in self.columns:
            array = tensors[name]
            if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
                raise InvalidInput(
                    f"input {name!r} has shape {list(array.shape)}; "
                    "a column has [rows] or [rows, 1]"
                )
            column = _numbers(name, array.reshape(-1))
            limit = _FLOAT32_MAX if self.finite_float32 else _FLOAT64_MAX
            takes_nan = self.inputs[0].name in self.nan_inputs
            (_refuse_beyond if takes_nan else _refuse_nan_and_beyond)(name, column, limit)
            columns.append(column)
        if len({len(column) for column in columns}) != 1:
            raise InvalidInput("columns differ in rows")
        return np.column_stack(columns)

    def as_dict(self) -> dict[str, Any]:
        return {
            "inputs": [spec.as_dict() for spec in self.inputs],
            "outputs": [spec.as_dict() for spec in self.outputs],
            "columns": list(self.columns),
            "classes": list(self.classes),
            "finite_float32": self.finite_float32,
            "nan_inputs": sorted(self.nan_inputs),
            "categories": {name: sorted(known) for name, known in self.categories.items()},
            "as_declared": self.as_declared,
        }


def signature_from_dict(value: Mapping[str, Any]) -> Signature:
    """The inverse of `Signature.as_dict`. Raises KeyError or TypeError for another shape."""
    return Signature(
        inputs=tuple(_spec(item) for item in value["inputs"]),
        outputs=tuple(_spec(item) for item in value["outputs"]),
        columns=tuple(value["columns"]),
        classes=tuple(value["classes"]),
        finite_float32=bool(value["finite_float32"]),
        nan_inputs=frozenset(value["nan_inputs"]),
        categories={name: frozenset(known) for name, known in value["categories"].items()},
        as_declared=bool(value["as_declared"]),
    )


def _spec(item: Mapping[str, Any]) -> TensorSpec:
    if item["datatype"] not in NUMPY_DTYPES:
        raise TypeError(f"unknown datatype {item['datatype']!r}")
    return TensorSpec(item["name"], item["datatype"], tuple(item["shape"]))


def rows_with_nan(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows hold a NaN in any input, bool (rows,)."""
    rows = len(next(iter(inputs.values())))
    found = np.zeros(rows, dtype=bool)
    for array in inputs.values():
        if array.dtype.kind == "f":
            found |= np.isnan(array).reshape(rows, -1).any(axis=1)
    return found


def holds_nan(array: np.ndarray) -> bool:
    """True when a float array holds a NaN; infinities must have been refused before.

    Its product with itself is NaN then, at a fifth of the cost of `isnan` on one row.
    """
    flat = array.reshape(-1)
    product = flat.dot(flat)
    return bool(product != product)


def _shaped(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    shape = spec.shape
    if array.ndim == 2 and len(shape) == 1 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise InvalidInput(
            f"input {spec.name!r} has shape {list(array.shape)}; the model takes {list(shape)}"
        )
    if len(array) == 0:
        raise InvalidInput(f"input {spec.name!r} has 0 rows; at least 1 is needed")
    return array


def _texts(name: str, array: np.ndarray, known: frozenset[str] | None) -> np.ndarray:
    if array.dtype.kind != "O":
        raise InvalidInput(f"input {name!r} is {datatype_of(array)}; it takes BYTES")
    if known is not None:
        for text in array.reshape(-1):
            if text not in known:
                some = ", ".join(map(repr, sorted(known)[:5]))
                more = f" and {len(known) - 5} more" if len(known) > 5 else ""
                raise InvalidInput(f"input {name!r} is {text[:80]!r}; it takes {some}{more}")
    return array


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "O":
        raise InvalidInput(f"input {name!r} is BYTES; it takes numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def _refuse_nan_and_beyond(name: str, matrix: np.ndarray, limit: float) -> np.ndarray:
    # NaN fails this comparison too: one pass finds every value the model cannot take.
    if matrix.size and not np.abs(matrix).max() <= limit:
        raise InvalidInput(
            f"input {name!r} holds NaN, infinity or a value beyond {limit:.3g} in size"
        )
    return matrix


def _refuse_beyond(name: str, matrix: np.ndarray, limit: float) -> np.ndarray:
    if (np.abs(matrix) > limit).any():
        raise InvalidInput(f"input {name!r} holds infinity or a value beyond {limit:.3g} in size")
    return matrix


def _as_declared(name: str, array: np.ndarray, datatype: str) -> np.ndarray:
    dtype = NUMPY_DTYPES[datatype]
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "O" or (dtype.kind == "b") != (array.dtype.kind == "b"):
        raise InvalidInput(f"input {name!r} is {datatype_of(array)}; it takes {datatype}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.ascontiguousarray(array, dtype=dtype)
        # A float may round to its neighbour; an integer must come through whole.
        lost = np.isinf(cast) & ~np.isinf(array) if dtype.kind == "f" else cast != array
    if lost.any():
        raise InvalidInput(f"input {name!r} holds a value that {datatype} cannot carry")
    return cast


def _refuse_names(tensors: Tensors, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in tensors]
    extra = sorted(tensors.keys() - set(wanted))
    parts = []
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        parts.append(f"missing input {', '.join(map(repr, missing[:3]))}{more}")
    if extra:
        parts.append(f"unexpected input {', '.join(repr(name[:80]) for name in extra[:3])}")
    raise InvalidInput("; ".join(parts))
