"""What a supervisor tells its owner, who may never listen."""

import json
import os

from stack.local.processes import tell


def test_an_owner_who_does_not_read_never_stops_the_supervisor_and_reads_whole_events_later() -> (
    None
):
    reports, report = os.pipe()
    for number in range(500):  # many times what a pipe holds
        tell(report, "progress", number=number, line="x" * 1_500)
    os.close(report)
    with os.fdopen(reports) as told:
        events = [json.loads(line) for line in told]
    assert 10 < len(events) < 500
    assert [event["number"] for event in events] == list(range(len(events)))


def test_an_owner_who_is_gone_is_no_fault() -> None:
    reports, report = os.pipe()
    os.close(reports)
    tell(report, "progress", line="anybody?")
    os.close(report)
