"""What we depend on: a bill of materials, and advisories about it. `make audit`.

    requirements.lock ──cyclonedx-py──> build/audit/sbom.cdx.json   CycloneDX 1.6, validated
                      ──pip-audit─────> build/audit/advisories.json

The tools live in an environment of their own, build/audit/venv, pinned by digest in
deploy/audit.lock. An advisory passes only when deploy/advisories.toml names it with a reason.

Exit status: 0 all were asked about and none is new; 1 there is a new advisory, or the bill of
materials lacks a dependency; 2 the advisories of some could not be asked for.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
LOCK = ROOT / "requirements.lock"
SPEC_VERSION = "1.6"
SERVICES = ("pypi", "osv")
"""Asked in turn, until one answers about every dependency."""
ASKED_FOR_S = 600
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")


Package = tuple[str, str]


class ToolFailed(Exception):
    """A tool could not be installed, or did not do what it is for; the message says which."""


@dataclass(frozen=True)
class Finding:
    """An advisory about a locked dependency. ids: its own and its other names."""

    package: str
    version: str
    ids: frozenset[str]
    fixed_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What came of asking. unasked: dependencies that the service knows nothing of."""

    new: tuple[Finding, ...]
    met: tuple[tuple[Finding, str], ...]
    gone: tuple[str, ...]
    unasked: tuple[str, ...]


