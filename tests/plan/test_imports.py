from __future__ import annotations

import re

import pytest

from alpenhorn.model.imports import Detected, ImportFile, KnownFile
from alpenhorn.model.searches import FoundFile
from alpenhorn.plan.imports import (
    NamedFile,
    choose,
    detect,
    detect_tasks,
    is_new,
    name_by_patterns,
    name_detected,
    name_files,
    name_known,
    possible_names,
    without_taken,
)
from tests.plan.facts import MD5, node


def patterns(*sources: str) -> list[re.Pattern[str]]:
    return [re.compile(source) for source in sources]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("acq/file", ("acq", "file")),
        ("acq/dir/file", ("acq", "dir/file")),
        ("file", None),
    ],
)
def test_by_default_the_first_directory_is_the_acquisition(path: str, names: tuple[str, str] | None) -> None:
    assert detect(path, []) == names


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        (r"(?P<acq>\d+)/.*", "2024/a", ("2024", "a")),
        (r"(?P<acq>\d+)/.*", "x2024/a", None),
        (r"(?P<acq>\d+)/a", "2024/ab", None),  # the whole path must match
        (r"(?P<acq>\d+/\w+)/(?P<file>.*\.h5)", "2024/run/x.h5", ("2024/run", "x.h5")),
        (r"(?P<acq>\d+)/run/(?P<file>.*)", "2024/run/x", None),  # would lie at 2024/x elsewhere
        (r"(?:raw/)(?P<acq>\w+)/(?P<file>.*)", "raw/acq/x", None),
        (r"(?P<acq>\w+)?(/.*)?", "/x", None),  # the group took no part
        (r"(?P<acq>\w+)/(?:(?P<file>\w+\.h5)|.*)", "a/b.txt", ("a", "b.txt")),
        (r"(?P<acq>.*)", "a/b", None),
        (r"(?P<acq>)/.*", "/b", None),
    ],
)
def test_a_pattern_names_acquisition_and_file(pattern: str, path: str, names: tuple[str, str] | None) -> None:
    assert detect(path, patterns(pattern)) == names


