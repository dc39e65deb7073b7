"""The generator: one Locust user that sends a given schedule, open loop.

Open loop: each request is due at its time, whatever became of those before it, and its latency
counts from that time. Locust's usual closed users wait for an answer before they ask again, so that
a server which stops for a second is asked less, and the wait of all that should have been sent is
never seen ("coordinated omission").

`run.py` starts it: locust -f locustfile.py --headless --plan FD --journal FD
"""

import gc
import heapq
import json
import math
import os
import select
import sys
import time
from typing import Any

import gevent
from gevent.pool import Pool
from httptools import HttpParserError
from locust import User, events, task

from stack.load.alarm import Alarm
from stack.load.connection import ConnectionPool
from stack.load.plan import (
    ANSWERED,
    BROKEN,
    DROPPED,
    IN_FLIGHT,
    NO_CONNECTION,
    TIMEOUT,
    Plan,
    journal,
)
from stack.load.priority import run_in_real_time, run_promptly

HEAD_START_S = 0.25  # between "started" and the first request's time
CONNECTIONS = 64  # made beforehand where no request may be late
PROGRESS_EVERY_S = 1.0
CLOCK_WAIT_S = 5.0  # a starter on a busy machine reads our CPU clock late, but not after our end
SERVER_ERROR = 500
CLOCKS_APART_S = 0.01  # an emulated machine tells an answer's time up to a tick before it is there
BATCH = 8  # requests started in one go when several are due, before answers are looked at


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_arguments(parser: Any) -> None:
    parser.add_argument("--plan", type=int, required=True, help="descriptor of the plan")
    parser.add_argument("--journal", type=int, required=True, help="descriptor of the journal")


class UnexpectedStatus(Exception):
    """The service answered with another status than the operation's own."""


