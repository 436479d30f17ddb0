"""Deliveries at the same time do not mix up why they failed."""

from __future__ import annotations

import socket
from threading import Thread

import pytest

from alpenhorn.config import Notify
from alpenhorn.monitoring.notify_channels import channels
from alpenhorn.monitoring.notify_plan import Message
from tests.fixtures.http import HttpServer

pytest.importorskip("apprise")

MESSAGE = Message("test", "here", "alpenhorn on here: test", ("a line",), 0)


def test_a_delivery_that_fails_does_not_take_the_status_of_another_one(http_server: HttpServer) -> None:
    http_server.answers = {"/refused": (403, b"no")}
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hanging_place = f"127.0.0.1:{hanging.getsockname()[1]}"
        settings = Notify(apprise=[f"json://{hanging_place}/", f"json://{http_server.place}/refused"])
        first, second = channels(settings)
        faults: list[str] = []
        thread = Thread(target=lambda: faults.append(first.deliver(MESSAGE)))
        thread.start()
        connection, _ = hanging.accept()  # the first delivery collects what is logged
        assert second.deliver(MESSAGE) == "HTTP status 403"
        connection.close()
        thread.join()
    assert faults == ["not delivered: the service refused it or did not answer"]
