"""The console on a Flask application: routes, assets, no global state."""

from __future__ import annotations

import re

import flask
import pytest
from flask.testing import FlaskClient

from app.console import ASSETS, PAGES, bootstrap_css, build_console
from app.theme_script import theme_script_hash


@pytest.fixture
def client() -> FlaskClient:
    server = flask.Flask("console")
    build_console(server, title="Pyrometer", version="0.1.0")
    return server.test_client()


def test_the_page_is_served_with_the_theme_before_any_stylesheet(client: FlaskClient) -> None:
    page = client.get("/").text
    assert page.index("data-theme") < page.index('rel="stylesheet"')
    assert "<title>Pyrometer</title>" in page


def test_nothing_is_loaded_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/").text
    assert 'src="http' not in page
    assert 'href="http' not in page


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_every_page_has_an_address_of_its_own(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text == client.get("/").text


@pytest.mark.parametrize("path", ["/model", "/models/", "/models/x", "/Models"])
def test_what_only_resembles_a_page_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_unknown_path_is_not_found_and_says_so(client: FlaskClient) -> None:
    answer = client.get("/performance/lve")
    assert answer.status_code == 404
    assert answer.json == {"error": "nothing is served at /performance/lve"}


def test_bootstrap_s_stylesheet_is_served_from_its_wheel(client: FlaskClient) -> None:
    (address,) = re.findall(r"/assets/bootstrap\.[0-9a-f]+\.css", client.get("/").text)
    answer = client.get(address)
    assert answer.mimetype == "text/css"
    assert answer.data == bootstrap_css().read_bytes()


@pytest.mark.parametrize("ending", ["js", "css"])
def test_scripts_and_styles_are_one_file_each_whose_name_changes_with_it(
    client: FlaskClient, ending: str
) -> None:
    (address,) = re.findall(rf"/assets/console\.[0-9a-f]+\.{ending}", client.get("/").text)
    answer = client.get(address)
    for path in ASSETS.glob(f"*.{ending}"):
        assert path.read_text().rstrip() in answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", sorted(p.name for p in ASSETS.iterdir() if p.suffix != ".py"))
def test_every_asset_is_served(client: FlaskClient, name: str) -> None:
    if not (ASSETS / name).is_file():
        pytest.skip("a folder")
    assert client.get(f"/assets/{name}").status_code == 200


def test_no_callback_runs_on_the_server(client: FlaskClient) -> None:
    dependencies = client.get("/_dash-dependencies").json
    assert dependencies is not None
    assert [one["clientside_function"]["function_name"] for one in dependencies] == ["tick"]


def test_two_consoles_live_side_by_side() -> None:
    pages = []
    for title in ("One", "Two"):
        server = flask.Flask(title)
        build_console(server, title=title, version="0.1.0")
        pages.append(server.test_client().get("/").text)
    assert "<title>One</title>" in pages[0]
    assert "<title>Two</title>" in pages[1]
    assert [page.count("_dash-renderer") for page in pages] == [1, 1]


def test_the_theme_script_has_a_policy_expression() -> None:
    assert theme_script_hash().startswith("'sha256-")
