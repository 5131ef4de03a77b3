"""The `pyrometer` command."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from app.signals import hold_signals
from engine.config import PREFIX, Settings, load_settings, parse_value
from engine.errors import ConfigurationError, PyrometerError, UnknownModel
from engine.version import VERSION

log = logging.getLogger("pyrometer")


def build_parser() -> argparse.ArgumentParser:
    """The command line; every setting is a flag of `serve`, with its unit and default."""
    parser = argparse.ArgumentParser(
        prog="pyrometer", description="A model server that answers in microseconds and shows why."
    )
    parser.add_argument("--version", action="version", version=f"pyrometer {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model repository and the console")
    models = commands.add_parser("models", help="list the models, or print the plan of one")
    models.add_argument("action", nargs="?", choices=("list", "plan"), default="list")
    models.add_argument("name", nargs="?", help="the model whose plan to print")
    for command in (serve, models):
        for setting in fields(Settings):
            _add_flag(command, setting)
    return parser


def _add_flag(command: argparse.ArgumentParser, setting: Any) -> None:
    unit = f", {setting.metadata['unit']}" if setting.metadata["unit"] else ""
    is_switch = isinstance(setting.default, bool)
    default = ("on" if setting.default else "off") if is_switch else setting.default
    text = (
        f"{setting.metadata['help']} (default: {default if default != '' else 'none'}{unit}; "
        f"{PREFIX}{setting.name.upper()})"
    ).replace("%", "%%")
    flag = f"--{setting.name.replace('_', '-')}"
    if is_switch:
        command.add_argument(flag, nargs="?", const="on", metavar="on|off", help=text)
    else:
        command.add_argument(flag, metavar=type(setting.default).__name__.upper(), help=text)


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Settings from the environment and, stronger, the flags given."""
    overrides = {
        setting.name: parse_value(setting, getattr(arguments, setting.name))
        for setting in fields(Settings)
        if getattr(arguments, setting.name) is not None
    }
    return load_settings(os.environ, overrides)


def check_address(settings: Settings) -> None:
    """Refuse an address that others can reach, until there is authentication.

    Raises ConfigurationError naming the way out.
    """
    if settings.insecure or settings.host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(
            f"host is {settings.host!r}: anybody who reaches it could load, flush and run models, "
            "and there is no authentication yet; use a loopback address, or --insecure"
        )


def serve(settings: Settings) -> int:
    """Serve until a signal; the engine answers first, the console joins when it is built."""
    hold_signals()
    from app.front import Front
    from app.server import Server
    from engine.engine import Engine

    check_address(settings)
    engine = Engine(settings)
    server = Server(Front(engine), settings.host, settings.port, settings.http_threads)
    try:
        server.start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    engine.start()
    threading.Thread(target=_mount_console, args=(server,), daemon=True).start()
    shown = f"[{server.host}]" if ":" in server.host else server.host
    print(f"Pyrometer is at http://{shown}:{server.port}/  (Ctrl-C stops it)", flush=True)
    for folder, reason in engine.problems.items():
        print(f"  not served: {folder}: {reason}", flush=True)
    server.wait()
    engine.close()
    return 0


def _mount_console(server: Any) -> None:
    try:
        from app.flask_app import build_flask

        server.mount(build_flask(server.front))
    except Exception:
        # Inference goes on without its console; the log says why.
        log.exception("the console could not be built")


def list_models(settings: Settings) -> int:
    """Print one line per model version: stored plan and its reason. Compiles nothing."""
    from engine.models.plan_store import PlanStore
    from engine.models.repository import read_repository

    repository = read_repository(settings.models)
    store = PlanStore.of(settings)
    for entry in repository.entries:
        plan = store.read(entry)
        words = plan.reason if plan else "no plan yet; it is made when the model is first loaded"
        print(f"{entry.name:24} {entry.version:>4}  {words}")
    for folder, reason in repository.problems.items():
        print(f"{folder:24}    -  cannot be used: {reason}")
    if not repository.entries and not repository.problems:
        print(f"no models in {settings.models}/")
    return 0


def print_plan(settings: Settings, name: str) -> int:
    """Print a model's tournament, newest version; holds it first where there is none.

    Raises UnknownModel, or ModelFailed when the model cannot be loaded.
    """
    from engine.models.plan_store import PlanStore
    from engine.models.plan_table import plan_table
    from engine.models.repository import read_repository

    found = [e for e in read_repository(settings.models).entries if e.name == name]
    if not found:
        raise UnknownModel(f"unknown model {name!r} in {settings.models}/")
    store = PlanStore.of(settings)
    entry = found[-1]
    print(plan_table(store.read(entry) or store.make(entry, lambda child: None)))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script. Returns the exit status; 2 for a bad configuration."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = settings_from(arguments)
        if arguments.command == "serve":
            return serve(settings)
        if arguments.action == "list":
            return list_models(settings)
        if arguments.name is None:
            raise ConfigurationError("models plan needs the name of a model")
        return print_plan(settings, arguments.name)
    except ConfigurationError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 2
    except PyrometerError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
