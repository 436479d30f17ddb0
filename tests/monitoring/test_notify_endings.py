"""What a dead man's switch is told of each way in which a run can end."""

from __future__ import annotations

import pytest

from tests.faults.test_run_endings import WAYS
from tests.fixtures.archive import Archive
from tests.fixtures.http import HttpServer

KILLED = ("SIGKILL", "SIGALRM")  # nothing is left that could send a ping
PARTS = ("a node of another host", "a comparison without a node", "no manifest", "no such node")
PINGS = {
    **{name: ["/start", "/fail"] for name in WAYS},
    **{name: ["/start"] for name in KILLED},
    **{name: ["/log"] for name in PARTS},
    "done": ["/start", "/"],
    "the time limit": ["/start", "/"],
    "nothing to do for this host": ["/start", "/log"],
    "another run has all nodes": ["/start", "/", "/start", "/log"],
    "no workers": ["/fail"],  # no process can be started for the ping of the start either
}


@pytest.mark.parametrize("name", WAYS)
def test_the_switch_is_told_the_end_of_a_run(
    sqlite_archive: Archive, http_server: HttpServer, name: str
) -> None:
    user = sqlite_archive.base / ".config" / "alpenhorn" / "alpenhorn.toml"
    user.parent.mkdir(parents=True)
    user.write_text(f'[notify]\nping = "http://{http_server.place}"\n')
    result = WAYS[name].bring(sqlite_archive)
    assert result.status == WAYS[name].status, result
    requests = http_server.take()
    assert [request.path for request in requests] == PINGS[name]
    if name not in KILLED:
        assert f"status {result.status}" in requests[-1].body
