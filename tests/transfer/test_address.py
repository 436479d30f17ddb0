from __future__ import annotations

import re

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import NodeFact
from alpenhorn.transfer.address import login, remote_path, wrong_address, wrong_user


def node(
    username: str | None = "alice", address: str | None = "store1", root: str | None = "/data"
) -> NodeFact:
    return NodeFact(1, "n", root, 1, "h", username, address, True, False, None, None, None, 0.0, None)


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        ("store1", "alice@store1"),
        ("a-b.example.org", "alice@a-b.example.org"),
        ("10.0.0.1", "alice@10.0.0.1"),
        ("::1", "alice@[::1]"),
        ("fe80::1%eth0", "alice@[fe80::1%eth0]"),
    ],
)
def test_names_and_both_kinds_of_ip_address(address: str, spec: str) -> None:
    assert str(login(node(address=address))) == spec
    assert wrong_address(address) == ""


BAD = [
    "-oProxyCommand=x",
    "a b",
    "a;b",
    "a/b",
    "$(x)",
    "a\nb",
    "a'b",
    "é",
    "host:",
    "h:module",
    "h::module",
    "`x`",
    "a\\",
    "\\a",
    "a\\b\\c",
    "@a",
]


@pytest.mark.parametrize("value", BAD)
def test_possible_options_commands_and_other_hosts_are_refused(value: str) -> None:
    with pytest.raises(StorageError, match="host modify h --address"):
        login(node(address=value))
    with pytest.raises(StorageError, match="use letters, digits"):
        login(node(username=value))


@pytest.mark.parametrize("value", [None, ""])
def test_missing_address_or_username_is_named_with_the_remedy(value: str | None) -> None:
    with pytest.raises(StorageError, match=r"no address.*host modify h --address"):
        login(node(address=value))
    with pytest.raises(StorageError, match=r"no username.*host modify h --username"):
        login(node(username=value))


def test_a_path_always_begins_with_a_slash_behind_the_host() -> None:
    assert remote_path(node(), "acq/a:b") == "store1:/data/acq/a:b"
    assert remote_path(node(root="/")) == "store1:/"
    for root in (None, "", "data", "-rf", "x:/y", "/a\0b"):
        with pytest.raises(StorageError, match="not an absolute path"):
            remote_path(node(root=root))


@pytest.mark.parametrize(
    "user", ["DOM\\alice", "alice@corp.example.org", "svc-data_1.x", "CORP.EXAMPLE.ORG\\a.b"]
)
def test_situation_13_logins_of_a_directory_service_are_kept_apart_from_the_host(user: str) -> None:
    assert wrong_user(user) == ""
    assert login(node(username=user)) == (user, "store1")
    assert remote_path(node(username=user)) == "store1:/data/"


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("1.2.3.4:99", r"use the address 1\.2\.3\.4, .*Port 99.*\[transfer\] ssh"),
        ("store1.example.org:22", r"use the address store1\.example\.org, .*Port 22"),
        ("[::1]:2222", r"use the address ::1, .*Port 2222"),
        ("[fe80::1%eth0]", r"use fe80::1%eth0"),
        ("alice@store1", r"address store1 and the username alice"),
        ("1:2:3", "not a host name or an IP address"),
        ("ssh://store1", "not a host name or an IP address"),
    ],
)
def test_situation_13_an_address_that_cannot_work_names_one_that_can(address: str, remedy: str) -> None:
    fault = wrong_address(address)
    assert re.search(remedy, fault), fault
    with pytest.raises(StorageError, match=r"host h: the address .* host modify h --address"):
        login(node(address=address))
