"""The scenario of a simulation: a TOML file with a section for each part of the world, and defaults for all keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

DAY = 86_400.0
YEAR = 365 * DAY

T = TypeVar("T")


class ScenarioError(Exception):
    """A scenario cannot be simulated.  The message names the file, the key and what to write."""


class Data(NamedTuple):
    """Section [data]: the files.

    `files`: at the start; `files_per_day`: new ones at all sites together; `file_mb`: the length of each in 10⁶ bytes.
    `files_per_row`: number of files of an acquisition that one row of the index, and one copy, stand for.
    """

    files: int = 100_000
    files_per_day: float = 100.0
    file_mb: float = 10.0
    files_per_row: int = 1000


class Wanted(NamedTuple):
    """Section [policy]: the policy for all files.  `kept_days`: after that, a file leaves the disk that recorded it."""

    copies: int = 3
    sites: int = 2
    kept_days: float = 30.0


class Nodes(NamedTuple):
    """Section [nodes]: `number` of archive nodes at each site, their size and their speed (10⁶ bytes per second)."""

    number: int = 10
    size_tb: float = 8.0
    disk_mb_s: float = 150.0


class Disks(NamedTuple):
    """Section [disks]: what happens to a node.

    `deaths_per_year` of each disk; `replace_days` until an empty disk is in its place, and `alpenhorn node replace` was
    run.  `absences_per_year`: unplugged, for `absent_days`.  `rot_per_year`: files with wrong bytes for each 10⁶ files.
    """

    deaths_per_year: float = 0.02
    replace_days: float = 7.0
    absences_per_year: float = 0.1
    absent_days: float = 2.0
    rot_per_year: float = 0.0


class Links(NamedTuple):
    """Section [links]: between each two sites, in each direction; [[link]] has other values for a pair.

    `mbit_s`: 10⁶ bits per second, 0: no connection.  `failures`: fraction of the transfers that break off.
    `outages_per_year`: times without a connection, each of `outage_hours`.
    """

    mbit_s: float = 1000.0
    failures: float = 0.01
    outages_per_year: float = 4.0
    outage_hours: float = 12.0


class Runs(NamedTuple):
    """Section [runs]: cron on each host.

    `every_hours`: a run begins, unless one is under way; it starts nothing new after `time_limit_hours`.  `jobs`:
    workers.  `verify`: copies to read on each node in a run, if they were not read for `verify_days`.
    """

    every_hours: float = 6.0
    time_limit_hours: float = 6.0
    jobs: int = 8
    verify: int = 0
    verify_days: float = 365.0


class Site(NamedTuple):
    """[[site]]: `nodes`: its number of archive nodes, 0 for that of [nodes].  `share`: its part of the new files."""

    name: str = ""
    nodes: int = 0
    share: float = 1.0


class Pair(NamedTuple):
    """[[link]]: the link between two sites, or between one and all others, "*"."""

    between: tuple[str, str]
    values: Links

    def joins(self, one: str, other: str) -> bool:
        return all(wanted in (name, "*") for wanted, name in zip(self.between, (one, other), strict=True))


class Scenario(NamedTuple):
    """A whole scenario, in which every site is named and has a number of nodes."""

    data: Data = Data()
    policy: Wanted = Wanted()
    nodes: Nodes = Nodes()
    disks: Disks = Disks()
    links: Links = Links()
    runs: Runs = Runs()
    sites: tuple[Site, ...] = ()
    pairs: tuple[Pair, ...] = ()

    def link(self, one: str, other: str) -> Links:
        """Return the values of the link between two sites: those of the last [[link]] that joins them."""
        named = [pair.values for pair in self.pairs if pair.joins(one, other) or pair.joins(other, one)]
        return named[-1] if named else self.links


SECTIONS = {
    "data": Data(),
    "policy": Wanted(),
    "nodes": Nodes(),
    "disks": Disks(),
    "links": Links(),
    "runs": Runs(),
}
POSITIVE = frozenset(
    (
        "file_mb",
        "files_per_row",
        "copies",
        "sites",
        "number",
        "size_tb",
        "disk_mb_s",
        "every_hours",
        "time_limit_hours",
        "jobs",
    )
)


def read(path: Path) -> Scenario:
    """Read a scenario from a file.  Raises ScenarioError."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: is no TOML: {error}") from None
    try:
        return checked(document)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def checked(document: dict[str, Any]) -> Scenario:
    """Return the scenario that a document describes.  Raises ScenarioError."""
    unknown = sorted(document.keys() - SECTIONS.keys() - {"site", "link"})
    if unknown:
        raise ScenarioError(
            f"[{unknown[0]}]: no such section; use {', '.join(SECTIONS)}, [[site]] and [[link]]"
        )
    sections: dict[str, Any] = {
        name: _section(f"[{name}]", document.get(name, {}), default) for name, default in SECTIONS.items()
    }
    sites = tuple(
        _site(f"[[site]] {number}", values, sections["nodes"])
        for number, values in enumerate(_tables(document, "site"), 1)
    )
    names = [site.name for site in sites]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ScenarioError("[[site]]: two sites with different names are needed at least")
    pairs = tuple(
        _pair(f"[[link]] {number}", values, names, sections["links"])
        for number, values in enumerate(_tables(document, "link"), 1)
    )
    scenario = Scenario(**sections, sites=sites, pairs=pairs)
    _require_possible(scenario)
    return scenario