class Schedule:
    """Sends the requests of a plan when they are due and writes down what became of them."""

    def __init__(self, plan: Plan, rows: Any, fire: Any) -> None:
        self.plan = plan
        self.rows = rows
        self.fire = fire
        self.connections = ConnectionPool(plan.address)
        self.in_flight = Pool(plan.max_in_flight)
        self.start_s = 0.0
        self.sent = self.done = self.failed = self.dropped = 0
        # Lists: reading one number of an array costs as much as a system call.
        self.intended_s = plan.intended_s.tolist()
        self.operation = plan.operation.tolist()
        self.request_id = plan.request_id.tolist()
        self.retry_wait_s = plan.retry_wait_s.tolist()
        pieces = zip(
            plan.head.tolist(), plan.authorization.tolist(), plan.body.tolist(), strict=True
        )
        self.pieces = list(pieces)
        # The time it is due is for emulated machines: by it they tell who came first.
        self.id_line = (
            b"X-Request-Id: "
            + plan.run_id.encode()
            + b"-%d\r\nX-Due: %.6f\r\nX-Attempt: %d\r\n\r\n"
        )
        self.replicas: dict[bytes, int] = {b"": -1}
        self.unexpected: dict[tuple[int, int], UnexpectedStatus] = {}

    def run(self) -> None:
        """Send everything, then wait for the last answers."""
        if self.plan.is_punctual:  # a connection that is yet to be made comes too late
            self.connections.open(CONNECTIONS)
        self.start_s = time.monotonic() + HEAD_START_S
        if self.plan.is_punctual:  # whoever keeps a beat by this clock knows where the run is in it
            self.start_s = float(math.ceil(self.start_s))
        say(event="started", start_s=self.start_s, pid=os.getpid())
        reporter = gevent.spawn(self._report)
        with Alarm() as alarm:
            if self.plan.users:
                Thinking(self, alarm).run()
            else:
                self._send_all(alarm)
        say(event="scheduled")
        self.in_flight.join()
        reporter.kill()
        self.connections.close()
        say(event="finished", **self._counts())
        select.select([sys.stdin], [], [], CLOCK_WAIT_S)  # until the starter has read our clocks

    def _send_all(self, alarm: Alarm) -> None:
        for index, intended_s in enumerate(self.intended_s):
            if self.plan.is_closed and self._is_over():
                break
            if index % BATCH == 0:
                gevent.sleep(0)  # behind schedule: let answers in all the same
            alarm.wait_until(self.start_s + intended_s)
            self._dispatch(index)

    def _is_over(self) -> bool:
        return bool(time.monotonic() - self.start_s > self.intended_s[-1])

    def _replica_names(self) -> list[str]:
        return [name.decode("latin-1") for name in self.replicas][1:]

    def _dispatch(self, index: int) -> None:
        if self.plan.is_closed:
            self.in_flight.spawn(self._send, index)  # waits for a free place
        elif self.in_flight.full():
            self.dropped += 1
            now_s = time.monotonic() - self.start_s
            self.rows[index] = _row(self.intended_s[index], now_s, end=DROPPED)
        else:
            self.in_flight.spawn(self._send, index)

    def _send(self, index: int) -> None:
        self.send(index, self.start_s + self.intended_s[index])

    def send(self, index: int, intended_s: float) -> float:
        """Send a request that is due at `intended_s`; returns when its user has the answer."""
        due_s = intended_s
        sent_s = time.monotonic()
        self.sent += 1
        due_and_sent_s = (intended_s - self.start_s, sent_s - self.start_s)
        self.rows[index] = _row(*due_and_sent_s, end=IN_FLIGHT)
        end, answer = self._ask(index, 0, due_s)
        attempts = 1
        for wait_s in self.retry_wait_s[index]:
            if answer is not None and answer.status < SERVER_ERROR:
                break
            # Patience ends when it is due to, whenever this process saw it.
            failed_s = due_s + self.plan.timeout_s if end == TIMEOUT else time.monotonic()
            due_s = failed_s + wait_s
            gevent.sleep(max(0.0, due_s - time.monotonic()))
            end, answer = self._ask(index, attempts, due_s)
            attempts += 1
        done_s = time.monotonic()
        self.done += 1
        if answer is None:
            self.failed += 1
            row = _row(*due_and_sent_s, done_s - self.start_s, attempts=attempts, end=end)
            self.rows[index] = row
            self._tell_locust(index, done_s - intended_s, 0, TimeoutError("no answer in time"))
            return due_s + self.plan.timeout_s if end == TIMEOUT else done_s
        self.rows[index] = (
            *due_and_sent_s,
            done_s - self.start_s,
            *answer.timings_s,
            answer.body_bytes,
            answer.body_crc32,
            answer.status,
            answer.cache,
            self.replicas.setdefault(answer.replica, len(self.replicas) - 1),
            answer.coalesced,
            attempts,
            ANSWERED,
        )
        operation, status, size = self.operation[index], answer.status, answer.body_bytes
        error = None
        if status != self.plan.expected_status[operation]:
            self.failed += 1
            error = self._unexpected(operation, status)
        self._tell_locust(index, done_s - intended_s, size, error)
        # Emulated machines have a clock of their own, which no late wake-up here sets back.
        is_known = sent_s <= answer.left_s <= done_s + CLOCKS_APART_S
        return float(answer.left_s) if is_known else done_s

    def _ask(self, index: int, attempt: int, due_s: float) -> tuple[int, Any]:
        """How an attempt ended, and the answer if there is one."""
        head, authorization, body = self.pieces[index]
        pieces = self.plan.pieces
        identity = self.id_line % (self.request_id[index], due_s, attempt)
        request = pieces[head] + pieces[authorization] + identity + pieces[body]
        end = NO_CONNECTION
        connection = None
        try:
            with gevent.Timeout(self._patience_s(due_s), TimeoutError):
                connection = self.connections.take()
                end = BROKEN
                answer = connection.exchange(request)
                # Given back at once: nothing below reads the connection's answer after a switch.
                self.connections.give_back(connection)
                return ANSWERED, answer
        except TimeoutError:
            end = TIMEOUT
        except (OSError, HttpParserError):
            pass
        if connection is not None:
            connection.close()
        return end, None

    def _patience_s(self, due_s: float) -> float:
        """Time left for an attempt: of its own, or, where there are retries, since it was due."""
        if not self.plan.retry_wait_s.size:
            return self.plan.timeout_s
        return max(0.0, due_s + self.plan.timeout_s - time.monotonic())

    def _unexpected(self, operation: int, status: int) -> UnexpectedStatus:
        key = (operation, status)
        if key not in self.unexpected:
            name, expected = self.plan.operations[operation], self.plan.expected_status[operation]
            self.unexpected[key] = UnexpectedStatus(f"{name}: {status}, expected {expected}")
        return self.unexpected[key]

    def _tell_locust(self, index: int, took_s: float, size: int, error: Exception | None) -> None:
        self.fire(
            request_type="closed users" if self.plan.users else "open loop",
            name=self.plan.operations[self.operation[index]],
            response_time=took_s * 1e3,
            response_length=size,
            exception=error,
            context={},
        )

    def _counts(self) -> dict[str, Any]:
        return {
            "elapsed_s": round(time.monotonic() - self.start_s, 3),
            "sent": self.sent,
            "done": self.done,
            "failed": self.failed,
            "dropped": self.dropped,
            "replicas": self._replica_names(),
        }

    def _report(self) -> None:
        while True:
            gevent.sleep(PROGRESS_EVERY_S)
            say(event="progress", **self._counts())


