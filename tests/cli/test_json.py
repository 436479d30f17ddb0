"""Every command with --json, on an archive where all that can be shown is there, against what the manual says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner

from alpenhorn.cli.main import cli, main
from alpenhorn.reasons import Code
from alpenhorn.record.few_copies import complete
from alpenhorn.scan.few_copies import FewCopies, policies_digest
from alpenhorn.scan.policies import load as load_policies
from tests.cli.json_shapes import Shapes, faults, leaves
from tests.cli.test_main import walk
from tests.fixtures.archive import Archive
from tests.fixtures.manual import page

# The document of each line of the manual, with and without what adds keys to it.
ARGUMENTS = {
    "acq files": ["acq", "acq --node dst", "acq --group dst --show-removed"],
    "acq list": ["", "--node dst", "--group dst"],
    "acq show": ["acq", "acq --show-groups --show-nodes"],
    "config show": [""],
    "db backup": ["", "--keep 1"],
    "db check": [""],
    "doctor": [""],
    "file find": ["", "--corrupt --missing --suspect"],
    "file list": ["", "--node src", "--group dst", "--from src --to far --details"],
    "file show": ["acq/good", "acq/good --all", "acq/pulled --groups --nodes --transfers"],
    "file state": ["acq/good src", "acq/good far", "acq/good src --ready"],
    "group list": [""],
    "group show": ["src", "dst", "dst --all", "dst --actions --node-details --node-stats --transfers"],
    "history": ["", "--limit 1"],
    "history --file": ["acq/pulled"],
    "history --node": ["dst"],
    "history --run": ["1"],
    "host list": [""],
    "host show": ["here", "here --node-details --node-stats"],
    "node list": ["", "--active"],
    "node retire --list": ["src", "dst"],
    "node risk": ["src", "dst"],
    "node risk --list": ["src", "dst"],
    "node show": ["src", "src --all", "src --actions --imports --stats --transfers"],
    "node stats": ["", "--extra-stats"],
    "plan": ["", "--only pull", "--node odd"],
    "plan --files": [""],
    "plugins": [""],
    "policy check": ["", "rare --acq acq", "--file acq/good"],
    "policy list": [""],
    "policy show": ["rare"],
    "reconcile": ["--min-age 0 --dry-run"],
    "repair": ["--check", "--force"],
    "request list": ["", "--state failing", "--state done", "--state cancelled"],
    "request show": ["1", "2", "3"],
    "rules check": ["", "--apply --force"],
    "status": [""],
    "status --by": ["host", "group"],
}


CODES = {str(code) for code in Code}


def documented() -> Shapes:
    found = re.search(r"^```json-shapes\n(.*?)^```$", page("json"), re.DOTALL | re.MULTILINE)
    assert found, "the page has no block json-shapes"
    return Shapes(found[1])


def commands() -> dict[str, click.Command]:
    """Those that have --json."""
    return {
        name: command
        for name, command in walk(cli, ())
        if any("--json" in parameter.opts for parameter in command.params)
    }


@pytest.fixture
def archive(filled: Archive) -> Archive:
    return filled


def backups(archive: Archive) -> dict[str, str]:
    directory = archive.base / "kept"
    directory.mkdir(exist_ok=True)
    return {"backup_dir": str(directory)}


def part(archive: Archive) -> None:
    """Let the index and the disks part in every way that a reconciliation shows."""
    for name in ("src", "far"):
        archive.do("DELETE FROM sync_medium WHERE node_id = ?", archive.id("storagenode", name))
        archive.insert(
            "sync_medium",
            node_id=archive.id("storagenode", name),
            generation=0,
            distrust="reconcile",
            separate=0,
            looked=0,
            lost=0,
        )
    archive.insert("sync_index", name="restored", value="the index is older than node src")
    for path in ("acq/vanished", "acq/returned", "acq/another", "../f"):
        file_id = archive.file(path, b"f")
        archive.set_copy(file_id, "dst", "NY" if path in ("acq/returned", "acq/another") else "YY")
    archive.put("dst", "acq/returned", b"f")
    archive.put("dst", "acq/another", b"longer")
    archive.do("UPDATE archivefilecopy SET last_update = '2100-01-01 00:00:00' WHERE has_file = 'N'")
    archive.file("acq/changed", b"f", "dst")
    archive.change("dst", "acq/changed", b"longer than it was")
    archive.put("dst", "unknown", b"dark")
    archive.put("dst", "nested/ALPENHORN_NODE", b"nested\n")


def said(archive: Archive, command: str, arguments: str) -> str:
    """What a command prints, without a word of anything else."""
    name, _, option = command.partition(" --")
    words = [*name.split(), *([f"--{option}"] if option else []), *arguments.split(), "--json"]
    if name == "plugins":  # packages are found by a process that is started where they are
        argv = [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), *words]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode in (0, 1) and not done.stderr, done
        return done.stdout
    with CliRunner().isolation() as (out, err, _):
        status = main(["-c", str(archive.configure(database=backups(archive))), *words])
        assert status in (0, 1), (words, err.getvalue())
        assert not err.getvalue(), (words, err.getvalue())
        return out.getvalue().decode()


def without_code(document: Any) -> Iterator[str]:
    """The reasons in a document that have no code, or one that the enumeration has not."""
    if isinstance(document, list):
        for one in document:
            yield from without_code(one)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from without_code(value)
            code = {"in_a_run_now": "in_a_run_now_code"}.get(key, "code")
            if key in ("why", "error", "in_a_run_now") and (document[code] in CODES) != (value is not None):
                yield f"{value!r} has the code {document[code]!r}"
            if key == "level" and (document["code"] is None) != (value == "pass"):
                yield f"{document['text']!r} has the code {document['code']!r}"
            if key == "code" and value is not None and value not in CODES:
                yield f"{value!r} is no code"
            if key.endswith("_codes"):
                codes = value.values() if isinstance(value, dict) else value
                texts = document.get(f"{key[:-6]}s", document.get(key[:-6]))
                if len(codes) != len(texts) or not CODES.issuperset(codes):
                    yield f"{key}: {value!r}"


def test_every_document_has_the_shape_that_the_readme_gives(archive: Archive) -> None:
    shapes = documented()
    wrong: list[str] = []
    for command, variants in ARGUMENTS.items():
        if command == "reconcile":
            part(archive)  # last but a few, since the other documents tell of it too
        if command == "history --run":
            archive.do("UPDATE sync_run SET exit_status = 1")
        if command == "status":
            work = '{"pull": {"done": 1, "failed": 0, "bytes": 5}}'
            archive.do("UPDATE sync_run SET ending = 'stopped as asked', counts = ?", work)
            archive.do("UPDATE storagenode SET auto_verify = 5 WHERE name = 'dst'")
            archive.do("UPDATE storagenode SET active = 0 WHERE name = 'src'")
            archive.insert(
                "sync_retirement",
                node_id=archive.id("storagenode", "far"),
                began="2026-07-22 12:00:00",
                releases=1,
                declared_lost=0,
                cancelled=0,
                compared_at="2026-07-22 12:00:00",
                event_id=1,
                stuck=1,
                nowhere=0,
            )
            policies = policies_digest(load_policies(archive.index).every)
            complete(archive.index, 2, FewCopies(1, 5, policies, 0))
            archive.do("UPDATE sync_medium SET seen = '2026-01-02 03:04:05'")
        shape = shapes.named[command]
        seen: set[str] = set()
        for arguments in variants:
            text = said(archive, command, arguments)
            assert text.isascii()
            document = json.loads(text)
            wrong += (f"{command} {arguments}: {fault}" for fault in faults(shape, document, seen))
            wrong += (f"{command} {arguments}: {fault}" for fault in without_code(document))
        # A shape of which something was never seen is not tested; nor is a key that may be absent and never was.
        wrong += (f"{command}: {leaf} has never had a value" for leaf in leaves(shape) if leaf not in seen)
        optional = {f"{part}?" for leaf in leaves(shape) for part in leaf.split("?")[:-1]}
        wrong += (f"{command}: {key} was never absent" for key in optional if f"{key} -" not in seen)
    assert not wrong, "\n".join(wrong)


def test_every_command_with_json_is_documented_and_tested() -> None:
    lines = [name for name in documented().named if not name.isupper()]
    assert list(ARGUMENTS) == lines
    assert {re.sub(" --.*", "", name) for name in lines} == set(commands())


def test_an_empty_index_gives_documents_too(archive: Archive) -> None:
    for table in ("archivefilecopyrequest", "archivefilecopy", "archivefile", "archiveacq", "storagenode"):
        archive.do(f"DELETE FROM {table}")
    for name in ("acq list", "file list", "file find", "node list", "node stats", "request list"):
        assert json.loads(said(archive, name, "")) == []
    assert json.loads(said(archive, "status", ""))["nodes"] == []


MUTANTS = {
    "node show": {"stats?: STATS": "stats: STATS", "auto_verify: int": "auto_verify: bool"},
    "node stats": {"size_b: int, full": "size_b: text, full", " no_room: bool,": ""},
    "status": {"mendable: int": "fixable: int"},
    "request list": {"requested: time|null": "requested: int|null"},
    "history --node": {"[EVENT]": "{EVENT}", "at: time": "at: text, until: time"},
}


def test_a_shape_that_is_not_true_is_found(archive: Archive) -> None:
    text = re.search(r"```json-shapes\n(.*?)```", page("json"), re.DOTALL)
    assert text
    for command, changes in MUTANTS.items():
        document = json.loads(said(archive, command, ARGUMENTS[command][0]))
        for before, after in changes.items():
            assert before in text[1]
            shape = Shapes(text[1].replace(before, after)).named[command]
            assert list(faults(shape, document, set())), (command, before)
