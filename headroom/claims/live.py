"""What an experiment works with: two live stacks, a client, a stream of randomness."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import redis
from numpy.typing import NDArray

from headroom.artefacts import Estimate, ExperimentResult
from sim.scenario import Scenario
from stack.infra.catalogue import ADMIN_EMAIL
from stack.local import StackInfo

TIMEOUT_S = 30.0
RESAMPLES = 1000


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took from the first byte sent to the last one read."""

    status: int
    headers: dict[str, str]
    body: Any  # what the JSON says; None where the answer is none
    seconds: float
    content: bytes = b""


class Client:
    """One connection to one stack, kept alive: what a single browser would see."""

    def __init__(self, info: StackInfo, url: str | None = None, *, token: str = "") -> None:
        """To the stack's load balancer, or to one of its parts at `url`."""
        wanted = url or info.base_url
        assert wanted is not None
        self._address = urlsplit(wanted).netloc
        self._connection = HTTPConnection(self._address, timeout=TIMEOUT_S)
        self._token = token

    def log_in(self, password: str, email: str = ADMIN_EMAIL) -> Answer:
        """Speak for a user, the administrator by default, from now on."""
        answer = self.ask("POST", "/api/v1/auth/login", body={"email": email, "password": password})
        self._token = answer.body["access_token"]
        return answer

    def get(self, path: str, **query: str | int) -> Answer:
        """GET; raises OSError when the stack does not answer."""
        return self.ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body of bytes goes as it is, any other as JSON."""
        sent = {"Content-Type": "application/json"}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        began = time.perf_counter()
        try:
            self._connection.request(method, target, data, sent | dict(headers or {}))
            answer = self._connection.getresponse()
            text = answer.read()
        except OSError:
            self._connection.close()
            raise
        seconds = time.perf_counter() - began
        named = {name.lower(): value for name, value in answer.getheaders()}
        is_json = named.get("content-type", "").split(";")[0].endswith("json")
        said = json.loads(text) if is_json and text else None
        return Answer(answer.status, named, said, seconds, text)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True)
class Live:
    """Two running stacks of one catalogue: the document's design and its baseline."""

    scenario: Scenario
    design: StackInfo
    baseline: StackInfo
    folder: Path
    rng: np.random.Generator

    def forget(self) -> None:
        """Empty the design's cache: what is asked next comes from the database."""
        assert self.design.redis_url is not None
        with redis.Redis.from_url(self.design.redis_url) as store:
            store.flushdb()


Results = dict[str, ExperimentResult]


def exact(value: float, unit: str, samples: int, how: str) -> ExperimentResult:
    """A result that was read off, not sampled."""
    return ExperimentResult(value=Estimate.exact(value), unit=unit, samples=samples, how=how)


def median_ratio(
    slow_s: list[float], quick_s: list[float], rng: np.random.Generator, how: str
) -> ExperimentResult:
    """Ratio of medians of times taken in turn, with its 95 % interval by resampling the pairs."""
    pairs = np.array([slow_s, quick_s])
    drawn: NDArray[np.intp] = rng.integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=2)
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    middle = float(np.median(pairs[0]) / np.median(pairs[1]))
    value = Estimate(value=middle, low=min(float(low), middle), high=max(float(high), middle))
    return ExperimentResult(value=value, unit="×", samples=pairs.shape[1], how=how)
