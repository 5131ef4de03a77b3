"""What a model takes and gives, and how a caller's tensors are bound to it.

    Signature
      inputs   declared tensors; for a column-named model one matrix `input` (rows, n)
      columns  feature names of that matrix, () where unnamed
      outputs  every output on offer; the first is the default

Binding turns the tensors of a request into the exact arrays the backends run:
float matrices are float64 (what scikit-learn would make of them), text is object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.types import NUMPY_DTYPES, Tensors, TensorSpec, datatype_of


@dataclass(frozen=True, slots=True)
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

    def bind(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """The model's own arrays for a caller's tensors, all with the same rows >= 1.

        Raises InvalidInput naming the tensor.
        """
        if self.columns and self.inputs[0].name not in tensors:
            return {self.inputs[0].name: self._matrix_of_columns(tensors)}
        if tensors.keys() != {spec.name for spec in self.inputs}:
            self._refuse_names(tensors, [spec.name for spec in self.inputs])
        bound = {spec.name: self._fit(spec, tensors[spec.name]) for spec in self.inputs}
        if len({len(array) for array in bound.values()}) != 1:
            sizes = ", ".join(f"{name} has {len(array)}" for name, array in bound.items())
            raise InvalidInput(f"inputs differ in rows: {sizes}")
        return bound

    def check_outputs(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The outputs to compute: those asked for, or the default.

        Raises InvalidInput naming an output that the model does not have.
        """
        if not names:
            return (self.outputs[0].name,)
        known = {spec.name for spec in self.outputs}
        for name in names:
            if name not in known:
                raise InvalidInput(f"output {name!r} is unknown; it has {', '.join(sorted(known))}")
        return names

    def _matrix_of_columns(self, tensors: Tensors) -> np.ndarray:
        if tensors.keys() != set(self.columns):
            self._refuse_names(tensors, list(self.columns))
        columns = []
        for name in self.columns:
            array = tensors[name]
            if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
                raise InvalidInput(
                    f"input {name!r} has shape {list(array.shape)}; "
                    "a column has [rows] or [rows, 1]"
                )
            columns.append(self._fit_numbers(name, array.reshape(-1)))
        if len({len(column) for column in columns}) != 1:
            raise InvalidInput("columns differ in rows")
        return np.column_stack(columns)

    def _refuse_names(self, tensors: Tensors, wanted: list[str]) -> None:
        missing = [name for name in wanted if name not in tensors]
        extra = sorted(tensors.keys() - set(wanted))
        parts = []
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            parts.append(f"missing input {', '.join(map(repr, missing[:3]))}{more}")
        if extra:
            parts.append(f"unexpected input {', '.join(repr(name[:80]) for name in extra[:3])}")
        raise InvalidInput("; ".join(parts))

    def _fit(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
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
        if spec.datatype == "BYTES":
            if array.dtype.kind != "O":
                raise InvalidInput(f"input {spec.name!r} is {datatype_of(array)}; it takes BYTES")
            return array
        return self._fit_numbers(spec.name, array)

    def _fit_numbers(self, name: str, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind == "O":
            raise InvalidInput(f"input {name!r} is BYTES; it takes numbers")
        if len(array) == 0:
            raise InvalidInput(f"input {name!r} has 0 rows; at least 1 is needed")
        matrix = np.ascontiguousarray(array, dtype=np.float64)
        # NaN fails this comparison too: one pass finds every value the model cannot take.
        limit = _FLOAT32_MAX if self.finite_float32 else _FLOAT64_MAX
        if not np.abs(matrix).max() <= limit:
            raise InvalidInput(
                f"input {name!r} holds NaN, infinity or a value beyond {limit:.3g} in size"
            )
        return matrix

    def as_dict(self) -> dict[str, Any]:
        return {
            "inputs": [spec.as_dict() for spec in self.inputs],
            "outputs": [spec.as_dict() for spec in self.outputs],
            "columns": list(self.columns),
            "classes": list(self.classes),
            "finite_float32": self.finite_float32,
        }


_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT64_MAX = float(np.finfo(np.float64).max)


def signature_from_dict(value: Mapping[str, Any]) -> Signature:
    """The inverse of `Signature.as_dict`. Raises KeyError or TypeError for another shape."""
    return Signature(
        inputs=tuple(_spec(item) for item in value["inputs"]),
        outputs=tuple(_spec(item) for item in value["outputs"]),
        columns=tuple(value["columns"]),
        classes=tuple(value["classes"]),
        finite_float32=bool(value["finite_float32"]),
    )


def _spec(item: Mapping[str, Any]) -> TensorSpec:
    if item["datatype"] not in NUMPY_DTYPES:
        raise TypeError(f"unknown datatype {item['datatype']!r}")
    return TensorSpec(item["name"], item["datatype"], tuple(item["shape"]))
