"""Everything that the registries name exists."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import alpenhorn.model
from alpenhorn.kinds import HANDLERS, JOBS, OBJECT_JOBS, WORK, WorkKind, load
from alpenhorn.model.nodes import StorageKind
from alpenhorn.model.pulls import Method
from alpenhorn.model.tasks import TaskKind
from alpenhorn.transfer.methods import METHODS
from alpenhorn.workers.worker import JobContext

(MODEL,) = map(Path, alpenhorn.model.__path__)


def jobs() -> set[str]:
    """Return the names of all job types: classes with a node that are passed to workers."""
    modules = [import_module(f"alpenhorn.model.{path.stem}") for path in MODEL.glob("*.py")]
    return {
        name
        for module in modules
        for name, kind in vars(module).items()
        if name.endswith("Job") and "node" in getattr(kind, "_fields", ())
    }


def test_each_type_of_job_has_a_handler() -> None:
    assert set(JOBS) == jobs()


def test_nodes_with_objects_have_no_jobs_of_their_own() -> None:
    assert set(OBJECT_JOBS) < set(JOBS)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, jobs in HANDLERS.items() for name in jobs])
def test_a_handler_takes_what_it_is_given(kind: StorageKind, name: str) -> None:
    handler = HANDLERS[kind][name]
    assert set(handler.takes) <= set(JobContext._fields)
    inspect.signature(load(handler.target)).bind("job", "node", *handler.takes)


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.name)
def test_a_kind_of_work_has_its_code(work: WorkKind) -> None:
    inspect.signature(load(work.pending)).bind("index", "place")
    assert inspect.isgeneratorfunction(load(work.preview))
    worklist = load(work.worklist)
    assert worklist.kind in work.tasks and {"feed", "task_ended", "task_withdrawn"} <= set(dir(worklist))
    assert hasattr(worklist, "decided") is work.decides_late


def test_no_kind_of_task_belongs_to_two_kinds_of_work() -> None:
    kinds = [kind for work in WORK for kind in work.tasks]
    assert len(kinds) == len(set(kinds)) and set(kinds) <= set(TaskKind)


@pytest.mark.parametrize("method", Method)
def test_a_method_has_its_code(method: Method) -> None:
    inspect.signature(load(METHODS[method].function)).bind("work", "files")


def test_a_node_chooses_among_local_methods() -> None:
    assert not any(traits.setting and traits.network for traits in METHODS.values())
