"""The `pyrometer` command."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.access.keys_cli import add_keys_command, run_keys
from app.allocator import bound_arenas
from app.models_cli import add_commands, run_action
from app.profile_cli import add_profile_command, run_profile
from app.report_flags import add_report_command
from app.signals import hold_signals
from engine.config import PREFIX, Settings, load_settings, parse_value, sources_of
from engine.errors import ConfigurationError, PyrometerError
from engine.version import VERSION

log = logging.getLogger("pyrometer")
OF_MODELS = frozenset({"models", "state", "trust_file"})
"""Settings that the help of `pyrometer models` shows."""
CONSOLE_RETRY_S, MOST_RETRY_S = 2.0, 60.0


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line; every setting is a flag of `serve`, with its unit and default.

    words: what is to be parsed; the flags of `bench` are made for `bench` only.
    """
    parser = argparse.ArgumentParser(
        prog="pyrometer", description="A model server that answers in microseconds and shows why."
    )
    parser.add_argument("--version", action="version", version=f"pyrometer {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model repository and the console")
    models = commands.add_parser("models", help="list, explain, trust and add models")
    for command in (serve, models, *add_commands(models)):
        for setting in fields(Settings):
            _add_flag(command, setting, command is serve or setting.name in OF_MODELS)
    add_profile_command(commands)
    add_keys_command(commands)
    add_report_command(commands)
    from bench.lab.cli import add_bench_commands

    add_bench_commands(commands, whole=list(words[:1]) == ["bench"])
    return parser


def _add_flag(command: argparse.ArgumentParser, setting: Any, shown: bool) -> None:
    """shown: in the command's help; it is taken anyway."""
    if setting.metadata["secret"]:
        return  # everybody on the machine sees a process' flags
    unit = f", {setting.metadata['unit']}" if setting.metadata["unit"] else ""
    is_switch = isinstance(setting.default, bool)
    default = ("on" if setting.default else "off") if is_switch else setting.default
    text = (
        f"{setting.metadata['help']} (default: {default if default != '' else 'none'}{unit}; "
        f"{PREFIX}{setting.name.upper()})"
    ).replace("%", "%%")
    text = text if shown else argparse.SUPPRESS
    flag = f"--{setting.name.replace('_', '-')}"
    if is_switch:
        command.add_argument(flag, nargs="?", const="on", metavar="on|off", help=text)
    else:
        kind = "PATH" if isinstance(setting.default, Path) else type(setting.default).__name__
        command.add_argument(flag, metavar=kind.upper(), help=text)


def overrides_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings given by flags."""
    return {
        setting.name: parse_value(setting, getattr(arguments, setting.name))
        for setting in fields(Settings)
        if getattr(arguments, setting.name, None) is not None
    }


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Take secrets out of the environment, which the child processes that open models inherit."""
    for setting in fields(Settings):
        if setting.metadata["secret"]:
            environ.pop(f"{PREFIX}{setting.name.upper()}", None)


def serve(settings: Settings, sources: Mapping[str, str]) -> int:
    """Serve until a signal; the engine answers first, the console joins when it is built.

    sources: see `sources_of`.
    """
    hold_signals()
    bound_arenas()
    faulthandler.enable()  # a crash in C, and `kill -ABRT`, say where every thread was
    os.umask(0o077)  # caches, history and runs hold what was asked and answered
    from app.access.reach import check_reach, check_settings, ring_of
    from app.front import Front
    from app.notifiers import notifiers_of, outgoing_of
    from app.server import Server
    from engine.engine import Engine
    from engine.models.files import close_to_others

    check_settings(settings)
    warning = check_reach(settings, ring_of(settings))
    close_to_others(settings.state)
    engine = Engine(settings)
    engine.sources = sources
    dispatcher = engine.monitoring.dispatcher
    dispatcher.notifiers += notifiers_of(settings)
    engine.outgoing.append(lambda: outgoing_of(dispatcher.notifiers, dispatcher))
    traces = None
    if settings.otlp_endpoint:
        from app.traces import TraceExporter

        traces = TraceExporter(engine.ticker, settings.otlp_endpoint)
        engine.outgoing.append(lambda exporter=traces: [exporter.outgoing()])  # type: ignore[misc]
    server = Server(Front(engine))
    puller = None
    if settings.peers:
        from app.fleet.puller import puller_of

        puller = puller_of(engine)
    try:
        server.start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    if not settings.optimise:
        # scikit-learn and plotly are imported by two threads at once below, and each begins
        # with another module of this package: that deadlocks, unless the package is there.
        with contextlib.suppress(ImportError):
            importlib.import_module("narwhals.stable")
    engine.start()
    if traces is not None:
        traces.start()
    if puller is not None:
        puller.start()
    reports = None
    if settings.report_at:
        from app.reports.daily import daily_reports

        reports = daily_reports(engine, time.time)
        reports.start()
    threading.Thread(target=_mount_console, args=(server,), daemon=True).start()
    shown = f"[{server.host}]" if ":" in server.host else server.host
    kind, base = "https" if settings.tls_cert else "http", settings.path_prefix
    asks = "; asks for API keys" if server.front.gate.ring.required else ""
    print(
        f"Pyrometer is at {kind}://{shown}:{server.port}{base}/{asks}  (Ctrl-C stops it)",
        flush=True,
    )
    if warning:
        print(f"  {warning}", flush=True)
    for folder, reason in engine.problems.items():
        print(f"  not served: {folder}: {reason}", flush=True)
    if not engine.registry.slots():
        there = "holds no model" if settings.models.is_dir() else "does not exist"
        print(f"  no models: {settings.models.absolute()} {there}", flush=True)
    server.wait()
    if puller is not None:
        puller.stop()
    if traces is not None:
        traces.stop()
    if reports is not None:
        reports.stop()
    engine.close()
    server.close()
    return 0


def _mount_console(server: Any) -> None:
    """Build the console; where the machine has nothing left to build it with, try again."""
    pause_s = CONSOLE_RETRY_S
    while not server.front.engine.draining:
        try:
            _build_console(server)
            return
        except (OSError, RuntimeError):
            log.exception("the console could not be built; again in %g s", pause_s)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, MOST_RETRY_S)
        except Exception:
            # Inference goes on without its console; the log says why.
            log.exception("the console could not be built")
            return


def _build_console(server: Any) -> None:
    # A model's loader imports it too: of two threads that meet, Python lets one go on.
    with contextlib.suppress(ImportError, RuntimeError):
        import narwhals.stable.v1  # noqa: F401
    from app.flask_app import build_flask

    server.mount(build_flask(server.front))
    server.front.gate.prepare()
    server.front.compressor.calibrate()
    # What start-up has made stays: the collector need not look through it again and again,
    # with every request waiting for it.
    gc.collect()
    gc.freeze()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script. Returns the exit status; 2 for a bad configuration."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser(words).parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if arguments.command == "profile":
            return run_profile(arguments)
        if arguments.command == "bench":
            from bench.lab.cli import run_bench

            return run_bench(arguments)
        if arguments.command == "report":
            from app.report_cli import run_report

            return run_report(arguments)
        overrides = overrides_from(arguments)
        settings = load_settings(os.environ, overrides)
        if arguments.command == "keys":
            return run_keys(arguments, settings)
        if arguments.command == "serve":
            sources = sources_of(os.environ, overrides)
            forget_secrets(os.environ)
            return serve(settings, sources)
        return run_action(arguments, settings)
    except ConfigurationError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 2
    except PyrometerError as error:
        print(f"pyrometer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
