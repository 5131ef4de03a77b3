"""Experiments: what is there, one with its results, and what may be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.api.performance import object_of
from app.api.telemetry import checked_text
from app.exchange import Exchange, Response, json_response
from engine.errors import InvalidInput

if TYPE_CHECKING:
    from engine.experiments.experiment import Experiment

MOST_REASON = 300


def overview(exchange: Exchange) -> Response:
    """Every experiment without its results, and what was promoted."""
    return json_response(exchange.engine.trials.overview())


def options(exchange: Exchange) -> Response:
    """GET ?model=: versions, forms and settings that variants of a model may have."""
    model = exchange.query("model")
    if not model:
        raise InvalidInput("model must name a model")
    return json_response(exchange.engine.trials.options(model))


def about(exchange: Exchange) -> Response:
    """One experiment with its results, as far as they may be shown."""
    return _answer(exchange, _one(exchange))


def create(exchange: Exchange) -> Response:
    """POST a definition: a draft, or a running experiment where it says start."""
    body = exchange.json_object()
    start = body.get("start", False)
    if not isinstance(start, bool):
        raise InvalidInput("start must be true or false")
    trials = exchange.engine.trials
    experiment = trials.create(body)
    if start:
        try:
            trials.begin_trial(experiment)
        except Exception:
            trials.delete(experiment)
            raise
    told = trials.answer(experiment) | {"warning": experiment.definition.warning}
    return json_response(told, 201)


def start(exchange: Exchange) -> Response:
    """POST {}: put control in place and lead callers to the variants."""
    object_of(exchange, set())
    experiment = _one(exchange)
    exchange.engine.trials.begin_trial(experiment)
    return _answer(exchange, experiment)


def stop(exchange: Exchange) -> Response:
    """POST {"reason"?}: everybody is answered by control at once."""
    body = object_of(exchange, {"reason"})
    experiment = _one(exchange)
    exchange.engine.trials.stop(experiment, checked_text(body, "reason", MOST_REASON, ""))
    return _answer(exchange, experiment)


def promote(exchange: Exchange) -> Response:
    """POST {"variant"?, "force"?}: a candidate answers whoever names no version from now on."""
    body = object_of(exchange, {"variant", "force"})
    variant, force = body.get("variant"), body.get("force", False)
    if variant is not None and not isinstance(variant, str):
        raise InvalidInput("variant must be a candidate's name")
    if not isinstance(force, bool):
        raise InvalidInput("force must be true or false")
    experiment = _one(exchange)
    exchange.engine.trials.promote(experiment, variant, force)
    return _answer(exchange, experiment)


def roll_back(exchange: Exchange) -> Response:
    """POST {}: end it with control."""
    object_of(exchange, set())
    experiment = _one(exchange)
    exchange.engine.trials.roll_back(experiment)
    return _answer(exchange, experiment)


def undo(exchange: Exchange) -> Response:
    """POST {"model"}: what served before its promotion serves again."""
    model = checked_text(object_of(exchange, {"model"}), "model", 128)
    trials = exchange.engine.trials
    text = trials.undo(model)
    left = trials.book.promotions.get(model)
    answer: dict[str, Any] = {
        "text": f"{text} of {model} serves again",
        "promotion": None if left is None else left.as_dict(),
    }
    return json_response(answer)


def delete(exchange: Exchange) -> Response:
    """POST {}: forget one that does not run."""
    object_of(exchange, set())
    experiment = _one(exchange)
    exchange.engine.trials.delete(experiment)
    return json_response({"text": f"{experiment.definition.name} is deleted"})


def _one(exchange: Exchange) -> Experiment:
    return exchange.engine.trials.book.one(exchange.path_args["experiment"])


def _answer(exchange: Exchange, experiment: Experiment, status: int = 200) -> Response:
    return json_response(exchange.engine.trials.answer(experiment), status)
