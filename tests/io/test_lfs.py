"""Arguments and answers of lfs for files; test_lustre_quota tests the quota."""

from __future__ import annotations

import pytest

from alpenhorn.io.lfs import ACTION, MOST_BYTES, STATE, answers, batch, hsm_argv, is_gone, refusal

ON_TAPE = ": (0x0000000d) released exists archived, archive_id:1\n"
NEW = ": (0x00000000)\n"


def words(output: str, *paths: str) -> list[list[str]]:
    """Return the words of each answer; all of the output must be parsed."""
    found, rest = answers(output, paths, STATE)
    assert not rest
    return [match[1].split() for match in found]


def test_the_paths_follow_the_verb() -> None:
    assert hsm_argv("lfs", "hsm_state", ["/l/a", "/l/b c"]) == ["lfs", "hsm_state", "/l/a", "/l/b c"]


def test_each_path_has_its_line() -> None:
    output = f"/l/a{ON_TAPE}/l/b{NEW}/l/c: (0x0000001b) exists dirty archived never_release, archive_id:12\n"
    assert words(output, "/l/a", "/l/b", "/l/c") == [
        ["released", "exists", "archived"],
        [],
        ["exists", "dirty", "archived", "never_release"],
    ]


HOSTILE = [
    "/l/a: (0x0000000d) released",
    "/l/a: (0x0000000d) released exists archived, archive_id:1",
    "/l/a: (0x00000000)\n/l/b: (0x00000000)",
    "/l/a\n",
    "/l/\n/l/a",
    "/l/a:",
    "/l/[a]*?(",
    "/l/ a b ",
    "/l/\udcff",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_may_look_like_an_answer(path: str) -> None:
    assert words(f"{path}{NEW}/l/a{ON_TAPE}", path, "/l/a") == [[], ["released", "exists", "archived"]]
    assert words(f"/l/a{ON_TAPE}{path}{NEW}", "/l/a", path) == [["released", "exists", "archived"], []]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_not_taken_for_another_that_was_not_answered(path: str) -> None:
    found, rest = answers(f"{path}{ON_TAPE}", ["/l/none", path], STATE)
    assert (found, rest) == ([], f"{path}{ON_TAPE}")


@pytest.mark.parametrize(
    "line",
    [
        "",
        ON_TAPE[:-1],  # cut short
        ": released exists archived\n",
        ": (0x0000000d released\n",
        ": (0x0000000d) released exists archived, archive_id:\n",
        ": (0x0000000d) RELEASED\n",
        " (0x0000000d) released\n",
    ],
)
def test_other_output_is_not_an_answer(line: str) -> None:
    output = f"/l/a{ON_TAPE}/l/b{line}"
    found, rest = answers(output, ["/l/a", "/l/b"], STATE)
    assert len(found) == 1 and rest == f"/l/b{line}"


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        (": NOOP\n", "NOOP"),
        (": RESTORE waiting (from 0 to EOF)\n", "RESTORE"),
        (": RESTORE running (1048576 bytes moved)\n", "RESTORE"),
        (": ARCHIVE running (0 bytes moved)\n", "ARCHIVE"),
    ],
)
def test_the_current_action_on_a_file_is_parsed(line: str, verb: str) -> None:
    found, rest = answers(f"/l/a{line}", ["/l/a"], ACTION)
    assert not rest and found[0][1] == verb


def test_a_call_takes_a_hundred_paths_and_no_more_than_a_command_line_holds() -> None:
    assert len(batch(["/l/a"] * 250)) == 100
    assert len(batch(["/l/a"] * 3)) == 3
    long = ["/" + "é" * 2000] * 100
    assert len(batch(long)) == MOST_BYTES // 4002
    assert batch(["x" * (MOST_BYTES + 1), "y"]) == ["x" * (MOST_BYTES + 1)]
    assert batch([]) == []


def test_the_reason_is_that_of_the_path() -> None:
    said = "can't get hsm state for /l/a: No such file or directory\n"
    assert refusal(said, "/l/a") == "No such file or directory"
    assert refusal(said, "/l/b") == "" and refusal(said, "/l") == ""
    assert refusal("lfs: cannot open '/l/a': Permission denied", "/l/a") == "Permission denied"
    assert refusal("error while loading liblustreapi.so: No such file or directory", "/l/a") == ""
    assert refusal("can't get hsm state for /l/a\nb: Permission denied", "/l/a\nb") == "Permission denied"


def test_only_a_missing_file_counts_as_gone() -> None:
    assert is_gone("No such file or directory") and is_gone("Not a directory")
    assert not is_gone("Permission denied") and not is_gone("cannot tell: No such file or directory")
