"""Where peers are: the setting as it is written, names that are looked up, nodes of Ray."""

from __future__ import annotations

import pytest

from app.fleet.puller import LOOK_UP_S, Sources
from engine.errors import ConfigurationError
from engine.fleet.addresses import Peers, ray_addresses, read_peers, url_of
from engine.fleet.steps import RING_S


def test_each_kind_is_read_and_they_may_be_mixed() -> None:
    assert read_peers("http://a:8050, https://b/x/ ,http://a:8050") == Peers(
        ("http://a:8050", "https://b/x")
    )
    assert read_peers("dns://pyrometer:8050,ray") == Peers((), (("pyrometer", 8050),), True)
    assert read_peers("http://[::1]:8050").fixed == ("http://[::1]:8050",)
    assert not read_peers(" , ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:8050", "kind is unknown"),
        ("ftp://a:8050", "kind is unknown"),
        ("http://", "a host and a port"),
        ("http://a:99999", "its port is none"),
        ("http://a:8050/?x=1", "a host and a port"),
        ("http://user:secret@a:8050", "nothing that is secret"),
        ("dns://name", "needs a port"),
        ("dns://name:1/x", "needs a port"),
        ("javascript:alert(1)", "kind is unknown"),
    ],
)
def test_what_is_no_peer_stops_the_start_and_is_named(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_peers(f"http://ok:1,{text}")
    assert "secret@" not in str(caught.value)


def test_nodes_of_ray_that_live_are_at_our_port() -> None:
    nodes = [
        {"address": "10.0.0.1", "alive": True},
        {"address": "10.0.0.2", "alive": False},
        {"address": "10.0.0.1", "alive": True},
        {"address": "fd00::1", "alive": True},
        {"alive": True},
    ]
    assert ray_addresses({"nodes": nodes}, 8050) == [
        "http://10.0.0.1:8050",
        "http://[fd00::1]:8050",
    ]
    assert ray_addresses(None, 8050) == ray_addresses({}, 8050) == []


class Names:
    """A resolver whose answers a test sets, and a clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.known: list[str] | None = []
        self.nodes: list[str] = []
        self.sources = Sources(
            Peers(("http://fixed:1",), (("pyrometer", 8050),), True),
            lambda: self.nodes,
            self.look,
            lambda: self.now_s,
        )

    def look(self, name: str, port: int) -> list[str]:
        if self.known is None:
            raise OSError(-2, "Name or service not known")
        return self.known

    def turn(self) -> list[str]:
        for name in self.sources.due():
            self.sources.resolve(*name)
        return self.sources.urls()[0]

    def asked(self) -> list[str]:
        self.turn()
        return self.sources.urls()[1]


def test_every_address_of_a_name_is_a_peer_and_it_is_looked_up_again() -> None:
    names = Names()
    names.known = ["10.0.0.2", "fd00::1"]
    assert names.turn() == ["http://fixed:1", url_of("10.0.0.2", 8050), "http://[fd00::1]:8050"]
    names.known = ["10.0.0.2", "10.0.0.3"]
    names.now_s = LOOK_UP_S / 2
    assert "http://10.0.0.3:8050" not in names.turn()
    names.now_s = LOOK_UP_S
    assert "http://10.0.0.3:8050" in names.turn()


def test_an_address_that_a_name_has_no_more_stays_while_its_figures_do() -> None:
    names = Names()
    names.known = ["10.0.0.2"]
    names.turn()
    names.known = []
    names.now_s = RING_S
    assert "http://10.0.0.2:8050" in names.turn(), "it is to be shown as lost"
    names.now_s = RING_S + 1
    assert names.turn() == ["http://fixed:1"]


def test_a_name_that_cannot_be_looked_up_is_told_and_loses_nobody() -> None:
    names = Names()
    names.known = ["10.0.0.2"]
    names.turn()
    names.known = None
    names.now_s = LOOK_UP_S
    assert "http://10.0.0.2:8050" in names.turn()
    assert names.sources.problems == ("dns://pyrometer:8050: Name or service not known",)
    names.known = ["10.0.0.2"]
    names.now_s = 2 * LOOK_UP_S
    names.turn()
    assert not names.sources.problems


def test_only_what_the_last_look_up_had_is_asked() -> None:
    names = Names()
    old, new = url_of("10.0.0.9", 8050), url_of("10.0.0.2", 8050)
    names.known = ["10.0.0.9"]
    names.turn()
    names.known = ["10.0.0.2"]
    names.now_s = LOOK_UP_S
    assert names.turn() == ["http://fixed:1", new, old], "what is there comes first"
    assert names.asked() == ["http://fixed:1", new]
    names.known = None
    names.now_s = 2 * LOOK_UP_S
    assert names.asked() == ["http://fixed:1", new], "a look-up that fails changes nothing"
    names.known = ["10.0.0.9"]
    names.now_s = 3 * LOOK_UP_S
    assert names.asked() == ["http://fixed:1", old]


def test_of_those_that_went_the_last_to_go_comes_first() -> None:
    names = Names()
    for host in ("10.0.0.1", "10.0.0.3", "10.0.0.2"):
        names.known = [host]
        names.turn()
        names.now_s += LOOK_UP_S
    names.known = []
    assert names.turn()[1:] == [url_of(f"10.0.0.{n}", 8050) for n in (2, 3, 1)]


def test_a_node_of_ray_that_is_gone_is_not_asked() -> None:
    names = Names()
    names.nodes = ["http://10.0.0.7:8050"]
    assert names.asked() == ["http://fixed:1", "http://10.0.0.7:8050"]
    names.nodes = []
    assert names.asked() == ["http://fixed:1"]


def test_a_look_up_under_way_is_not_begun_again() -> None:
    names = Names()
    (name,) = names.sources.due()
    names.now_s = 3 * LOOK_UP_S
    assert names.sources.due() == []
    names.known = None
    names.sources.resolve(*name)
    assert names.sources.due() == [name], "also where it failed"
    names.sources.looked(name)
    names.now_s = 6 * LOOK_UP_S
    assert names.sources.due() == [name], "also where it was never begun"


def test_nodes_of_ray_are_peers() -> None:
    names = Names()
    names.nodes = ["http://10.0.0.7:8050"]
    assert names.turn() == ["http://fixed:1", "http://10.0.0.7:8050"]
