"""Keep-alive connections for greenlets, with no more work per request than open loop needs.

Locust's FastHttpUser builds headers, cookies and response objects for each request, and its pool
checks connections with `select`, which refuses file descriptors from 1024 on. Measured here at
400 requests/s: 415 µs of CPU a request with it, 230 µs with this client. The generator shares its
two cores with the servers, so its CPU is part of what it disturbs.
"""

import _socket  # Python's own sockets: gevent's would wait where an answer "nothing yet" is wanted
import os
import socket
from errno import EINPROGRESS
from typing import Any

import gevent

from stack.load.answer import Answer

_READ, _WRITE = 1, 2


class Connection:
    """One connection; one request at a time. Time limits are the caller's `gevent.Timeout`."""

    __slots__ = ("_hub", "_readable", "_socket", "answer", "requests")

    def __init__(self, address: tuple[str, int]) -> None:
        self._hub: Any = gevent.get_hub()
        self._socket = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = self._hub.loop.io(self._socket.fileno(), _READ)
        self.answer = Answer()
        self.requests = 0
        try:
            self._connect(address)
        except BaseException:
            self.close()
            raise

    def _connect(self, address: tuple[str, int]) -> None:
        code = self._socket.connect_ex(address)
        if code == EINPROGRESS:
            self._wait_until_writable()
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _wait_until_writable(self) -> None:
        writable = self._hub.loop.io(self._socket.fileno(), _WRITE)
        try:
            self._hub.wait(writable)
        finally:
            writable.close()

    def exchange(self, request: bytes) -> Answer:
        """Send a request and wait for the whole answer; ConnectionError when the server closes."""
        answer = self.answer
        answer.expect()
        self.requests += 1
        sent = 0
        while sent < len(request):
            try:
                sent += self._socket.send(request[sent:] if sent else request)
            except BlockingIOError:
                self._wait_until_writable()
        while not answer.complete:
            self._hub.wait(self._readable)
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionResetError("closed before the answer was complete")
            answer.feed(data)
        return answer

    def is_open(self) -> bool:
        """Whether the server keeps the idle connection; bytes that nobody asked for say no too."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection."""
        self._readable.close()
        self._socket.close()


class ConnectionPool:
    """Idle connections, most recently used first; as many as are in use at once."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._idle: list[Connection] = []

    def take(self) -> Connection:
        """An idle connection, or a new one. Raises OSError when none can be had."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            connection.close()
        return Connection(self.address)

    def open(self, count: int) -> None:
        """Have so many connections idle, made beforehand. Raises OSError when one cannot be had."""
        self._idle += [Connection(self.address) for _ in range(count - len(self._idle))]

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, unless the server wants it closed."""
        if connection.answer.keep_alive:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()
