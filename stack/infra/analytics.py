"""Questions to the owner of the events, over HTTP inside the stack."""

from datetime import datetime
from typing import Any

import aiohttp

TIMEOUT_S = 5.0


class AnalyticsUnavailable(ConnectionError):
    """The owner of the events does not answer."""


class Analytics:
    """A client; connects at its first question."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def funnel(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """Sessions by the step that they reached, in the order of the steps."""
        found: list[dict[str, Any]] = await self._ask("/funnel", start, end)
        return found

    async def kinds(self, start: datetime, end: datetime) -> dict[str, int]:
        """Events by kind."""
        found: dict[str, int] = await self._ask("/kinds", start, end)
        return found

    async def top(
        self, what: str, start: datetime, end: datetime, most: int
    ) -> list[dict[str, Any]]:
        """The first of a ranking, as `{name, figure}`."""
        found: list[dict[str, Any]] = await self._ask(f"/top/{what}", start, end, most=most)
        return found

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, path: str, start: datetime, end: datetime, **values: int) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        params: dict[str, str | int] = {
            "start": start.isoformat(),
            "end": end.isoformat(),
            **values,
        }
        try:
            async with self._session.get(self._url + path, params=params) as answer:
                answer.raise_for_status()
                return await answer.json()
        except (aiohttp.ClientError, OSError) as error:
            raise AnalyticsUnavailable(f"events: {error}") from error
