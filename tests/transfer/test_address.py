from __future__ import annotations

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.model import NodeFact
from alpenhorn.transfer.address import host_spec, remote_path


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
    assert host_spec(node(address=address)) == spec


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
    "a@b",
]


@pytest.mark.parametrize("value", BAD)
def test_what_could_be_an_option_a_command_or_another_host_is_refused(value: str) -> None:
    with pytest.raises(StorageError, match="not allowed"):
        host_spec(node(address=value))
    with pytest.raises(StorageError, match="not allowed"):
        host_spec(node(username=value))


@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_is_named_with_the_remedy(value: str | None) -> None:
    with pytest.raises(StorageError, match=r"no address.*host modify h --address"):
        host_spec(node(address=value))
    with pytest.raises(StorageError, match=r"no username.*host modify h --username"):
        host_spec(node(username=value))


def test_a_path_always_begins_with_a_slash_behind_the_host() -> None:
    assert remote_path(node(), "acq/a:b") == "alice@store1:/data/acq/a:b"
    assert remote_path(node(root="/")) == "alice@store1:/"
    for root in (None, "", "data", "-rf", "x:/y", "/a\0b"):
        with pytest.raises(StorageError, match="not an absolute path"):
            remote_path(node(root=root))
