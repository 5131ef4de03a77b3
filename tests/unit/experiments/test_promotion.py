"""What a promotion does to the registry: which version serves, whatever else is there."""

from __future__ import annotations

from tests.unit.test_registry import entry, registry


def serving(models: object) -> str:
    return models.slot("a").entry.version  # type: ignore[attr-defined,no-any-return]


def test_a_promoted_version_serves_and_a_newer_one_waits() -> None:
    models = registry(entry("a", "1"), entry("a", "2"))
    assert serving(models) == "2"
    models.promote("a", "1")
    assert serving(models) == "1"
    models.sync([entry("a", "1"), entry("a", "2"), entry("a", "3")])
    models.load(models.slot("a", "3")).result(1)
    assert serving(models) == "1"


def test_without_its_promotion_the_newest_warm_version_serves() -> None:
    models = registry(entry("a", "1"), entry("a", "2"), entry("a", "3"))
    models.promote("a", "1")
    models.load(models.slot("a", "2")).result(1)
    assert models.declared_version("a") == "3"
    models.load(models.slot("a", "3")).result(1)
    models.promote("a", None)
    assert serving(models) == "3"


def test_a_promotion_of_a_version_that_left_is_void() -> None:
    models = registry(entry("a", "1"), entry("a", "2"))
    models.promote("a", "1")
    models.sync([entry("a", "2")])
    assert serving(models) == "2"
    models.sync([entry("a", "1"), entry("a", "2")])
    assert serving(models) == "2"
