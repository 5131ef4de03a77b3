"""The Experiments page in a real browser: made, hidden, judged, promoted, undone, stopped."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.e2e.callers import Callers
from tests.e2e.conftest import close
from tests.e2e.test_every_page import AXE, AXE_SHA512, FOUND, STANDARD
from tests.packages import npm_package
from tests.waiting import until

pytestmark = pytest.mark.browser
PATH = "/performance/experiments"
MODEL = "breast_cancer"
PLAIN = {"name": "plain", "backend": "scikit-learn", "caches": "off"}
UNCACHED = {"name": "control", "caches": "off"}


@pytest.fixture(scope="module")
def lab(
    start_server: StartServer,
    bundled_models: Path,
    shared_state: Path,
    server: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> RunningServer:
    """A server with a state of its own: what runs here must not run in other tests' servers."""
    state = tmp_path_factory.mktemp("lab") / "state"
    shutil.copytree(shared_state / "plans", state / "plans")
    running = start_server(bundled_models, state)
    until(lambda: running.answers("/experiments"), 30, "the console")
    return running


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    return (npm_package(pytestconfig, "axe-core", AXE, AXE_SHA512) / "axe.min.js").read_text()


@pytest.fixture
def callers(lab: RunningServer, bundled_models: Path) -> Callers:
    return Callers(lab.port, bundled_models / MODEL)


@pytest.fixture
def clean(lab: RunningServer) -> Iterator[RunningServer]:
    """Without experiments and promotions, before and after."""
    _clear(lab.port)
    yield lab
    _clear(lab.port)


def _clear(port: int) -> None:
    told = call(port, "GET", PATH)[2]
    for one in told["experiments"]:
        if one["state"] == "running":
            assert call(port, "POST", f"{PATH}/{one['id']}/stop", {})[0] == 200
        assert call(port, "POST", f"{PATH}/{one['id']}/delete", {})[0] == 200
    while promotions := call(port, "GET", PATH)[2]["promotions"]:
        assert call(port, "POST", f"{PATH}/undo", {"model": promotions[0]["model"]})[0] == 200