def test_the_first_pattern_that_fits_counts() -> None:
    both = patterns(r"(?P<acq>a/b)/.*", r"(?P<acq>\w+)/.*")
    assert detect("a/b/c", both) == ("a/b", "c")
    assert detect("b/b/c", both) == ("b", "b/c")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("file", "not in an acquisition directory"),
        (".hidden/file", "start with a dot"),
        ("acq/.file", "start with a dot"),
        ("acq/dir/.x/file", "start with a dot"),
        ("ALPENHORN_NODE/file", "ALPENHORN_NODE"),
        ("acq/ALPENHORN_NODE", "ALPENHORN_NODE"),
        ("a" * 65 + "/file", "longer than 64"),
        ("acq/" + "b/" * 128, "longer than 255"),
        ("acq/\udcff", "not valid UTF-8"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(path: str, why: str) -> None:
    (named,) = name_files([FoundFile(path, 1)], [])
    assert why in named.refused


def test_a_dot_within_an_acquisition_of_several_elements_is_seen() -> None:
    (named,) = name_files([FoundFile("a/.b/c", 1)], patterns(r"(?P<acq>[^/]+/[^/]+)/.*"))
    assert "dot" in named.refused


@pytest.mark.parametrize(
    "path", ["A/B", "acq/ALPENHORN_NODE.txt", "acq/ALPENHORN", "a-b/c d/~x", "a/b\nc", "a/b."]
)
def test_a_plain_name_is_taken_at_once(path: str) -> None:
    assert name_files([FoundFile(path, 1)], [])[0].refused == ""


@pytest.mark.parametrize(
    "path", ["acq/ALPENHORN_NODE/x", "acq/a/ALPENHORN_NODE", "acq/a\0b", "acq/.x", "a/" + "b" * 256]
)
def test_names_that_only_look_plain_are_refused(path: str) -> None:
    assert name_files([FoundFile(path, 1)], [])[0].refused


@pytest.mark.parametrize("path", ["a" * 64 + "/" + "é" * 127, "acq/-x", "acq/ x ", "acq/a\nb", "é/é"])
def test_a_name_that_fits_is_taken(path: str) -> None:
    (named,) = name_files([FoundFile(path, 1)], [])
    assert named.refused == ""
    assert f"{named.acq}/{named.name}" == path


NAMED = NamedFile(FoundFile("acq/a", 10), "acq", "a")


def known(has: str | None, size_b: int | None = 10) -> dict[tuple[str, str], KnownFile]:
    return {("acq", "a"): KnownFile(1, "acq", "a", size_b, MD5, has)}


def test_a_new_file_is_hashed_only_where_registering_was_asked_for() -> None:
    assert choose([NAMED], {}, True).wanted == [(ImportFile("acq/a", "acq", "a"), 10)]
    plan = choose([NAMED], {}, False)
    assert not plan.wanted
    assert "registering new files was not requested" in plan.refused[0][1]


@pytest.mark.parametrize("register", [True, False])
@pytest.mark.parametrize("has", ["N", "M", "X", None])
def test_a_file_whose_row_exists_is_compared_with_it(has: str | None, register: bool) -> None:
    rows = known(has)
    assert choose([NAMED], rows, register).wanted == [(ImportFile("acq/a", "acq", "a", rows["acq", "a"]), 10)]


@pytest.mark.parametrize(("size_b", "hashed"), [(10, False), (11, True), (None, True)])
def test_a_good_copy_is_read_again_only_if_its_length_is_wrong(size_b: int | None, hashed: bool) -> None:
    plan = choose([NAMED], known("Y", size_b), True)
    assert bool(plan.wanted) is hashed
    assert plan.present == (not hashed)


@pytest.mark.parametrize(
    ("has", "hashed"), [("N", True), (None, True), ("M", False), ("X", False), ("Y", False)]
)
def test_a_search_that_comes_again_leaves_bad_copies_to_checks_and_repairs(
    has: str | None, hashed: bool
) -> None:
    plan = choose([NAMED], known(has), True, leave_bad=True)
    assert bool(plan.wanted) is hashed
    assert plan.present == (not hashed)
    longer = choose([NAMED], known(has, 11), True, leave_bad=True)
    assert bool(longer.wanted) is (has not in ("M", "X"))


def test_a_new_file_at_the_path_of_another_one_is_refused() -> None:
    other = NAMED._replace(found=FoundFile("acq/b", 10), name="b")
    plan = choose([NAMED, other], known("N"), True)
    assert without_taken(plan, {}) == plan
    left = without_taken(plan, {0: "acq/dir"})
    assert left.wanted == plan.wanted[1:]
    ((path, why),) = left.refused
    assert path == "acq/a" and "acquisition acq/dir at the same path" in why
    assert [is_new(file) for file, _ in choose([NAMED, other], known("M"), True).wanted] == [False, True]


def test_a_file_without_a_name_is_reported() -> None:
    refused = NAMED._replace(refused="it is not in an acquisition directory")
    assert choose([refused], known("N"), True).refused == [("acq/a", "it is not in an acquisition directory")]


# --- where packages bring detectors --------------------------------------------------------------------


def test_with_detectors_only_patterns_name_files() -> None:
    files = [FoundFile("a/b/c", 1), FoundFile("x/y", 1)]
    assert name_by_patterns(files, []) == ([], files)
    named, left = name_by_patterns(files, patterns(r"(?P<acq>a)/.*"))
    assert named == [NamedFile(files[0], "a", "b/c")] and left == files[1:]


def test_the_longest_acquisition_comes_first_and_none_is_empty_or_too_long() -> None:
    assert possible_names("a/b/c") == [("a/b", "c"), ("a", "b/c")]
    assert possible_names("c") == possible_names("/c") == []
    assert possible_names("a" * 64 + "/c") == [("a" * 64, "c")]
    assert possible_names("a" * 65 + "/c") == []


@pytest.mark.parametrize("register", [True, False])
def test_registered_files_keep_their_names(register: bool) -> None:
    known = {pair: KnownFile(1, *pair, 1, "", None) for pair in (("a", "b/c"), ("a/b", "c"))}
    old, new = FoundFile("a/b/c", 1), FoundFile("a/b/d", 1)
    named, left = name_known([old, new], known, register)
    assert named[0] == NamedFile(old, "a/b", "c")
    if register:
        assert left == [new] and len(named) == 1
    else:
        assert not left and "registering new files was not requested" in named[1].refused


@pytest.mark.parametrize(
    ("acq", "name", "why"),
    [
        ("a", "b/c", ""),
        ("a/b", "c", ""),
        ("", "", "no import detector claims it"),
        ("a/b/c", "", "not the start of its path"),
        ("a/b/", "", "not the start of its path"),
        ("b", "", "not the start of its path"),
        ("a/", "", "not the start of its path"),
        ("A", "", "not the start of its path"),
    ],
)
def test_an_acquisition_from_a_detector_must_be_a_beginning_of_the_path(
    acq: str, name: str, why: str
) -> None:
    found = FoundFile("a/b/c", 1)
    named = name_detected(Detected(found, acq, "it"))
    assert named.refused == "" if not why else why in named.refused
    if not why:
        assert named == NamedFile(found, acq, name)


def test_names_from_a_detector_must_fit() -> None:
    for path, acq in (
        (f"{'a' * 65}/f", "a" * 65),
        ("a/.b/c", "a/.b"),
        ("a/.b", "a"),
        ("a/ALPENHORN_NODE", "a"),
    ):
        assert name_detected(Detected(FoundFile(path, 1), acq, "it")).refused


def test_detectors_are_asked_about_a_few_files_at_a_time() -> None:
    files = [FoundFile(f"a/{number}", 1) for number in range(250)]
    tasks = detect_tasks(node(), 7, 3, 60.0, files)
    assert [len(task.job.files) for task in tasks] == [100, 100, 50]
    assert [found for task in tasks for found in task.job.files] == files
    assert all((task.job.search, task.job.listing, task.job.settle) == (7, 3, 60.0) for task in tasks)
    assert all(task.deadline for task in tasks) and not any(task.files for task in tasks)
    assert len(detect_tasks(node(), 7, 3, 60.0, files, most=1)) == 250
