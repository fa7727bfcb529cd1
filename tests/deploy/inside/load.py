"""A paced load on a data plane, until standard input ends and there were enough. Runs in the cluster; prints counts."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

LANES = 8
RATE = 40
"""Requests per second, of all lanes."""
LEAST = 600
MOST_SECONDS = 300
TIMEOUT_SECONDS = 5


class Load:
    """Lanes that ask one after the other, every second one over a connection that it keeps."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._host = urlsplit(asked["url"]).netloc
        self._told = threading.Event()
        self._lock = threading.Lock()
        self._end = time.monotonic() + MOST_SECONDS
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until it is told to stop and has asked often enough; at most five minutes."""
        lanes = [threading.Thread(target=self._lane, args=(number,)) for number in range(LANES)]
        for lane in lanes:
            lane.start()
        sys.stdin.read()
        told = time.monotonic()
        self._told.set()
        for lane in lanes:
            lane.join()
        if told > self._end:
            sys.exit(f"it lasted longer than {MOST_SECONDS} s, and the load ended before")

    def _lane(self, number: int) -> None:
        kept = bool(number % 2)
        time.sleep(number / RATE)
        connection = self._connection()
        while time.monotonic() < self._end and not (self._told.is_set() and self.answers.total() >= LEAST):
            began = time.monotonic()
            answer = self._answer(connection)
            with self._lock:
                self.answers[answer] += 1
            if not kept or answer != self._asked["expected"]:
                connection.close()
                connection = self._connection()
            time.sleep(max(0, LANES / RATE - (time.monotonic() - began)))
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)

    def _answer(self, connection: http.client.HTTPConnection) -> str:
        try:
            connection.request("GET", "/", headers=self._asked["headers"])
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        return f"{response.status} {response.getheader('access-control-allow-origin')}"


if __name__ == "__main__":
    load = Load(json.loads(sys.argv[1]))
    load.run()
    print(json.dumps(load.answers))
