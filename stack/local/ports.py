"""Ports on 127.0.0.1."""

import secrets
import socket

import psutil

from stack.errors import PortInUse

# Below the range that Linux hands to outgoing connections, so that none of those takes a port
# between our look and the server's bind. A server that still meets a taken one is started again.
FIRST, LAST = 20_000, 32_700


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)  # with SO_REUSEADDR it is listening that tells, not binding
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nothing listens on now."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if is_free(port):
            return port


def require_free(port: int) -> None:
    """Raise PortInUse, naming the holder where the system tells, unless `port` is free."""
    if not is_free(port):
        raise PortInUse(port=port, holder=_holder(port))


def _holder(port: int) -> str | None:
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ):
            if connection.pid is None:  # another user's
                return None
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` itself listens on `port`: an answer may come from somebody else."""
    try:
        sockets = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(
        found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port
        for found in sockets
    )