@pytest.fixture
def tab(browser: Any, clean: RunningServer) -> Iterator[Any]:
    """A tab on the console; an error of its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    close(context)
    assert errors == []


def create(server: RunningServer, **further: Any) -> dict[str, Any]:
    body = {"name": "forms", "model": MODEL, "candidates": [PLAIN], "control": UNCACHED}
    body |= {"analysis": {"kind": "planned", "requests": 100}, "guards": {"p99": None}}
    status, _, made = call(server.port, "POST", PATH, body | {"start": True} | further)
    assert status == 201, made
    found: dict[str, Any] = made
    return found


def about(server: RunningServer, number: str) -> dict[str, Any]:
    found: dict[str, Any] = call(server.port, "GET", f"{PATH}/{number}")[2]
    return found


def shown(tab: Any, server: RunningServer, query: str = "") -> Any:
    tab.goto(f"{server.url}/experiments{query}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_selector("#experiments-page:not([data-state=loading])")
    return tab


def verdict(tab: Any) -> str:
    return str(tab.inner_text("#experiments-verdict"))


def says(tab: Any, words: str, deadline_ms: int = 10_000) -> None:
    tab.wait_for_selector(f"#experiments-verdict:has-text({words!r})", timeout=deadline_ms)


def press(tab: Any, action: str) -> None:
    tab.click(f"#experiments-actions [data-action={action}]")


def confirmed(tab: Any, action: str) -> str:
    """Press, read what it asks, say yes."""
    press(tab, action)
    question = str(tab.inner_text("#experiments-actions .confirm-text"))
    tab.click("#experiments-actions [data-action=confirm]")
    return question


def toast(tab: Any, title: str) -> str:
    place = f"#toasts .toast:has(.toast-title:has-text({title!r})) .toast-detail"
    tab.wait_for_selector(place)
    return str(tab.inner_text(place))


def test_without_experiments_it_says_how_to_begin(tab: Any, lab: RunningServer) -> None:
    shown(tab, lab)
    assert verdict(tab) == "No experiment yet"
    assert tab.get_attribute("#experiments-page", "data-form") == "open"
    assert tab.locator("#experiments-results").is_hidden()
    line = tab.locator("#experiments-curl code")
    assert line.inner_text().startswith(f"curl -s {lab.url}{PATH} ")
    assert "No experiment is kept yet" in tab.inner_text("#empty-experiments-list")


def test_the_forms_of_a_model_that_cannot_be_are_there_with_their_reason(
    tab: Any, lab: RunningServer
) -> None:
    told = call(lab.port, "GET", f"{PATH}/options?model=fraud_detector")[2]["versions"][0]
    out = [form for form in told["backends"] if not form["possible"]]
    assert out, "the forest has a form that is out"
    shown(tab, lab, "?new=1")
    tab.select_option("#experiments-field-model", "fraud_detector")
    options = tab.locator("#experiments-variants [data-role=candidate] [data-part=backend] option")
    until(lambda: options.count() == len(told["backends"]) + 1, 10, "the model's forms")
    for form in out:
        option = options.filter(has_text=form["form"])
        assert option.is_disabled()
        assert option.get_attribute("title").startswith(form["reason"][:40])


def test_from_the_form_to_a_verdict_a_promotion_and_its_undo(
    tab: Any, lab: RunningServer, callers: Callers
) -> None:
    shown(tab, lab, f"?new=1&model={MODEL}")
    form = "#experiments-variants [data-part=backend] option[value=scikit-learn]"
    tab.wait_for_selector(form, state="attached")
    tab.fill("#experiments-field-header", "x-user-id")
    tab.fill("#experiments-field-analysis-requests", "100")
    tab.uncheck("#experiments-field-guards-p99")
    tab.select_option("[data-role=control] [data-part=caches]", "off")
    tab.select_option("[data-role=candidate] [data-part=caches]", "off")
    tab.select_option("[data-role=candidate] [data-part=backend]", "scikit-learn")
    name = "scikit-learn-uncached"
    assert tab.get_attribute("[data-role=candidate] [data-part=name]", "placeholder") == name
    tab.click("#experiments-create")
    assert name in toast(tab, "Started the experiment")
    says(tab, "Hidden until each variant has answered 100 requests: ")
    assert tab.get_attribute("#experiments-page", "data-form") == "closed"
    number = re.search(r"experiment=([0-9a-f]+)", tab.url).group(1)  # type: ignore[union-attr]
    assert about(lab, number)["state"] == "running"
    assert tab.inner_text("#experiments-forest").startswith("Hidden until each variant")
    assert "x-user-id: 42" in tab.inner_text("#experiments-command code")

    callers.send(lambda: about(lab, number)["state"] != "running", 40)
    assert callers.variants - {None} == {"control", name}
    says(tab, f"{name} is slower: ")
    assert verdict(tab).endswith("and its answers agree; keep control")
    told = about(lab, number)["results"]
    assert tab.locator("#experiments-forest .experiments-point").count() == 3
    row = tab.locator("#experiments-figures-body tr").first
    assert (
        row.locator(".col-ratio")
        .inner_text()
        .startswith(
            f"{told['comparisons'][0]['ratio']:.2f} ("
            if told["comparisons"][0]["ratio"] < 9.95
            else f"{told['comparisons'][0]['ratio']:.1f} ("
        )
    )
    assert "Holm over 3 comparisons" in tab.inner_text("#experiments-method")
    assert "As intended" in tab.inner_text("#experiments-ratio")

    tab.reload()
    says(tab, f"{name} is slower: ")
    assert "answers every request" in confirmed(tab, "promote")
    assert "requests each" in toast(tab, f"Promoted {name}")
    says(tab, f"{name} serves {MODEL}")
    assert about(lab, number)["state"] == "promoted"
    undo = tab.locator("#experiments-promotions-body tr [data-action=undo]")
    undo.click()
    tab.click("#experiments-promotions-body [data-action=confirm]")
    assert "serves again" in toast(tab, "Undid the promotion")
    says(tab, "Rolled back: control serves")
    (left,) = call(lab.port, "GET", PATH)[2]["promotions"]
    assert (left["variant"], left["backend"], left["caches"]) == ("control", None, "off")


def test_a_guard_rail_that_stops_it_is_shown(
    tab: Any, lab: RunningServer, callers: Callers
) -> None:
    """Single and double precision differ a little: with no tolerance at all, in most rows."""
    forms = {
        "control": UNCACHED | {"backend": "scikit-learn"},
        "candidates": [{"name": "single", "backend": "onnxruntime-f32", "caches": "off"}],
    }
    guards = {"p99": None, "disagreement": {"limit": 0.001, "least": 10, "tolerance": 0}}
    planned = {"kind": "planned", "requests": 100_000}
    made = create(lab, name="not the same", guards=guards, analysis=planned, fraction=1, **forms)
    shown(tab, lab)
    says(tab, "Hidden until each variant has answered 100,000 requests")
    callers.send(lambda: about(lab, made["id"])["state"] != "running", 60)
    says(
        tab,
        "single was stopped by the guard rail on answers that differ; control answers everybody",
    )
    assert tab.get_attribute("#experiments-headline", "data-status") == "critical"
    stopped = tab.locator("#experiments-guards-body tr[data-state=stopped]")
    assert stopped.locator(".state-word").inner_text() == "stopped it"
    assert "there is no verdict" in tab.inner_text("#experiments-detail")
    row = tab.locator("#experiments-list-body tr").first
    assert row.locator(".state-word").inner_text() == "stopped"
    assert "answers that differ" in row.locator(".col-verdict").inner_text()
    until(
        lambda: tab.locator("#experiments-agreement-body tr").count() >= 10, 10, "rows that differ"
    )
    agreed = tab.inner_text("#experiments-agreed")
    told = about(lab, made["id"])["results"]["agreement"][0]
    assert f"{told['rows_differing']} of {told['rows']} rows differ" in agreed
    press(tab, "promote")
    assert "A guard rail stopped it" in tab.inner_text("#experiments-actions .confirm-text")
    tab.keyboard.press("Enter")  # on Keep, which has the focus
    assert about(lab, made["id"])["state"] == "stopped"


def test_candidates_beside_are_shown_and_stopped_by_hand(
    tab: Any, lab: RunningServer, callers: Callers
) -> None:
    made = create(lab, mode="shadow", analysis={"kind": "always-valid"}, fraction=1)
    shown(tab, lab, f"?experiment={made['id']}")
    callers.send(lambda: about(lab, made["id"])["progress"]["requests"] >= 30, 20)
    assert callers.variants <= {None, "control"}
    offered = tab.locator("#experiments-shadow dd").first
    until(lambda: int(offered.inner_text()) >= 30, 10, "what was offered")
    assert tab.locator("#panel-experiments-split").is_hidden()
    assert "Nobody is answered from these runs" in tab.inner_text("#experiments-shadow-words")
    assert "answers everybody at once" in confirmed(tab, "stop")
    assert "requests each were measured" in toast(tab, "Stopped")
    assert about(lab, made["id"])["stopped_by"] == "hand"
    assert "Deleted" not in tab.inner_text("#toasts")
    confirmed(tab, "delete")
    toast(tab, "Deleted the experiment")
    says(tab, "No experiment yet")


def test_an_error_of_the_server_is_at_the_field_that_it_names(tab: Any, lab: RunningServer) -> None:
    shown(tab, lab, "?new=1")
    tab.wait_for_selector("#experiments-variants [data-part=version] option", state="attached")
    tab.fill("[data-role=candidate] [data-part=name]", "no spaces here")
    tab.click("#experiments-create")
    named = tab.locator("label[data-field='candidates[0].name']")
    named.locator(".experiments-fault").wait_for()
    assert "letters, digits" in named.locator(".experiments-fault").inner_text()
    assert named.locator("input").get_attribute("aria-invalid") == "true"
    assert tab.evaluate("document.activeElement.dataset.part") == "name"
    tab.fill("[data-role=candidate] [data-part=name]", "fine")
    tab.fill("#experiments-field-alpha", "50")
    tab.click("#experiments-create")
    level = tab.locator("label[data-field=alpha] .experiments-fault")
    assert level.inner_text() == "Level, %: a number from 0.01 to 20"
    assert tab.locator(".experiments-fault").count() == 1
    assert call(lab.port, "GET", PATH)[2]["experiments"] == []


def test_a_draft_is_started_and_its_settings_are_used_again(tab: Any, lab: RunningServer) -> None:
    made = create(lab, start=False, name="later", alpha=0.01, header="x-user-id")
    shown(tab, lab)
    says(tab, "Not started: plain beside control")
    press(tab, "again")
    assert tab.input_value("#experiments-field-name") == "later"
    assert tab.input_value("#experiments-field-alpha") == "1"
    assert tab.input_value("#experiments-field-header") == "x-user-id"
    form = tab.locator("[data-role=candidate] [data-part=backend]")
    until(lambda: form.input_value() == "scikit-learn", 10, "the form of the draft")
    assert not tab.is_checked("#experiments-field-guards-p99")
    tab.click("#experiments-close")
    tab.locator("#experiments-actions [data-action=start]").focus()
    tab.keyboard.press("Enter")
    toast(tab, "Started")
    assert about(lab, made["id"])["state"] == "running"
    says(tab, "Hidden until")


def test_it_is_asked_at_most_once_a_second_and_only_while_shown(
    tab: Any, lab: RunningServer
) -> None:
    made = create(lab)
    flying: set[Any] = set()
    most, asked = [0], [""]

    def begun(one: Any) -> None:
        if PATH in one.url:
            flying.add(one)
            most.append(len(flying))
            asked.append(one.url)

    tab.on("request", begun)
    tab.on("requestfinished", lambda one: flying.discard(one))
    tab.on("requestfailed", lambda one: flying.discard(one))
    shown(tab, lab, f"?experiment={made['id']}")
    most.clear()
    asked.clear()
    tab.wait_for_timeout(5200)
    ones = [url for url in asked if url.endswith(made["id"])]
    assert 3 <= len(ones) <= 5
    assert set(most) == {1}
    tab.click(".rail-link[data-page=settings]")
    tab.wait_for_selector("#view-settings:not([hidden])")
    asked.clear()
    tab.wait_for_timeout(2500)
    assert [url for url in asked if PATH in url] == []


def test_an_experiment_that_is_gone_and_one_that_cannot_be_read(
    tab: Any, lab: RunningServer
) -> None:
    made = create(lab, start=False)
    shown(tab, lab, "?experiment=000000000000")
    says(tab, "Experiment 000000000000 is not kept any more")
    tab.click("#experiments-list-body .experiments-open")
    says(tab, "Not started: ")
    assert made["id"] in tab.url
    tab.route(f"**{PATH}*", lambda route: route.abort())
    tab.route(f"**{PATH}/**", lambda route: route.abort())
    tab.reload()
    says(tab, "The experiments could not be read")
    tab.unroute(f"**{PATH}*")
    tab.unroute(f"**{PATH}/**")
    says(tab, "Not started: ", 12_000)


def spoiled(route: Any) -> None:
    """The server's answer with a split that is not as intended, and names that are no names."""
    odd = "<script>window.hurt = 1</script>" + "x" * 5000
    told = route.fetch().json()
    for one in [told, *told.get("experiments", [])]:
        one["name"] = one["reason"] = odd
    if "results" in told:
        told["results"]["split"] |= {"mismatch": True, "p": 1e-9, "text": "not as intended"}
        told["variants"][1]["text"] = odd
        example = {"t": 1.0, "request": odd, "row": 0, "output": odd, "difference": None}
        told["results"]["agreement"][0]["examples"] = [
            example | {"control": [odd], "candidate": None}
        ]
    route.fulfill(json=told)


