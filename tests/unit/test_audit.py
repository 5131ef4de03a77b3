"""What `make audit` concludes from a report, and that its bill of materials is complete."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.packages import missing

ROOT = Path(__file__).parents[2]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_audit", ROOT / "deploy/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit = loaded()
KNOWN = [{"id": "CVE-1", "also": ["GHSA-1"], "package": "DiskCache", "reason": "met"}]
WANTED = [("diskcache", "5.6.3"), ("numpy", "2.0")]


def entry(name: str, version: str, *vulns: tuple[str, list[str]]) -> dict[str, Any]:
    told = [{"id": found, "aliases": also, "fix_versions": ["9"]} for found, also in vulns]
    return {"name": name, "version": version, "vulns": told}


def verdict(*entries: dict[str, Any]) -> Any:
    return audit.judge({"dependencies": entries}, KNOWN, WANTED)


@pytest.mark.parametrize("ids", [("CVE-1", []), ("PYSEC-9", ["CVE-1"]), ("GHSA-1", [])])
def test_a_known_advisory_passes_by_any_of_its_names(ids: tuple[str, list[str]]) -> None:
    found = verdict(entry("diskcache", "5.6.3", ids), entry("numpy", "2.0"))
    assert (found.new, found.unasked, found.gone) == ((), (), ())
    assert [reason for _, reason in found.met] == ["met"]


def test_another_advisory_is_new_and_so_is_a_known_one_of_another_package() -> None:
    found = verdict(
        entry("diskcache", "5.6.3", ("CVE-2", [])), entry("NumPy", "2.0", ("CVE-1", []))
    )
    assert [(one.package, sorted(one.ids)) for one in found.new] == [
        ("diskcache", ["CVE-2"]),
        ("numpy", ["CVE-1"]),
    ]


def test_what_the_service_does_not_know_was_not_asked_about() -> None:
    """pip-audit itself ends with 0 and "no known vulnerabilities" here."""
    found = verdict(entry("diskcache", "5.6.3"), {"name": "numpy", "skip_reason": "not found"})
    assert found.unasked == ("numpy 2.0",)
    assert found.gone == ()


def test_what_is_left_out_of_the_report_was_not_asked_about() -> None:
    assert verdict(entry("numpy", "2.0")).unasked == ("diskcache 5.6.3",)


def test_a_known_advisory_that_is_reported_no_more_is_named() -> None:
    assert verdict(entry("diskcache", "5.6.3"), entry("numpy", "2.0")).gone == ("CVE-1",)


@pytest.mark.parametrize(
    ("report", "status", "said"),
    [
        ([entry("diskcache", "5.6.3", ("CVE-1", [])), entry("numpy", "2.0")], 0, "audited:"),
        ([entry("diskcache", "5.6.3", ("CVE-2", [])), entry("numpy", "2.0")], 1, "NEW by"),
        ([{"name": "numpy", "skip_reason": "not found"}], 2, "NOT AUDITED"),
        (None, 2, "NOT AUDITED"),
    ],
    ids=["clean", "new", "unknown-to-the-service", "out-of-reach"],
)
def test_the_exit_status_says_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    report: list[dict[str, Any]] | None,
    status: int,
    said: str,
) -> None:
    def ask(*_: object) -> dict[str, Any]:
        if report is None:
            raise audit.ToolFailed("no network")
        return {"dependencies": report}

    monkeypatch.setattr(audit, "ask", ask)
    monkeypatch.setattr(audit, "HERE", tmp_path)
    (tmp_path / "advisories.toml").write_text(
        '[[advisory]]\nid = "CVE-1"\npackage = "diskcache"\nreason = "met"\n'
    )
    assert audit.audit(tmp_path, tmp_path, WANTED) == status
    assert said in capsys.readouterr().out


def test_every_exception_is_explained_in_the_security_policy() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    lock = audit.locked((ROOT / "requirements.lock").read_text())
    known = tomllib.loads((ROOT / "deploy/advisories.toml").read_text())["advisory"]
    for one in known:
        assert one["reason"]
        assert one["package"] in dict(lock)
        for name in (one["id"], *one["also"]):
            assert name in policy


def test_a_lock_is_read_whole_also_what_is_for_another_python() -> None:
    text = (
        "numpy==2.4 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "numpy==2.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n"
        "    --hash=sha256:cc\nTwo_Words[extra]==1 \\\n    --hash=sha256:dd\n"
    )
    assert audit.locked(text) == [("numpy", "2.4"), ("numpy", "2.5"), ("two-words", "1")]
    first, second = audit.without_markers(text)
    assert first == (
        "numpy==2.4 \\\n    --hash=sha256:aa\nTwo_Words[extra]==1 \\\n    --hash=sha256:dd\n"
    )
    assert second == "numpy==2.5 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"


def test_every_package_of_our_lock_is_read() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = [line for line in text.splitlines() if line[:1].isalnum() and "==" in line]
    parts = [package for part in audit.without_markers(text) for package in audit.locked(part)]
    assert sorted(parts) == sorted(audit.locked(text))
    assert len(parts) == len(pins)


def test_the_bill_of_materials_names_every_locked_dependency(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Made by the tool itself, which checks it against CycloneDX' schema."""
    assert pytestconfig.cache is not None
    try:
        tools = audit.tools_in(pytestconfig.cache.mkdir("supply-audit"))
    except audit.ToolFailed as error:
        missing(str(error))
    wanted = audit.locked(audit.LOCK.read_text())
    bill = audit.write_sbom(tools, audit.LOCK, tmp_path / "sbom.json")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert audit.missing_from(bill, wanted) == []
    assert all(part["purl"].startswith("pkg:pypi/") for part in bill["components"])
    fewer = json.loads(json.dumps(bill))
    gone = fewer["components"].pop()
    assert audit.missing_from(fewer, wanted) == [f"{gone['name']} {gone['version']}"]
