"""The tree of errors. A message names the object, the actual value and the limit.

PyrometerError
├── ConfigurationError      a setting is unknown or out of range; start-up stops
├── InvalidInput            the caller's tensors do not fit the model
├── InvalidField            a field of an analysis request is out of its domain
├── UnknownModel            no such model or version in the repository
├── ModelFailed             the model could not be loaded or its run raised
│   └── ProviderLost        an execution provider that its plan counts on is not there
├── ModelLoading            the model was still loading when the wait ended
├── OverBudget              no room for a model within the memory budget
├── Overloaded              a bounded queue is full
├── UnknownProfile          no such capture, import or request among those kept
├── UnknownExperiment       no such experiment among those kept
├── Busy                    one of these runs already, and there may only be one
├── DeadlineExceeded        the caller's own deadline passed while the request waited
├── Cancelled               the caller has gone
└── ArtefactError           an artefact or compiled form cannot be read safely
    └── Untrusted           it may run code and is not in the trust file

HTTP statuses are found at the edge, in one table (app/api/statuses.py).
"""

from __future__ import annotations

import re

_FOLDERS = re.compile(r"(?<![\w/:.])(?:/[\w.@+~\-]+)+/(?=[\w.@+~\-])")
_QUOTED = re.compile(r"""(['"])/(?:(?!\1)[^\n])*/(?=[^/\n])""")
"""In quotes, as OSError has them, a path may have blanks and anything else in it."""


def without_folders(words: str) -> str:
    """Words of a system or a library without the folders of absolute paths: they stay inside."""
    return _FOLDERS.sub("", _QUOTED.sub(r"\1", words))


class PyrometerError(Exception):
    """Root of every error that Pyrometer raises on purpose."""


class ConfigurationError(PyrometerError):
    """A setting is unknown, malformed or out of range."""


class InvalidInput(PyrometerError):
    """The caller's tensors do not fit the model; the message names the tensor."""


class InvalidField(PyrometerError):
    """A field of an analysis request is outside its domain.

    field: dotted path of the field, for example ``transaction.amount``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class UnknownModel(PyrometerError):
    """No such model, or no such version of it, in the repository."""


class ModelFailed(PyrometerError):
    """The model could not be loaded, or its run raised."""


class ModelLoading(PyrometerError):
    """The model was still loading when the caller's wait ended."""


class OverBudget(PyrometerError):
    """A model does not fit the memory budget, or all of the budget is in use."""


class Overloaded(PyrometerError):
    """A bounded queue is full; retry_after_s says when to come back."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownProfile(PyrometerError):
    """No such capture, imported file or profiled request is kept."""


class UnknownExperiment(PyrometerError):
    """No such experiment is kept."""


class Busy(PyrometerError):
    """Something of which one may run at a time runs already."""


class DeadlineExceeded(PyrometerError):
    """The caller's own deadline passed before the request could run."""


class Cancelled(PyrometerError):
    """The caller has gone; nobody waits for the answer."""


class ProviderLost(ModelFailed):
    """An execution provider is not there, could not be opened, or runs nothing of the graph."""


class ArtefactError(PyrometerError):
    """An artefact or a compiled form cannot be read safely."""


class Untrusted(ArtefactError):
    """An artefact may run code when it is opened, and its digest is not in the trust file."""