class Thinking:
    """Closed users: each sends the next request when it has thought about the last answer."""

    def __init__(self, schedule: Schedule, alarm: Alarm) -> None:
        self._schedule = schedule
        self._alarm = alarm
        plan, start_s = schedule.plan, schedule.start_s
        self._users = plan.users
        self._think_s = plan.think_s.tolist()
        self._until_s = start_s + schedule.intended_s[-1]
        firsts = enumerate(start_s + first_s for first_s in schedule.intended_s[: plan.users])
        self._due = [(due_s, index) for index, due_s in firsts if due_s < self._until_s]
        heapq.heapify(self._due)

    def run(self) -> None:
        """Until nobody is about to ask, or waits for an answer after which to ask again."""
        in_flight = self._schedule.in_flight
        while self._due or len(in_flight):
            next_s = time.monotonic() + PROGRESS_EVERY_S
            if self._due:
                next_s = min(next_s, self._due[0][0])
            gevent.sleep(0)  # behind schedule: let answers in all the same
            self._alarm.wait_until(next_s)
            if self._due and self._due[0][0] <= time.monotonic():
                due_s, index = heapq.heappop(self._due)
                in_flight.spawn(self._ask, index, due_s)

    def _ask(self, index: int, due_s: float) -> None:
        answered_s = self._schedule.send(index, due_s)
        following = index + self._users
        if following >= len(self._think_s):
            return
        next_s = answered_s + self._think_s[following]
        if next_s < self._until_s:
            heapq.heappush(self._due, (next_s, following))
            self._alarm.bring_forward(next_s)


def _row(
    due_s: float, sent_s: float, done_s: float = float("nan"), *, attempts: int = 1, end: int
) -> tuple[float, ...]:
    unknown = float("nan")
    return (
        due_s,
        sent_s,
        done_s,
        unknown,
        unknown,
        unknown,
        unknown,
        0,
        0,
        0,
        0,
        -1,
        False,
        attempts,
        end,
    )


def _statistics(stats: Any) -> dict[str, Any]:
    """Locust's own view, by operation."""
    return {
        entry.name: {
            "requests": entry.num_requests,
            "failures": entry.num_failures,
            "mean_ms": round(entry.avg_response_time, 3),
            "p95_ms": entry.get_response_time_percentile(0.95),
            "p99_ms": entry.get_response_time_percentile(0.99),
        }
        for entry in stats.entries.values()
    }


def say(**fields: Any) -> None:
    """One line of JSON to the workbench, past Locust, which has standard output in its hands."""
    os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, json.dumps(fields).encode() + b"\n")


class Shopper(User):
    """The one user; it stands for all."""

    fixed_count = 1

    @task
    def send_schedule(self) -> None:
        """Read the plan, send it, stop Locust."""
        options = self.environment.parsed_options
        with os.fdopen(options.plan, "rb") as file:
            plan = Plan.read(file)
        with os.fdopen(options.journal, "r+b") as file:
            rows = journal(file, len(plan))
        schedule = Schedule(plan, rows, self.environment.events.request.fire)
        run_promptly()
        if plan.is_punctual:
            run_in_real_time()
        # No collection scans what was there before; full ones do not happen in a bounded run.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 100_000)
        schedule.run()
        say(event="locust", **_statistics(self.environment.stats))
        self.environment.runner.quit()
