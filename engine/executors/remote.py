"""What the engine knows of an executor that runs models elsewhere, whatever it is built on."""

from __future__ import annotations

from typing import Any, Protocol

LOCAL, RAY, AUTO = "local", "ray", "auto"
EXECUTORS = (LOCAL, RAY)
CHOICES = (AUTO, LOCAL, RAY)
"""What model.toml may say."""


class RemoteLost(Exception):
    """A run elsewhere has no answer: its replicas, its node or the way there are gone, or late.

    Whoever asked answers here instead. It never reaches a caller.
    """


class Remote(Protocol):
    """Replicas of models elsewhere, as routes and pages see them."""

    def figures(self) -> dict[str, Any]:
        """Nodes, deployments with their replicas, and counts, of the last report; plain data."""
        ...

    def placement(self, model: str, version: str) -> dict[str, Any] | None:
        """Where a version runs and why, with the figures that decided; None before it is known."""
        ...

    def drain(self, target: str) -> dict[str, Any]:
        """Take a replica, or all on a node, out of use gracefully.

        target: the id of a replica or of a node, as `figures` shows it. Raises UnknownModel,
        ModelFailed.
        """
        ...

    def restart(self, model: str) -> dict[str, Any]:
        """Begin a model's replicas anew, the new ones healthy before the old ones go.

        Raises UnknownModel, ModelFailed.
        """
        ...