@pytest.mark.parametrize("width", [1440, 390])
def test_a_mismatch_is_loud_and_odd_names_break_nothing(
    tab: Any, lab: RunningServer, width: int
) -> None:
    made = create(lab)
    tab.set_viewport_size({"width": width, "height": 844})
    tab.route(re.compile(rf"{PATH}(/{made['id']})?$"), spoiled)
    shown(tab, lab, f"?experiment={made['id']}")
    says(tab, "Do not trust these results")
    assert tab.get_attribute("#experiments-headline", "data-status") == "critical"
    assert "Do not trust the results" in tab.inner_text("#experiments-ratio")
    assert tab.locator("#experiments-agreement-body tr").count() == 1
    press(tab, "stop")
    tab.wait_for_selector("#experiments-actions .confirm")
    assert tab.locator("#experiments-page script").count() == 0
    assert tab.evaluate("window.hurt") is None
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_verdict_has_its_data_and_its_drawing_and_passes_axe(
    browser: Any, tab: Any, lab: RunningServer, callers: Callers, axe: str
) -> None:
    made = create(lab)
    callers.send(lambda: about(lab, made["id"])["state"] != "running", 40)
    shown(tab, lab, f"?experiment={made['id']}")
    tab.wait_for_selector("#experiments-forest svg")
    for name in ("verdict", "figures", "agreement", "guards", "split", "shadow", "variants"):
        found = tab.evaluate(
            f"pyrometer.pictures.rows(document.getElementById('panel-experiments-{name}'))"
        )
        assert found["rows"], name
        assert {len(row) for row in found["rows"]} == {len(found["columns"])}, name
    tab.click("#panel-experiments-forest .panel-menu-button")
    for item, ending in (("svg", "svg"), ("csv", "csv"), ("png", "png")):
        if tab.locator("#panel-menu").is_hidden():
            tab.click("#panel-experiments-forest .panel-menu-button")
        with tab.expect_download() as saved:
            tab.click(f"#panel-menu [data-item={item}]")
        assert saved.value.suggested_filename.endswith(f".{ending}")
    for width, theme in ((1440, "dark"), (390, "light")):
        size = {"width": width, "height": 844}
        context = browser.new_context(viewport=size, color_scheme=theme)
        other = shown(context.new_page(), lab, f"?experiment={made['id']}&new=1")
        other.wait_for_selector("#experiments-forest svg")
        other.evaluate(axe)
        assert other.evaluate(FOUND, STANDARD) == []
        assert other.evaluate("document.documentElement.scrollWidth") <= width
        context.close()


def test_the_palette_opens_the_form(tab: Any, lab: RunningServer) -> None:
    tab.goto(f"{lab.url}/")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.keyboard.press("Control+k")
    tab.wait_for_selector("dialog#palette[open]")
    tab.keyboard.type("new experiment")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#experiments-page[data-form=open]")
