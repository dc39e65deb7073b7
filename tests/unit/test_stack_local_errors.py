"""Errors of the local stack: one line each, and the same on both sides of a pipe."""

import json

import pytest

from stack.errors import (
    CorruptDownload,
    DiskFull,
    DownloadFailed,
    FaultsOff,
    ForeignFolder,
    InvalidLogSearch,
    MissingArtefacts,
    MissingLibraries,
    MissingServer,
    NoAutoscaler,
    PartFailed,
    PortInUse,
    RebuildRuns,
    ScaleRefused,
    SeedingFailed,
    StackError,
    StackNotRunning,
    StackRunning,
    SupervisorLost,
    UnknownPart,
    UnsupportedSystem,
)

EXAMPLES = [
    CorruptDownload(files=["lib/a.jar"]),
    DiskFull(folder="/d", free_mib=10, needed_mib=2000),
    FaultsOff(stack="default"),
    DownloadFailed(what="Elasticsearch", reason="no route"),
    ForeignFolder(folder="/f"),
    InvalidLogSearch(what="level", value="LOUD", allowed="ERROR, WARN, INFO, DEBUG"),
    MissingArtefacts(folder="/e", command="python -m x"),
    MissingLibraries(server="mongod", libraries=("libcurl.so.4",), command="apt-get install x"),
    MissingServer(server="nginx", install="install nginx"),
    NoAutoscaler(name="default"),
    PartFailed(part="api-1", what="ended with exit code 1", last_lines=("a", "b")),
    PortInUse(port=8080, holder="python (pid 7)"),
    PortInUse(port=8080, holder=None),
    RebuildRuns(),
    ScaleRefused(kind="redis", count=3, allowed="api"),
    SeedingFailed(part="Elasticsearch", reason="3 products were refused"),
    StackNotRunning(folder="/s"),
    StackRunning(name="a", folder="/s"),
    SupervisorLost(last_lines=("a",)),
    UnknownPart(part="x", parts=("a", "b")),
    UnsupportedSystem(system="darwin"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_it_was_sent(error: StackError) -> None:
    arrived = StackError.from_json(json.loads(json.dumps(error.as_json())))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_one_line_before_any_log_it_shows(error: StackError) -> None:
    head, *log = str(error).splitlines()
    assert head
    assert all(line.startswith("  ") for line in log)


def test_every_kind_of_error_is_among_the_examples() -> None:
    assert {type(error) for error in EXAMPLES} == set(StackError.__subclasses__())


def test_a_failed_part_shows_the_end_of_its_log_under_its_name() -> None:
    error = PartFailed(part="api-1", what="ended with exit code 1", last_lines=("first", "last"))
    assert str(error) == (
        "api-1 ended with exit code 1; its last lines:\n  api-1 | first\n  api-1 | last"
    )
