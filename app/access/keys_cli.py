"""`pyrometer keys`: make, list and revoke API keys, whether or not a server runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime

from app.access.keys import FILE, MOST_NAME, Key, KeyFile, new_key
from app.access.scopes import SCOPES, in_order, scopes_of
from engine.config import PREFIX, Settings
from engine.errors import InvalidInput

MOST_DAYS = 3660
DAY_S = 86_400


def add_keys_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`keys create`, `keys list` and `keys revoke`."""
    keys = commands.add_parser("keys", help="make, list and revoke API keys")
    actions = keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="whose it is, for lists and the audit log")
    create.add_argument(
        "--scope", required=True, help=f"one or more of {', '.join(SCOPES)}, comma-separated"
    )
    create.add_argument("--expires", type=int, metavar="DAYS", help="days until it counts no more")
    listed = actions.add_parser("list", help="all keys, without themselves")
    revoke = actions.add_parser("revoke", help="make a key count no more, within two seconds")
    revoke.add_argument("key", help="its name or id")
    for command in (create, listed, revoke):
        command.add_argument(
            "--state", metavar="PATH", help=f"the server's state folder ({PREFIX}STATE)"
        )


def run_keys(
    arguments: argparse.Namespace,
    settings: Settings,
    show: Callable[[str], None] = print,
    now_s: float | None = None,
) -> int:
    """Run the action. Raises InvalidInput, ConfigurationError."""
    now_s = time.time() if now_s is None else now_s
    file = KeyFile(settings.state / FILE)
    if arguments.action == "create":
        _create(arguments, file, show, now_s)
    elif arguments.action == "revoke":
        key = file.remove(arguments.key)
        show(f"{key.name} ({key.id}) is revoked; a running server knows within two seconds")
    else:
        _list(file, show, now_s)
    return 0


def _create(
    arguments: argparse.Namespace, file: KeyFile, show: Callable[[str], None], now_s: float
) -> None:
    name, days = arguments.name.strip(), arguments.expires
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InvalidInput(f"name must have 1 to {MOST_NAME} printable characters")
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"expires is {days}; it must be 1 to {MOST_DAYS} days")
    scopes = scopes_of(part.strip() for part in arguments.scope.split(","))
    token, key = new_key(name, scopes, now_s, None if days is None else now_s + days * DAY_S)
    file.add(key)
    until = "" if key.expires_s is None else f" until {_day(key.expires_s)}"
    show(f"{key.name} ({key.id}) may {', '.join(in_order(scopes))}{until}. The key, shown once:")
    show(token)


def _list(file: KeyFile, show: Callable[[str], None], now_s: float) -> None:
    keys = file.read()
    if not keys:
        show(f"no keys in {file.path}")
        return
    for key in sorted(keys.values(), key=lambda one: one.created_s):
        show(_line(key, now_s))


def _line(key: Key, now_s: float) -> str:
    if key.expires_s is None:
        until = "no end"
    else:
        until = f"{'ended' if key.is_over(now_s) else 'until'} {_day(key.expires_s)}"
    scopes = ",".join(in_order(key.scopes))
    return f"{key.id}  {scopes:<18}  made {_day(key.created_s)}  {until:<16}  {key.name}"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
