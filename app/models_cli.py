"""`pyrometer models`: list, plan, trust, add. None of them runs code of a model's own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.config import Settings
from engine.errors import UnknownModel


def add_commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands below `models`; returns their parsers, for the flags of the settings."""
    actions = parser.add_subparsers(dest="action")
    listing = actions.add_parser("list", help="every model version, and how it is served")
    plan = actions.add_parser("plan", help="print a model's tournament, form by form")
    plan.add_argument("name", help="the model whose plan to print")
    trust = actions.add_parser("trust", help="let a pickle or a Python file run code")
    trust.add_argument("path", type=Path, help="the file whose SHA-256 goes into the trust file")
    add = actions.add_parser("add", help="put a model into the repository")
    add.add_argument(
        "path", type=Path, help="a .skops, .onnx, .joblib, .pkl or .py file, or an MLflow folder"
    )
    add.add_argument("--name", required=True, help="the model's name")
    add.add_argument("--version", dest="model_version", help="default: the next number")
    return [listing, plan, trust, add]


def run_action(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the command that was given. Raises PyrometerError for what the user can mend."""
    return ACTIONS[arguments.action or "list"](arguments, settings)


def list_models(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one line per model version: format, stored plan and its reason. Compiles nothing."""
    from engine.models.plan_store import PlanStore
    from engine.models.repository import read_repository

    repository = read_repository(settings.models)
    store = PlanStore.of(settings)
    for entry in repository.entries:
        plan = store.read(entry)
        words = plan.reason if plan else "no plan yet; it is made when the model is first loaded"
        print(f"{entry.name:24} {entry.version:>4}  {entry.format:7} {words}")
    for folder, reason in repository.problems.items():
        print(f"{folder:24}    -  cannot be used: {reason}")
    if not repository.entries and not repository.problems:
        print(f"no models in {settings.models}/")
    return 0


def print_plan(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print a model's tournament, newest version; holds it first where there is none.

    Raises UnknownModel, or ModelFailed when the model cannot be loaded.
    """
    from engine.models.plan_store import PlanStore
    from engine.models.plan_table import plan_table
    from engine.models.repository import read_repository

    name = arguments.name
    found = [e for e in read_repository(settings.models).entries if e.name == name]
    if not found:
        raise UnknownModel(f"unknown model {name!r} in {settings.models}/")
    store = PlanStore.of(settings)
    entry = found[-1]
    print(plan_table(store.read(entry) or store.make(entry, lambda child: None)))
    if settings.executor != "local":
        from engine.executors.placement import read_words

        print(read_words(settings.state / "ray", *entry.key))
    return 0


def trust_file(arguments: argparse.Namespace, settings: Settings) -> int:
    """Put a file's digest into the trust file. For an MLflow folder, its model file's."""
    from engine.models.artefacts import artefact_at
    from engine.models.trust import TrustFile

    path = artefact_at(arguments.path).path if arguments.path.is_dir() else arguments.path
    digest = TrustFile(settings.trust_file).add(path)
    print(f"{path} may run code from now on ({digest[:12]}…, in {settings.trust_file})")
    return 0


def add_model(arguments: argparse.Namespace, settings: Settings) -> int:
    """Copy a model into the repository, where a running server finds it by itself."""
    from engine.models import adding
    from engine.models.trust import TrustFile

    trust = TrustFile(settings.trust_file)
    entry = adding.add_model(
        arguments.path, settings.models, arguments.name, arguments.model_version, trust
    )
    print(f"{entry.name} version {entry.version} ({entry.format}) is in {settings.models}/")
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace, Settings], int]] = {
    "list": list_models,
    "plan": print_plan,
    "trust": trust_file,
    "add": add_model,
}
