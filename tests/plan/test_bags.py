from __future__ import annotations

import pytest

from alpenhorn.plan.bags import name_fault


@pytest.mark.parametrize(
    "path", ["acq/f", "a\nb/c\rd", "50%25", "%0a", " x/ y", "tab\tinside", "é/\N{SATELLITE}"]
)
def test_names_that_a_bag_can_hold(path: str) -> None:
    assert name_fault(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "a%0Ab",
        "%0D",
        "a\n\n\nb",
        "\r\r\r",
        "a ",
        "a\u3000",
        "a\t",
        "a\x0bb",
        "a\x1cb",
        "a\x85b",
        "a\u2029b",
        "\udcff",
    ],
)
def test_names_that_it_cannot_hold(path: str) -> None:
    assert name_fault(path)
