"""Every function that accepts text and numbers from outside, with hostile values: only the documented exceptions.

Dates: `tests/index/test_times.py`.  Rows: `tests/index/test_rows.py`.  What is printed: `tests/cli/test_harmless.py`.
All together in one archive: `tests/faults/test_mixed_bag.py`.
"""

import json
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpenhorn.errors import AlpenhornError, CommandFailed, StorageError
from alpenhorn.extensions.guard import GuardedGroup, GuardedRemote, check_node, guarded, reserved
from alpenhorn.extensions.points import exception_text
from alpenhorn.fs import identity
from alpenhorn.fs.command import run
from alpenhorn.io.base import Refusal, Remote, parse_settings
from alpenhorn.io.default import DefaultGroup, DefaultNode
from alpenhorn.listings.runs import _counts
from alpenhorn.model.tasks import Blame
from alpenhorn.outside import exception, parsed, text
from alpenhorn.plan import searches
from alpenhorn.plan.imports import unimportable
from alpenhorn.plan.paths import file_fault
from alpenhorn.plan.pulls import Choice
from alpenhorn.reasons import from_outside
from alpenhorn.transfer import bbcp, look, rsync
from alpenhorn.transfer.blame import TransferFailed
from tests.plan.facts import GROUP_TO, NOW, GroupFact, fact, node, planner

some = settings(deadline=None, max_examples=80)
few = settings(deadline=None, max_examples=8)

SAID = st.binary(max_size=300) | st.text(max_size=100).map(str.encode)
AS_READ = SAID.map(lambda said: said.decode("utf-8", "surrogateescape"))
ANY_TEXT = st.text(st.characters(), max_size=100)  # with surrogates
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DEEP = st.sampled_from(["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "", "null", "[1]", '{"jobs": NaN}'])


@some
@given(AS_READ, st.integers(-64, 300))
def test_output_of_a_program_becomes_a_message_that_can_be_stored(said, status):
    failures = [
        TransferFailed(Blame.UNKNOWN, from_outside(said)),
        rsync.failure(rsync.SessionEnd(status, said), "there"),
        *rsync.complaints(rsync.SessionEnd(status, said), ["acq/f"]).values(),
        bbcp.failure(CommandFailed("bbcp", status, said), "there"),
        CommandFailed("lfs", status, said),
    ]
    for failed in failures:
        assert "\0" not in str(failed)
        str(failed).encode()
    look.parse_output(said)


@few
@given(st.binary(max_size=2000))
def test_any_bytes_of_a_real_program_are_read(said):
    script = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); sys.stderr.buffer.write(data)"
    lines = []
    done = run((sys.executable, "-c", script), timeout=60, stdin=said)
    assert done.stdout.encode("utf-8", "surrogateescape") == said
    with pytest.raises(CommandFailed) as failed:
        run((sys.executable, "-c", f"{script}; sys.exit(3)"), timeout=60, stdin=said, on_line=lines.append)
    str(failed.value).encode()


@some
@given(ANY_TEXT | DEEP | ANY_JSON.map(json.dumps))
def test_foreign_json_is_read_or_refused(document):
    with suppress(StorageError):
        assert isinstance(parse_settings("node x", document), dict)
    with suppress(ValueError):
        parsed(document)
    assert all(isinstance(count, dict) for count in _counts(document).values())
    searches.parse(document)


@some
@given(ANY_TEXT, ANY_TEXT, st.none() | st.integers(), st.none() | ANY_TEXT)
def test_any_name_is_accepted_or_refused_with_a_reason(acq, name, size_b, md5sum):
    for why in (unimportable(acq, name), file_fault(acq, name, size_b, md5sum)):
        text(why).encode()


@some
@given(st.binary(max_size=1100))
def test_any_identity_of_a_medium_is_read_or_refused(content):
    with suppress(StorageError):
        identity.newest("/srv/x", content)


class Broken(BaseException):
    """An exception whose text cannot be read."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


RAISED = st.sampled_from(
    [
        SystemExit(1),
        RecursionError("deep"),
        MemoryError(),
        Broken(),
        GeneratorExit(),
        KeyError("\udce9"),
        AlpenhornError("x\0"),
    ]
)
ANSWERS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    ANY_TEXT,
    st.binary(),
    st.just(object()),
    st.just(Refusal(5)),
    RAISED,
)


@some
@given(RAISED)
def test_any_exception_of_an_extension_is_described(raised):
    for said in (exception(raised), exception_text(raised)):
        assert said
        text(said).encode()
    with pytest.raises(StorageError, match="node x"), guarded("Odd", "node x"):
        raise raised


def given_out(answer):
    if isinstance(answer, BaseException):
        raise answer
    return answer


@some
@given(ANSWERS, ANSWERS)
def test_any_answer_of_an_extensions_group_affects_only_its_request(chosen, refused):
    class Odd(DefaultGroup):
        def choose(self, pull, room):
            return given_out(chosen)

        def refuses(self, source):
            return given_out(refused)

    group = GuardedGroup(Odd(GroupFact(GROUP_TO, "g", "Odd", None), [node()], {}))
    decided = planner(groups={GROUP_TO: group}).decide(fact(), NOW)
    assert decided.choice in (Choice.SKIP, Choice.PULL, Choice.WAIT)
    assert decided.choice is not Choice.PULL or decided.node_id == node().id


@some
@given(ANSWERS)
def test_any_answer_of_an_extensions_node_or_remote_affects_only_that_node(answer):
    class OddRemote(Remote):
        def ready(self, pull):
            return given_out(answer)

        def unreachable(self):
            return given_out(answer)

    class OddNode(DefaultNode):
        jobs = property(lambda self: given_out(answer))

        def reserved_bytes(self, size_b):
            return given_out(answer)

    remote = GuardedRemote(OddRemote(node(), {}))
    odd = OddNode(node(), {})
    for ask in (lambda: remote.ready(fact()), remote.unreachable, lambda: reserved(odd)(5)):
        with suppress(StorageError):
            ask()
    with suppress(StorageError), guarded("Odd", "node x"):
        check_node(odd)
