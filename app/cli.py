"""The `pyrometer` command."""

from __future__ import annotations

import argparse
import gc
import ipaddress
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from app.models_cli import add_commands, run_action
from app.profile_cli import add_profile_command, run_profile
from app.signals import hold_signals
from engine.config import PREFIX, Settings, load_settings, parse_value, sources_of
from engine.errors import ConfigurationError, PyrometerError
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
    models = commands.add_parser("models", help="list, explain, trust and add models")
    for command in (serve, models, *add_commands(models)):
        for setting in fields(Settings):
            _add_flag(command, setting)
    add_profile_command(commands)
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


def overrides_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings given by flags."""
    return {
        setting.name: parse_value(setting, getattr(arguments, setting.name))
        for setting in fields(Settings)
        if getattr(arguments, setting.name) is not None
    }


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


def serve(settings: Settings, sources: Mapping[str, str]) -> int:
    """Serve until a signal; the engine answers first, the console joins when it is built.

    sources: see `sources_of`.
    """
    hold_signals()
    from app.front import Front
    from app.notifiers import notifiers_of
    from app.server import Server
    from engine.engine import Engine

    check_address(settings)
    engine = Engine(settings)
    engine.sources = sources
    engine.monitoring.dispatcher.notifiers += notifiers_of(settings)
    traces = None
    if settings.otlp_endpoint:
        from app.traces import TraceExporter

        traces = TraceExporter(engine.ticker, settings.otlp_endpoint)
    server = Server(Front(engine))
    try:
        server.start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    engine.start()
    if traces is not None:
        traces.start()
    threading.Thread(target=_mount_console, args=(server,), daemon=True).start()
    shown = f"[{server.host}]" if ":" in server.host else server.host
    print(f"Pyrometer is at http://{shown}:{server.port}/  (Ctrl-C stops it)", flush=True)
    for folder, reason in engine.problems.items():
        print(f"  not served: {folder}: {reason}", flush=True)
    server.wait()
    if traces is not None:
        traces.stop()
    engine.close()
    server.close()
    return 0


def _mount_console(server: Any) -> None:
    try:
        from app.flask_app import build_flask

        server.mount(build_flask(server.front))
        server.front.compressor.calibrate()
        # What start-up has made stays: the collector need not look through it again and again,
        # with every request waiting for it.
        gc.collect()
        gc.freeze()
    except Exception:
        # Inference goes on without its console; the log says why.
        log.exception("the console could not be built")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script. Returns the exit status; 2 for a bad configuration."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if arguments.command == "profile":
            return run_profile(arguments)
        overrides = overrides_from(arguments)
        settings = load_settings(os.environ, overrides)
        if arguments.command == "serve":
            return serve(settings, sources_of(os.environ, overrides))
        return run_action(arguments, settings)
    except ConfigurationError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 2
    except PyrometerError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
