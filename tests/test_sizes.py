"""Sizes in all units, and where they are taken."""

from __future__ import annotations

import click
import pytest

from alpenhorn.cli.arguments import Size
from alpenhorn.cli.main import cli
from alpenhorn.formats import UNITS, size
from alpenhorn.sizes import parse, parse_rate, parse_value
from tests.cli.test_main import walk

SIZE_OPTIONS = {
    ("file create", "--size"): 1,
    ("file modify", "--size"): 1,
    ("node clean", "--size"): 2**30,
    ("node create", "--max-total"): 2**30,
    ("node create", "--min-avail"): 2**30,
    ("node modify", "--max-total"): 2**30,
    ("node modify", "--min-avail"): 2**30,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("0", 0), ("7", 7), ("7B", 7), ("7 b", 7), ("1.5k", 1500), ("64K", 64_000), ("64 kB", 64_000)),
        *(("64kib", 65_536), ("64Ki", 65_536), ("5M", 5_000_000), ("5MiB", 5 * 2**20), (" 1.5 GB ", 1.5e9)),
        *(("2 TiB", 2 * 2**40), ("2t", 2 * 10**12), ("3 PB", 3 * 10**15), ("1EiB", 2**60)),
        *(("4.35 kB", 4350), ("0.1 KiB", 102.4), ("9007199254740993", 9007199254740993)),
    ],
)
def test_a_size_is_a_number_with_any_unit(text: str, expected: float) -> None:
    assert parse(text) == expected
    assert isinstance(parse(text), int) is (expected == int(expected))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "k",
        "-1",
        "+1",
        "1e3",
        "1_0",
        "1,5",
        "nan",
        "inf",
        "0x10",
        "5 Q",
        "5 MiBit",
        "1 2",
        "٣",
        "5 \u212a",
    ],
)
def test_anything_else_is_not_a_size(text: str) -> None:
    for read in (parse, parse_rate):
        with pytest.raises(ValueError):
            read(text)
    assert parse_value(text, 1) is None


def test_a_number_without_a_unit_is_in_the_given_unit() -> None:
    assert parse("100", 2**30) == 100 * 2**30 and parse("0.1", 2**30) / 2**30 == 0.1
    assert parse_value(500, 1024) == 512_000 == parse_value("500 KiB", 1024) == parse_value("500", 1024)
    for wrong in (-1, True, 1.5, None, [1]):
        assert parse_value(wrong, 1) is None


def test_what_is_printed_can_be_typed() -> None:
    for exponent in range(len(UNITS)):
        for number in (1, 1.5, 999):
            if exponent or number != 1.5:
                assert parse(size(number * 1024**exponent)) == number * 1024**exponent


def test_each_option_with_a_size_takes_any_unit() -> None:
    found = {}
    for name, command in walk(cli, ()):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                if isinstance(parameter.type, Size):
                    found[name, parameter.opts[-1]] = parameter.type.unit
                    for text in ("64KiB", "64 kib", "0.065536 MB"):
                        assert parameter.type.convert(text, parameter, None) == 65_536
                else:
                    assert parameter.metavar != "SIZE", name
    assert found == SIZE_OPTIONS
