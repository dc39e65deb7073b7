"""A workload section from observed requests, in bounded memory and any order of time."""

import hashlib
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from sim.errors import InvalidScenario, Problem
from sim.scenario import FAMILY_OF, WRITES, Family, Operation
from sim.workload.fit import ZipfFit, fit_zipf

SESSION_GAP_S = 1800.0
"""A client that is silent for longer begins a new session."""

_MOST_KEYS = 200_000
_MOST_CLIENTS = 200_000
_MOST_MINUTES = 3_000
_LONGEST_KEY = 100  # characters; longer ones are known by a digest, so that none takes more


def _short(text: str) -> str:
    if len(text) <= _LONGEST_KEY:
        return text
    return text[:60] + hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def _number_of(client: str) -> int:
    """What stands for a client: its name is never shown, and takes more memory."""
    name = client.encode(errors="replace")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


class KeyCounts:
    """How often each key occurred; when there are too many, the rarest are dropped."""

    def __init__(self, most: int = _MOST_KEYS) -> None:
        self.counts: Counter[str | int] = Counter()
        self.dropped = 0
        self._most = most

    def add(self, key: str | int) -> None:
        """Count one occurrence."""
        self.counts[key] += 1
        if len(self.counts) > 2 * self._most:
            kept = Counter(dict(self.counts.most_common(self._most)))
            self.dropped += len(self.counts) - len(kept)
            self.counts = kept


