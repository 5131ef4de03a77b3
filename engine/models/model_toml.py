"""model.toml: what its owner declares of a model.

description, task     words for people
preload = true        load at start
serve = "newest"      or a version's number: which version answers by default
encoder = "name"      another model whose output is this model's input
executor = "auto"     with Ray: "local" or "ray" whatever pays, "auto" as it pays
[[inputs]]            name, datatype, shape, columns (features of a matrix)
[cache] results       keep results of identical requests
        ttl_s         how long a kept result is good for; 0 for as long as the model serves
[accuracy_budget]     metric, largest_loss, prefer: lets smaller, inexact forms compete
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import ArtefactError
from engine.types import NUMPY_DTYPES, TensorSpec

NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
KEYS = frozenset(
    {
        "description",
        "task",
        "preload",
        "serve",
        "encoder",
        "executor",
        "inputs",
        "cache",
        "response",
        "accuracy_budget",
    }
)
INPUT_KEYS = frozenset({"name", "datatype", "shape", "columns"})
METRICS = ("accuracy", "f1_macro", "r2", "roc_auc")
PREFERENCES = ("size", "speed")
EXECUTORS = ("auto", "local", "ray")
NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class InputDeclaration:
    """One `[[inputs]]` table; columns name the features of a matrix input."""

    spec: TensorSpec
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccuracyBudget:
    """What a smaller form may cost: it replaces equality as such a form's oracle.

    metric: one of METRICS, computed on the version's held_out.npz. largest_loss: how far
    below the model's own figure it may fall. prefer: "size" takes the smallest form within
    the budget, "speed" the fastest.
    """

    metric: str
    largest_loss: float
    prefer: str = "size"


@dataclass(frozen=True, slots=True)
class Declaration:
    """The content of one model.toml, checked; defaults where it is silent."""

    description: str = ""
    task: str = ""
    preload: bool = True
    serve: str = NEWEST
    encoder: str = ""
    executor: str = "auto"
    cache_results: bool = True
    cache_ttl_s: float = 0.0
    decimals: int | None = None
    inputs: tuple[InputDeclaration, ...] = ()
    budget: AccuracyBudget | None = None

    def semantics(self) -> bytes:
        """The part that a plan and a cached result depend on, as bytes for a digest."""
        inputs = [asdict(item) for item in self.inputs]
        budget = asdict(self.budget) if self.budget else None
        return json.dumps([inputs, self.encoder, budget], sort_keys=True).encode()


def parse_model_toml(content: bytes) -> Declaration:
    """A declaration from the file's bytes. Raises ArtefactError naming the key."""
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"model.toml: {error}") from error
    _refuse_unknown(table, KEYS, "")
    inputs = tuple(_input(item) for item in _typed(table, "inputs", list, []))
    names = [item.spec.name for item in inputs]
    if len(set(names)) != len(names):
        raise ArtefactError("model.toml: an input is named twice")
    cache = _typed(table, "cache", dict, {})
    _refuse_unknown(cache, frozenset({"results", "ttl_s"}), "cache.")
    return Declaration(
        description=_typed(table, "description", str, ""),
        task=_typed(table, "task", str, ""),
        preload=_typed(table, "preload", bool, True),
        serve=_serve(table.get("serve", NEWEST)),
        encoder=_encoder(table),
        executor=_executor(table),
        cache_results=_typed(cache, "results", bool, True),
        cache_ttl_s=_seconds(cache, "ttl_s"),
        decimals=_decimals(_typed(table, "response", dict, {})),
        inputs=inputs,
        budget=_budget(table),
    )


def _input(item: Any) -> InputDeclaration:
    if not isinstance(item, dict) or item.keys() - INPUT_KEYS or "name" not in item:
        raise ArtefactError(f"model.toml: [[inputs]] takes {', '.join(sorted(INPUT_KEYS))}")
    datatype = _typed(item, "datatype", str, "FP64")
    if datatype not in NUMPY_DTYPES:
        raise ArtefactError(f"model.toml: inputs.{item['name']}: unknown datatype {datatype!r}")
    sizes = _typed(item, "shape", list, [-1])
    if not sizes or any(type(size) is not int or size < -1 or size == 0 for size in sizes):
        raise ArtefactError(
            f"model.toml: inputs.{item['name']}: shape is {sizes}; it takes sizes, or -1"
        )
    shape = tuple(sizes)
    columns = tuple(str(column) for column in _typed(item, "columns", list, []))
    if columns and (len(shape) != 2 or shape[1] not in (-1, len(columns))):
        raise ArtefactError(
            f"model.toml: inputs.{item['name']}: "
            f"{len(columns)} columns do not fit shape {list(shape)}"
        )
    if len(set(columns)) != len(columns):
        raise ArtefactError(f"model.toml: inputs.{item['name']}: a column is named twice")
    return InputDeclaration(TensorSpec(str(item["name"]), datatype, shape), columns)


def _serve(value: Any) -> str:
    if value == NEWEST:
        return NEWEST
    if type(value) is int and value > 0:
        return str(value)
    raise ArtefactError(f'model.toml: serve is {value!r}; it must be "newest" or a version number')


def _encoder(table: dict[str, Any]) -> str:
    name: str = _typed(table, "encoder", str, "")
    if name and not NAME_PATTERN.fullmatch(name):
        raise ArtefactError(f"model.toml: encoder is {name[:80]!r}; it must be a model's name")
    return name


def _executor(table: dict[str, Any]) -> str:
    value: str = _typed(table, "executor", str, "auto")
    if value not in EXECUTORS:
        raise _not_among("executor", value[:80], EXECUTORS)
    return value


def _budget(table: dict[str, Any]) -> AccuracyBudget | None:
    if "accuracy_budget" not in table:
        return None
    budget = _typed(table, "accuracy_budget", dict, {})
    _refuse_unknown(budget, frozenset({"metric", "largest_loss", "prefer"}), "accuracy_budget.")
    metric, prefer = budget.get("metric"), budget.get("prefer", "size")
    loss = budget.get("largest_loss")
    if metric not in METRICS:
        raise _not_among("accuracy_budget.metric", metric, METRICS)
    if prefer not in PREFERENCES:
        raise _not_among("accuracy_budget.prefer", prefer, PREFERENCES)
    if type(loss) not in (int, float) or not 0 <= loss <= 1:
        raise ArtefactError(
            f"model.toml: accuracy_budget.largest_loss is {loss!r}; it must be within 0..1"
        )
    return AccuracyBudget(metric, float(loss), prefer)


def _not_among(key: str, value: Any, known: tuple[str, ...]) -> ArtefactError:
    return ArtefactError(f"model.toml: {key} is {value!r}; it must be one of {', '.join(known)}")


def _refuse_unknown(table: dict[str, Any], known: frozenset[str], prefix: str) -> None:
    if unknown := table.keys() - known:
        raise ArtefactError(
            f"model.toml: unknown key {prefix + min(unknown)!r}; known: {', '.join(sorted(known))}"
        )


def _typed(table: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise ArtefactError(f"model.toml: {key} is {value!r}; it must be {kind.__name__}")
    return value


def _seconds(table: dict[str, Any], key: str) -> float:
    value = table.get(key, 0)
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ArtefactError(f"model.toml: {key} is {value!r}; it must be a number of seconds >= 0")
    return float(value)


def _decimals(response: dict[str, Any]) -> int | None:
    _refuse_unknown(response, frozenset({"decimals"}), "response.")
    value = response.get("decimals")
    if value is not None and (type(value) is not int or not 0 <= value <= 15):
        raise ArtefactError(f"model.toml: decimals is {value!r}; it must be 0 to 15")
    return value