def normal(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> list[Package]:
    """Normal name and version of all that a lock file pins, for whatever Python and system."""
    found = (_PINNED.match(line) for line in text.splitlines())
    return [(normal(match[1]), match[2]) for match in found if match]


def without_markers(text: str) -> list[str]:
    """Lock files that pin the same for this Python too, each package at most once in each.

    pip-audit leaves out what is for another Python or system, and takes no package twice.
    """
    parts, seen = list[list[str]](), dict[str, int]()
    for line in text.splitlines():
        if match := _PINNED.match(line):
            place = seen[match[1]] = seen.get(match[1], -1) + 1
            if place == len(parts):
                parts.append([])
            part = parts[place]
            line = f"{match[0]} \\"
        if line[:1] == " " or line[:1].isalnum():
            part.append(line)
    return ["\n".join(part) + "\n" for part in parts]


def judge(
    report: Mapping[str, Any], known: Iterable[Mapping[str, Any]], wanted: Iterable[Package]
) -> Verdict:
    """A report of pip-audit against the advisories that are known and the whole lock."""
    findings, asked = list[Finding](), set[Package]()
    for entry in report["dependencies"]:
        if "skip_reason" in entry:
            continue
        asked.add((normal(entry["name"]), entry["version"]))
        findings += [
            Finding(
                normal(entry["name"]),
                entry["version"],
                frozenset((vuln["id"], *vuln.get("aliases", ()))),
                tuple(vuln.get("fix_versions", ())),
            )
            for vuln in entry.get("vulns", ())
        ]
    names = {one["id"]: {one["id"], *one.get("also", ())} for one in known}
    about = {one["id"]: (normal(one["package"]), str(one["reason"])) for one in known}
    new, met, seen = list[Finding](), list[tuple[Finding, str]](), set[str]()
    for finding in findings:
        matching = [
            key
            for key, ids in names.items()
            if finding.ids & ids and about[key][0] == finding.package
        ]
        seen.update(matching)
        if matching:
            met.append((finding, about[matching[0]][1]))
        else:
            new.append(finding)
    unasked = tuple(" ".join(package) for package in sorted(set(wanted) - asked))
    gone = () if unasked else tuple(sorted(set(names) - seen))
    return Verdict(tuple(new), tuple(met), gone, unasked)


def missing_from(sbom: Mapping[str, Any], wanted: Iterable[Package]) -> list[str]:
    """What is locked and not among a bill's components, name and version."""
    there = {(normal(part["name"]), part.get("version")) for part in sbom.get("components", ())}
    return [" ".join(package) for package in wanted if package not in there]


def tools_in(folder: Path) -> Path:
    """The environment of the tools, made where it is absent. Raises ToolFailed."""
    pins = HERE / "audit.lock"
    ready, content = folder / ".ready", pins.read_text()
    if ready.is_file() and ready.read_text() == content:
        return folder
    venv.create(folder, with_pip=True, clear=True)
    install: list[str | Path] = [folder / "bin/python", "-m", "pip", "install", "--quiet"]
    install.append("--require-hashes")
    done = subprocess.run([*install, "-r", pins], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFailed(f"the tools cannot be installed: {done.stderr.strip()[-500:]}")
    ready.write_text(content)
    return folder


def write_sbom(tools: Path, lock: Path, target: Path) -> dict[str, Any]:
    """The bill of materials of a lock file, checked against CycloneDX' schema by its own tool."""
    command: list[str | Path] = [tools / "bin/cyclonedx-py", "requirements", lock]
    command += ["--pyproject", ROOT / "pyproject.toml"]
    options = ["--sv", SPEC_VERSION, "--of", "JSON", "--validate", "--output-reproducible"]
    done = subprocess.run(
        [*command, *options, "-o", target], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolFailed(f"cyclonedx-py: {done.stderr.strip()[-500:]}")
    return dict(json.loads(target.read_bytes()))


def ask(tools: Path, lock: Path, service: str, target: Path) -> dict[str, Any]:
    """pip-audit's report by one service; it has only what that answered. Raises ToolFailed."""
    target.unlink(missing_ok=True)
    command: list[str | Path] = [tools / "bin/pip-audit", "-r", lock]
    command += ["--disable-pip", "--require-hashes", "-s", service, "-f", "json", "-o", target]
    done = subprocess.run(
        [*command, "--progress-spinner", "off"],
        capture_output=True,
        text=True,
        check=False,
        timeout=ASKED_FOR_S,
    )
    # Its status is 1 for findings and for failures alike, and 0 where it knew nothing at all.
    if not target.is_file():
        said = done.stderr.strip().splitlines()
        raise ToolFailed(f"pip-audit by {service}: {said[-1][:300] if said else 'no words'}")
    return dict(json.loads(target.read_bytes()))


def ask_about_all(tools: Path, lock: str, service: str, folder: Path) -> dict[str, Any]:
    """One report about all that a lock file pins. Raises as `ask`."""
    report: dict[str, Any] = {"dependencies": []}
    for part in without_markers(lock):
        pins = folder / "part.lock"
        pins.write_text(part)
        report["dependencies"] += ask(tools, pins, service, folder / "part.json")["dependencies"]
    (folder / "advisories.json").write_text(json.dumps(report, indent=1))
    return report


def audit(tools: Path, folder: Path, wanted: Sequence[Package]) -> int:
    """Ask the services in turn and say what came of it; returns the exit status."""
    known = tomllib.loads((HERE / "advisories.toml").read_text()).get("advisory", [])
    verdicts = list[tuple[str, Verdict]]()
    for service in SERVICES:
        try:
            report = ask_about_all(tools, LOCK.read_text(), service, folder)
        except (ToolFailed, OSError, ValueError, subprocess.TimeoutExpired) as error:
            print(f"not asked: {error}")
            continue
        verdict = judge(report, known, wanted)
        verdicts.append((service, verdict))
        print(f"{service} answered about {len(wanted) - len(verdict.unasked)} of {len(wanted)}")
        if not verdict.unasked:
            break
    for service, verdict in verdicts:
        for finding, reason in verdict.met:
            print(f"met: {_words(finding)}: {reason}")
        for finding in verdict.new:
            fixed_in = ", ".join(finding.fixed_in) or "none"
            print(f"NEW by {service}: {_words(finding)}; fixed in {fixed_in}")
        for name in verdict.gone:
            print(f"reported no more, to be taken out of advisories.toml: {name}")
    if any(verdict.new for _, verdict in verdicts):
        return 1
    if all(verdict.unasked for _, verdict in verdicts):
        least = min((v.unasked for _, v in verdicts), key=len, default=tuple(wanted))
        print(f"NOT AUDITED: no service answered about {len(least)} of {len(wanted)} dependencies")
        return 2
    print("audited: no advisory but those met")
    return 0


def _words(finding: Finding) -> str:
    return f"{finding.package} {finding.version}: {', '.join(sorted(finding.ids))}"


def main(argv: list[str] | None = None) -> int:
    """Entry of `make audit`."""
    parser = argparse.ArgumentParser(description="bill of materials and advisories")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/audit")
    parser.add_argument("--sbom-only", action="store_true", help="ask no service")
    arguments = parser.parse_args(argv)
    folder, wanted = arguments.folder, locked(LOCK.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tools = tools_in(folder / "venv")
        sbom = write_sbom(tools, LOCK, folder / "sbom.cdx.json")
    except ToolFailed as error:
        print(error)
        return 2
    print(f"{folder / 'sbom.cdx.json'}: CycloneDX {SPEC_VERSION}, valid, {len(wanted)} locked")
    if missing := missing_from(sbom, wanted):
        print(f"not in the bill of materials: {', '.join(missing)}")
        return 1
    return 0 if arguments.sbom_only else audit(tools, folder, wanted)


if __name__ == "__main__":
    sys.exit(main())
