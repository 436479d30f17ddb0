"""bin/simulate: worlds that are small enough that what must become of their files is known."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from simulation.scenario import ScenarioError, read

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]

BIN = Path(__file__).parents[2] / "bin"
SITES = """
[[site]]
name = "peak"
share = 1
[[site]]
name = "town"
share = 0
"""
CALM = """
[disks]
deaths_per_year = 0
absences_per_year = 0
[links]
failures = 0
outages_per_year = 0
"""
# 20 rows of 10 GB each.
DATA = """
[data]
files = 20_000
files_per_day = 0
file_mb = 10
[policy]
copies = 2
sites = 2
[nodes]
number = 3
[runs]
every_hours = 24
"""


def run(directory: Path, scenario: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = directory / "scenario.toml"
    path.write_text(scenario)
    return subprocess.run(
        [BIN / "simulate", "--scenario", path, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
    )


def simulate(directory: Path, scenario: str, years: float, seed: int = 1) -> dict[str, Any]:
    done = run(directory, scenario, "--years", str(years), "--seed", str(seed), "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_without_failures_all_files_get_what_the_policy_asks_for_and_keep_it(tmp_path: Path) -> None:
    """New files of one site reach the other one, and leave the disk that recorded them."""
    world = DATA.replace("files_per_day = 0", "files_per_day = 100") + CALM + SITES
    found = simulate(tmp_path, world, 0.4)
    first, *_, last = found["samples"]
    # Ten days make a row, and the first one may be nearly full at the start.
    rows = last["files"] // 1000 - 20
    assert rows in (14, 15)
    assert all(sample["below"] <= 1000 for sample in found["samples"]), "only the newest row is on its way"
    assert last["lost"] == first["lost"] == 0 and found["lost_files"] == {}
    assert found["latency_h"]["requests"] == 2 * rows, "no copy was made that the policy does not ask for"
    assert found["latency_h"]["max"] < 48
    moved = {(link["from"], link["to"]): link["tb"] for link in found["links"]}
    assert moved == {("peak", "town"): pytest.approx(rows * 0.01), ("town", "peak"): 0}
    # All but those of the last 30 days; the last deletion may be left to the next run.
    assert rows - 4 <= found["deleted_files"] / 1000 <= rows - 3
    assert found["violations"] == []


def test_what_was_on_a_dead_disk_is_copied_again(tmp_path: Path) -> None:
    calm = CALM.replace("deaths_per_year = 0", "deaths_per_year = 3\nreplace_days = 3")
    found = simulate(tmp_path, DATA + calm + SITES, 0.4, seed=3)
    assert found["disks"]["died"] >= 3
    assert max(sample["below"] for sample in found["samples"]) > 0
    assert set(found["lost_files"]) <= {"disk died"}
    kept = 20_000 - sum(found["lost_files"].values())
    assert kept >= 15_000
    last = found["samples"][-1]
    assert last["below"] - last["lost"] <= 10_000
    assert found["latency_h"]["requests"] > 0
    assert found["violations"] == []


def test_a_link_without_a_speed_leaves_requests_pending_with_the_reason(tmp_path: Path) -> None:
    world = DATA.replace("files_per_day = 0", "files_per_day = 100") + CALM + SITES
    found = simulate(tmp_path, world.replace("failures = 0", "failures = 0\nmbit_s = 0"), 0.1)
    last = found["samples"][-1]
    assert last["pending"] >= 3000 and last["oldest_d"] > 30
    assert {link["tb"] for link in found["links"]} == {0}
    assert any("host peak cannot be reached" in line for line in found["reasons"]["town"]), found["reasons"]
    assert found["deleted_files"] == 0


def test_a_link_moves_no_more_than_its_speed_allows(tmp_path: Path) -> None:
    """More is recorded than the link can carry: it is always busy, and what it carries is what its speed allows."""
    world = DATA.replace("files_per_day = 0", "files_per_day = 10_000") + CALM + SITES
    found = simulate(tmp_path, world.replace("failures = 0", "failures = 0\nmbit_s = 5"), 0.07)
    most = 5e6 / 8 * 0.07 * 365 * 86_400 / 1e12
    assert 0.8 * most < found["links"][0]["tb"] <= most
    assert found["samples"][-1]["busy"] > 0.8


def test_the_same_seed_gives_the_same_results_and_another_one_others(tmp_path: Path) -> None:
    rough = """
    [disks]
    deaths_per_year = 8
    absences_per_year = 3
    rot_per_year = 900
    [links]
    failures = 0.3
    outages_per_year = 20
    """
    world = (
        DATA.replace("files_per_day = 0", "files_per_day = 200")
        + "verify = 2\nverify_days = 10\n"
        + rough
        + SITES
    )
    one, again, other = (simulate(tmp_path, world, 0.1, seed) for seed in (1, 1, 2))
    for found in (one, again, other):
        found.pop("cost")
        assert found["disks"]["died"] > 0 and found["disks"]["rotted_files"] > 0
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("scenario", "complaint"),
    [
        ("[links]\nspeed = 3\n" + SITES, "[links] speed: no such key; use mbit_s, "),
        ("[links]\nmbit_s = 'fast'\n" + SITES, "[links] mbit_s: 'fast' is not a number"),
        ("[nodes]\nnumber = 0\n" + SITES, "[nodes] number: 0 is too small"),
        ("[policy]\nsites = 3\n" + SITES, "[policy] sites: there are only 2"),
        ("[data]\nfiles = 100_000_000\n" + SITES, "[data] files: the nodes have no room for their copies"),
        (
            "[[link]]\nbetween = ['peak', 'moon']\n" + SITES,
            "[[link]] 1 between: two sites are needed, such as ",
        ),
        ("[world]\n" + SITES, "[world]: no such section; use data, "),
        ("", "[[site]]: two sites with different names are needed at least"),
        ("[", "is no TOML: "),
    ],
)
def test_an_error_in_the_scenario_is_one_message(tmp_path: Path, scenario: str, complaint: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(scenario)
    with pytest.raises(ScenarioError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {complaint}") and len(message.splitlines()) == 1


def test_a_scenario_that_cannot_be_simulated_ends_the_program_with_its_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "simulate", "--scenario", tmp_path / "none.toml"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"bin/simulate: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("path", sorted((BIN / "simulation").glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_of_the_checkout_can_be_simulated(path: Path) -> None:
    assert len(read(path).sites) > 2
