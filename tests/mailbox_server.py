"""A real mail server on 127.0.0.1 that keeps what it gets, and can be slow or refuse."""

import threading
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller

from stack.local.ports import free_port

PATIENCE_S = 30.0


class Mailbox:
    """Use it as a context. `held`: it says nothing to a message until `let_go`."""

    def __init__(self, *, held: bool = False, refused: int = 0) -> None:
        self.port = free_port()
        self.refused = refused  # so many messages are answered with a temporary error first
        self._let_go = threading.Event()
        if not held:
            self._let_go.set()
        self._changed = threading.Condition()
        self._seen = 0
        self._taken: list[Message] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        """For HEADROOM_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> "Mailbox":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._controller.stop()

    def let_go(self) -> None:
        """Answer from now on."""
        self._let_go.set()

    def to(self, address: str) -> list[Message]:
        """The messages that were taken for this address."""
        with self._changed:
            return [message for message in self._taken if message["To"] == address]

    def wait_for(self, address: str, count: int = 1) -> list[Message]:
        """`to(address)` once there are so many."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.to(address)) >= count, PATIENCE_S)
        assert enough, f"{len(self.to(address))} of {count} messages came for {address}"
        return self.to(address)

    def wait_until_asked(self, count: int = 1) -> None:
        """Return once so many messages were begun, taken or not."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._seen >= count, PATIENCE_S)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd calls this for each message."""
        import asyncio

        with self._changed:
            self._seen += 1
            self._changed.notify_all()
        if not self._let_go.is_set():
            await asyncio.to_thread(self._let_go.wait, PATIENCE_S)
        with self._changed:
            if self.refused > 0:
                self.refused -= 1
                return "451 try again"
            self._taken.append(message_from_bytes(envelope.content))
            self._changed.notify_all()
        return "250 taken"
