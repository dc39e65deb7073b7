"""Where a request comes from: the address that the load balancer saw, if it was the one to ask."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope


class Origins:
    """Client addresses, told by proxies that are trusted and by nobody else."""

    def __init__(self, proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        self._proxies = tuple(proxies)
        self._judged: dict[str, bool] = {}  # peers are few: the load balancers

    def address(self, scope: Scope) -> str:
        """The address of the client."""
        peer = scope["client"][0] if scope.get("client") else "unknown"
        if self._is_trusted(peer):
            for name, value in scope["headers"]:
                if name == b"x-real-ip":
                    return str(value, "latin-1")[:45]
        return str(peer)

    def _is_trusted(self, peer: str) -> bool:
        trusted = self._judged.get(peer)
        if trusted is None:
            try:
                address = ip_address(peer)
            except ValueError:  # a Unix socket, or a test's client
                return False
            trusted = any(address in network for network in self._proxies)
            if len(self._judged) < 1_000:
                self._judged[peer] = trusted
        return trusted