def _tables(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name, [])
    if not isinstance(found, list):
        raise ScenarioError(f"{name}: write it as [[{name}]]")
    return found


def _section(where: str, values: Any, default: T) -> T:
    """Return the default with the values in its place, each of the type of the default."""
    if not isinstance(values, dict):
        raise ScenarioError(f"{where}: is no section")
    fields: dict[str, Any] = default._asdict()  # type: ignore[attr-defined]
    for key, value in values.items():
        if key not in fields:
            raise ScenarioError(f"{where} {key}: no such key; use {', '.join(fields)}")
        fields[key] = _value(f"{where} {key}", key, value, fields[key])
    return type(default)(**fields)


def _value(where: str, key: str, value: Any, default: Any) -> Any:
    if isinstance(default, str):
        if not isinstance(value, str) or not value.isalnum():
            raise ScenarioError(f"{where}: {value!r} is no name; use letters and digits")
        return value
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ScenarioError(f"{where}: {value!r} is not a {'whole ' if whole else ''}number")
    if value < 0 or (key in POSITIVE and value == 0):
        raise ScenarioError(f"{where}: {value} is too small")
    return value if whole else float(value)


def _site(where: str, values: Any, nodes: Nodes) -> Site:
    site = _section(where, values, Site())
    if not site.name:
        raise ScenarioError(f"{where} name: is missing")
    return site._replace(nodes=site.nodes or nodes.number)


def _pair(where: str, values: Any, names: list[str], links: Links) -> Pair:
    values = dict(values) if isinstance(values, dict) else values
    between = values.pop("between", None) if isinstance(values, dict) else None
    if (
        not isinstance(between, list)
        or len(between) != 2
        or not all(name in (*names, "*") for name in between)
    ):
        raise ScenarioError(f'{where} between: two sites are needed, such as ["{names[0]}", "{names[1]}"]')
    return Pair((between[0], between[1]), _section(where, values, links))


def _require_possible(scenario: Scenario) -> None:
    """Raise ScenarioError if the policy cannot be satisfied, whatever happens."""
    sites, copies = scenario.policy.sites, scenario.policy.copies
    if sites > len(scenario.sites):
        raise ScenarioError(f"[policy] sites: there are only {len(scenario.sites)}")
    if copies > sum(site.nodes for site in scenario.sites) or copies < sites:
        raise ScenarioError("[policy] copies: use a number from that of the sites to that of the nodes")
    if not any(site.share for site in scenario.sites):
        raise ScenarioError("[[site]] share: no site has new files")
    row_b = scenario.data.files_per_row * scenario.data.file_mb * 1e6
    needed_b = -(-scenario.data.files // scenario.data.files_per_row) * row_b * copies
    room_b = sum(site.nodes for site in scenario.sites) * scenario.nodes.size_tb * 1e12
    if needed_b > room_b:
        raise ScenarioError("[data] files: the nodes have no room for their copies")
