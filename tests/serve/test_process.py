"""A real process, killed, hung up on and told to stop.

Counted: every event that was answered with 2xx is there, and each event once, although its client
repeated it with the same key for as long as there was no answer.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lite_llm4rec.serve.events import histories
from lite_llm4rec.serve.store import open_database

CLIENTS = 6
START_SECONDS = 120.0


class Process:
    """`lite-llm4rec serve` on a free port."""

    def __init__(self, folder: Path, url: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.folder, self.url, self.log = folder, url, log
        self.http = httpx2.Client(base_url=self.address)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "lite_llm4rec", "serve", str(self.folder)]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [*command, "--port", str(self.port), "--threads", "1"],
                env={**os.environ, "LITE_LLM4REC_DATABASE": self.url},
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        _wait_for(self._is_ready, START_SECONDS)

    def _is_ready(self) -> bool:
        assert self.running.poll() is None, self.log.read_text()
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def send(self, which: int) -> None:
        self.running.send_signal(which)

    def end(self, which: int = signal.SIGKILL) -> int:
        self.send(which)
        return self.running.wait(30)


class Client(threading.Thread):
    """Records one event after the other, repeating each until it is answered."""

    def __init__(self, process: Process, number: int) -> None:
        super().__init__()
        self.number = number
        self.stop = threading.Event()
        self.answered: list[str] = []
        self.repeated = 0
        self.wrong: list[str] = []
        self.http = httpx2.Client(base_url=process.address, timeout=20)

    def run(self) -> None:
        for step in itertools.count():
            event = {"user": f"u{self.number}", "item": f"e{step}", "time": step}
            if not self._record(event, f"{self.number}-{step}"):
                return
            self.answered.append(event["item"])  # type: ignore[arg-type]
            if self.stop.is_set():
                return

    def _record(self, event: dict[str, Any], key: str) -> bool:
        while True:
            try:
                answer = self.http.post(
                    "/events", json={"events": [event]}, headers={"Idempotency-Key": key}
                )
            except httpx2.TransportError:
                self.repeated += 1
                time.sleep(0.2)
                continue
            if answer.status_code != 201:
                self.wrong.append(answer.text)
            return answer.status_code == 201


@pytest.fixture
def start(run_folder: Path, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Start a process on a database; it is killed behind the test if it still runs."""
    processes: list[Process] = []

    def make(url: str) -> Process:
        processes.append(Process(run_folder, url, tmp_path / "log"))
        hang_up_early(processes[0])
        processes[0].wait_until_ready()
        return processes[0]

    yield make
    for process in processes:
        if process.running.poll() is None:
            process.end()


def kill_under_load(process: Process, kills: int) -> None:
    clients = [Client(process, number) for number in range(CLIENTS)]
    try:
        for client in clients:
            client.start()
        for _ in range(kills):
            before = sum(len(client.answered) for client in clients)
            while sum(len(client.answered) for client in clients) < before + 30:
                assert not any(client.wrong for client in clients)
                time.sleep(0.005)
            process.end(signal.SIGKILL)
            process.start()
            process.wait_until_ready()
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
    assert not any(client.wrong for client in clients)
    assert sum(client.repeated for client in clients) >= kills
    database = open_database(process.url)
    stored = histories(database, [f"u{client.number}" for client in clients], 10**6)
    database.dispose()
    for client, found in zip(clients, stored, strict=True):
        assert len(client.answered) > 0
        assert found == client.answered  # none lost, none doubled, none out of order


def hang_up_early(process: Process) -> None:
    """Ask for a reload again and again while the run is loaded: it goes on."""
    _wait_for(lambda: '"loading the run' in process.log.read_text(), START_SECONDS)
    for _ in range(5):
        process.send(signal.SIGHUP)
        time.sleep(0.05)
        assert process.running.poll() is None, process.log.read_text()


def reload_by_signal(process: Process) -> None:
    before = process.log.read_text().count('"message": "reloaded"')
    process.send(signal.SIGHUP)
    _wait_for(lambda: process.log.read_text().count('"message": "reloaded"') > before)


def end_with_a_request_in_flight(process: Process) -> None:
    body = json.dumps({"history": ["i05"], "k": 3}).encode()
    head = (
        "POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", process.port)) as link:
        link.sendall(head.encode() + body[:5])
        time.sleep(0.2)
        process.send(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(httpx2.TransportError):  # no new ones
            httpx2.get(f"{process.address}/health/live")
        link.sendall(body[5:])
        link.settimeout(20)
        answer = b"".join(iter(lambda: link.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(json.loads(answer.split(b"\r\n\r\n", 1)[1])["items"]) == 3
    process.running.wait(20)
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}, process.log.read_text()
    assert "stopped" in [line["message"] for line in lines]
    assert process.address in [line.get("address") for line in lines]


def test_a_process_is_killed_hung_up_on_and_told_to_stop(start: Any, tmp_path: Path):
    process = start(f"sqlite:///{tmp_path / 's.db'}")
    kill_under_load(process, kills=1)
    reload_by_signal(process)
    end_with_a_request_in_flight(process)


@pytest.mark.slow
def test_what_was_answered_survives_ten_kills(start: Any, database_url: str):
    kill_under_load(start(database_url), kills=10)


def _wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)