class Observation:
    """What was seen so far; `workload` turns it into a scenario's section.

    Memory is bounded: keys, clients and minutes are limited in number and length, the rarest or
    oldest go first. A
    minute's second-by-second counts are kept until 3,000 later minutes have begun.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.first_s, self.last_s = math.inf, -math.inf
        self.operations: Counter[Operation] = Counter()
        self.templates: Counter[str] = Counter()
        self.hours: Counter[int] = Counter()
        self.keys: dict[Operation, KeyCounts] = defaultdict(KeyCounts)
        self.clients = KeyCounts(_MOST_CLIENTS)
        self.sessions, self.gaps, self.gap_total_s = 0, 0, 0.0
        self.client_days = 0
        # Ordered, because dropping the first key of a plain dict again and again is quadratic.
        self._last_seen: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self._minutes: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
        self._variance, self._mean = 0.0, 0.0

    def add(
        self, time_s: float, operation: Operation, template: str, key: str, client: str | None
    ) -> None:
        """Count one request.

        Args:
            time_s: s since 1970, UTC.
            operation: what it is in the words of the scenario.
            template: method and route, for people to read.
            key: what was asked for; empty if the operation has no key.
            client: who asked; None if the log does not say.
        """
        self.requests += 1
        self.first_s, self.last_s = min(self.first_s, time_s), max(self.last_s, time_s)
        self.operations[operation] += 1
        template = template[:_LONGEST_KEY]
        self.templates[template if template in self.templates or self._room() else "(other)"] += 1
        self.hours[int(time_s // 3600)] += 1
        if key:
            self.keys[operation].add(_short(key))
        minute, second = divmod(int(time_s), 60)
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._minutes[minute] = np.zeros(60)
            if len(self._minutes) > 2 * _MOST_MINUTES:
                self._fold_minutes(_MOST_MINUTES)
        counts[second] += 1
        if client is not None:
            self._client_seen(_number_of(client), time_s)

    def _room(self) -> bool:
        return len(self.templates) < 1000

    def _client_seen(self, client: int, time_s: float) -> None:
        self.clients.add(client)
        day = int(time_s // 86_400)
        last_s, last_day = self._last_seen.pop(client, (-math.inf, -1))
        self.client_days += day > last_day
        gap_s = abs(time_s - last_s)  # a late line joins the session it fell out of
        if gap_s > SESSION_GAP_S:
            self.sessions += 1
        else:
            self.gaps += 1
            self.gap_total_s += gap_s
        self._last_seen[client] = (max(last_s, time_s), max(day, last_day))
        if len(self._last_seen) > _MOST_CLIENTS:
            self._last_seen.popitem(last=False)

    def _fold_minutes(self, keep: int) -> None:
        folded = []
        for minute in sorted(self._minutes)[: max(0, len(self._minutes) - keep)]:
            counts = self._minutes.pop(minute)
            # The log's first and last minute may be cut off in their middle.
            if minute not in (int(self.first_s // 60), int(self.last_s // 60)):
                folded.append(counts)
        if folded:
            block = np.stack(folded)
            self._variance += float(block.var(axis=1, ddof=1).sum())
            self._mean += float(block.mean(axis=1).sum())

    def dispersion(self) -> float:
        """Variance over mean of counts per second within minutes, at least 1."""
        self._fold_minutes(0)
        return max(1.0, float(self._variance / self._mean)) if self._mean > 0 else 1.0

    def workload(self, rng: np.random.Generator) -> dict[str, Any]:
        """The section `workload` of a scenario, and under `evidence` what it was made from.

        Args:
            rng: source of the bootstrap behind the popularity intervals.
        Raises: InvalidScenario if nothing was added.
        """
        if not self.requests:
            raise InvalidScenario(
                Problem("log", "no request", "at least one request of a known format")
            )
        span_s = max(self.last_s - self.first_s, 1.0)
        # Hours seen stand for the span: a log of ten minutes is not a day with 1,430 silent ones.
        per_day = self.requests / span_s * 86_400
        fits = {operation: _fit(counts, rng) for operation, counts in self.keys.items()}
        user_fit = _fit(self.clients, rng)
        section = {
            **self._people(per_day, span_s),
            "profile": self._profile(span_s),
            "mix": {str(o): n / self.requests for o, n in sorted(self.operations.items())},
            "popularity": _popularity(fits, user_fit),
            "catalogue": self._catalogue(fits, user_fit),
        }
        writes = sum(self.operations[operation] for operation in WRITES)
        evidence = {
            "requests": self.requests,
            "span_s": span_s,
            "mean_load_per_s": self.requests / span_s,
            "write_fraction": writes / self.requests,
            "write_load_per_s": writes / span_s,
            "requests_by_hour": [[hour * 3600, n] for hour, n in sorted(self.hours.items())],
            "mix_by_template": {t: n / self.requests for t, n in self.templates.most_common(50)},
            "popularity": {str(o): vars(fit) for o, fit in fits.items() if fit}
            | ({"users": vars(user_fit)} if user_fit else {}),
            "clients": len(self.clients.counts) + self.clients.dropped,
            "sessions": self.sessions,
            "clients_known": bool(self.clients.counts),
        }
        return {"workload": section, "evidence": evidence}

    def _people(self, per_day: float, span_s: float) -> dict[str, Any]:
        """Users and sessions whose product is the daily total seen."""
        if not self.sessions:
            return {
                "registered_users": max(1, math.ceil(per_day)),
                "daily_active_fraction": 1.0,
                "sessions_per_active_user_per_day": 1.0,
                "requests_per_session": per_day / max(1, math.ceil(per_day)),
            }
        users = len(self.clients.counts) + self.clients.dropped
        days = max(1.0, span_s / 86_400)
        active = min(1.0, max(self.client_days / days / users, 1e-6))
        per_session = self.requests / self.sessions
        return {
            "registered_users": users,
            "daily_active_fraction": active,
            "sessions_per_active_user_per_day": per_day / (users * active * per_session),
            "requests_per_session": per_session,
            "think_time_s": self.gap_total_s / self.gaps if self.gaps else 0.0,
        }

    def _profile(self, span_s: float) -> dict[str, Any]:
        dispersion = min(1000.0, self.dispersion())
        if span_s < 0.9 * 86_400:
            return {"kind": "constant", "index_of_dispersion": dispersion}
        by_hour = np.zeros(24)
        for hour, count in self.hours.items():
            by_hour[hour % 24] += count
        first, last = int(self.first_s // 3600), int(self.last_s // 3600)
        seen = np.bincount(np.arange(first, last + 1) % 24, minlength=24)
        rate = by_hour / np.maximum(seen, 1)
        return {
            "kind": "diurnal",
            "peak_to_mean": float(rate.max() / rate.mean()),
            "peak_hour": (int(rate.argmax()) + 0.5) % 24,
            "index_of_dispersion": dispersion,
        }

    def _catalogue(
        self, fits: dict[Operation, ZipfFit | None], user_fit: ZipfFit | None
    ) -> dict[str, int]:
        pages, categories = 1, set()
        for operation in (Operation.LIST, Operation.LIST_CURSOR):
            for key in self.keys[operation].counts:
                category, _, page = str(key).rpartition("#")
                categories.add(category)
                pages = max(pages, int(page) if page.isdigit() else 1)
        found = {
            "products": _items(fits.get(Operation.DETAIL), self.keys[Operation.DETAIL]),
            "users": _items(user_fit, self.clients),
            "search_queries": _items(fits.get(Operation.SEARCH), self.keys[Operation.SEARCH]),
            "categories": max(1, len(categories - {""})),
            "pages_per_category": min(pages, 10_000),
        }
        return {name: value for name, value in found.items() if value}


def _fit(counts: KeyCounts, rng: np.random.Generator) -> ZipfFit | None:
    """A fit, or None where there is too little to fit."""
    values = np.fromiter(counts.counts.values(), dtype=np.float64)
    if values.size < 2 or values.sum() < 100:
        return None
    return fit_zipf(values, rng, distinct=float(values.size + counts.dropped), samples=40)


def _items(fit: ZipfFit | None, counts: KeyCounts) -> int:
    return fit.items if fit else len(counts.counts) + counts.dropped


def _popularity(fits: dict[Operation, ZipfFit | None], users: ZipfFit | None) -> dict[str, float]:
    """Exponents of the scenario; one that could not be fitted is left to its default."""
    listing = [fit for o, fit in fits.items() if FAMILY_OF.get(o) is Family.LISTING and fit]
    found = {
        "products_zipf": fits.get(Operation.DETAIL),
        "listing_zipf": max(listing, key=lambda fit: fit.lookups, default=None),
        "search_zipf": fits.get(Operation.SEARCH),
        "users_zipf": users,
    }
    return {name: fit.exponent for name, fit in found.items() if fit}
