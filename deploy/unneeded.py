"""Names of the installed distributions that a server does not need: for an image.

    python deploy/unneeded.py redis otlp | xargs python -m pip uninstall --yes

The lock has what developers need too. What Pyrometer and the extras named require stays.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution, distributions

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def needed(name: str, extras: frozenset[str], found: dict[str, frozenset[str]]) -> None:
    """Add a distribution and all that it requires to `found`, by name, with the extras asked of
    each."""
    known = found.get(name)
    if known is not None and extras <= known:
        return
    found[name] = extras | (known or frozenset())
    try:
        requirements = map(Requirement, distribution(name).requires or [])
    except PackageNotFoundError:
        return  # its marker let it pass, and no wheel of it was needed on this system
    for requirement in requirements:
        marker = requirement.marker
        asked = [{"extra": extra} for extra in sorted(found[name])] or [{"extra": ""}]
        if marker is None or any(marker.evaluate(environment) for environment in asked):
            needed(canonicalize_name(requirement.name), frozenset(requirement.extras), found)


def unneeded(root: str, extras: frozenset[str]) -> list[str]:
    """Installed distributions that `root` with these extras does not require, sorted."""
    found: dict[str, frozenset[str]] = {}
    needed(root, extras, found)
    installed = {canonicalize_name(each.metadata["Name"]) for each in distributions()}
    return sorted(installed - found.keys() - {"pip"})


if __name__ == "__main__":
    print("\n".join(unneeded("pyrometer", frozenset(sys.argv[1:]))))
