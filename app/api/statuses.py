"""The one table from errors to HTTP statuses."""

from __future__ import annotations

from app.exchange import BodyTooLarge, Header, Response, UnsupportedEncoding, error_response
from app.reports.store import UnknownReport
from app.stored_runs import UnknownRun
from engine.errors import (
    ArtefactError,
    Busy,
    Cancelled,
    DeadlineExceeded,
    InvalidField,
    InvalidInput,
    ModelFailed,
    ModelLoading,
    OverBudget,
    Overloaded,
    UnknownExperiment,
    UnknownModel,
    UnknownProfile,
    without_folders,
)

STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (BodyTooLarge, 413),
    (UnsupportedEncoding, 415),
    (InvalidField, 422),
    (InvalidInput, 400),
    (UnknownModel, 404),
    (UnknownExperiment, 404),
    (UnknownProfile, 404),
    (UnknownRun, 404),
    (UnknownReport, 404),
    (Busy, 409),
    (Overloaded, 429),
    (Cancelled, 499),
    (DeadlineExceeded, 504),
    (ModelLoading, 503),
    (OverBudget, 503),
    (ModelFailed, 503),
    (ArtefactError, 503),
)


def response_to(error: Exception) -> Response | None:
    """The answer to an error of ours; None for any other exception."""
    for kind, status in STATUSES:
        if isinstance(error, kind):
            headers: list[Header] = []
            if isinstance(error, Overloaded):
                headers.append(("retry-after", str(max(1, round(error.retry_after_s)))))
            elif isinstance(error, ModelLoading | OverBudget):
                headers.append(("retry-after", "1"))
            elif isinstance(error, UnsupportedEncoding):
                headers.append(("accept-encoding", "gzip, identity"))
            return error_response(status, without_folders(str(error)), *headers)
    return None
