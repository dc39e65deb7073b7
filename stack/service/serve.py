"""Run one API replica: `python -m stack.service.serve --port 8000`.

Uvicorn, with an end that costs no request: asked to stop, the replica accepts no new connection,
tells the load balancer with each answer to close the old ones, finishes what it has, and ends.
"""

import argparse
import asyncio
import socket
import time

import uvicorn

APPLICATION = "stack.service.main:create_app"
KEEP_ALIVE_S = 90  # longer than nginx keeps an idle connection: no request meets a closing one
GRACE_S = 30  # as long as nginx waits for an answer
# How long idle connections may bring one more request. They close at its answer, at once where the
# load balancer knows that this replica goes.
LAST_ORDERS_S = 2.0
POLL_S = 0.02


class Replica(uvicorn.Server):
    """Uvicorn closes idle connections at once, under the requests that are on their way."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as the module's text says."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        until = time.monotonic() + LAST_ORDERS_S

        def waits() -> bool:
            open_yet = bool(self.server_state.connections) and not self.force_exit
            return open_yet and time.monotonic() < until

        while waits():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(POLL_S)
        await super().shutdown(sockets)


def main() -> None:
    """Serve until a signal."""
    arguments = argparse.ArgumentParser(description="Run one API replica.")
    arguments.add_argument("application", nargs="?", default=APPLICATION, help="module:factory")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8000)
    given = arguments.parse_args()
    config = uvicorn.Config(
        given.application,
        factory=True,
        host=given.host,
        port=given.port,
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application reads what the load balancer says, where it needs it
        log_level="warning",
        log_config=None,  # the application logs for both, as JSON
    )
    Replica(config).run()


if __name__ == "__main__":
    main()
