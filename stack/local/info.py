"""What is asked of a supervisor (`request.json`) and what it tells (`stack.json`)."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

import psutil
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stack.infra import faults
from stack.local.autoscaling import MOST_REPLICAS
from stack.local.spec import StackSpec

FILE = "stack.json"
REQUEST = "request.json"

PartKind = Literal[
    "nginx",
    "api",
    "redis",
    "mongo",
    "elasticsearch",
    "indexer",
    "queue",
    "worker",
    "events",
    "gates",
]
PartState = Literal["waiting", "starting", "ready", "dead", "stopped"]


class Request(BaseModel):
    """What a supervisor is asked to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: StackSpec
    elasticsearch_home: Path
    application: str  # module:factory of the API
    owner_pid: int | None  # the stack ends when this process does; None: it stays until stopped


class Change(BaseModel):
    """What is asked of a running stack, on its socket."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: Literal["scale", "restart", "start", "autoscale"]
    count: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = None  # scale: API replicas
    part: str | None = None  # start: which
    # autoscale: when its periods begin, by the monotonic clock; None: it holds still.
    from_s: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.change == "scale") != (self.count is not None):
            raise ValueError("`count` goes with `scale`, and with nothing else")
        if (self.change == "start") != (self.part is not None):
            raise ValueError("`part` goes with `start`, and with nothing else")
        if self.change != "autoscale" and self.from_s is not None:
            raise ValueError("`from_s` goes with `autoscale`, and with nothing else")
        return self


class PartInfo(BaseModel):
    """One process of the stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: PartKind
    state: PartState = "waiting"
    pid: int | None = None
    port: int | None = None
    url: str | None = None
    log: Path
    waits_for: str | None = None  # what the readiness gate waits for, while state is "starting"
    started_s: float | None = None  # seconds from the process's start to its readiness
    exit_code: int | None = None  # negative: the number of the signal that ended it
    last_lines: tuple[str, ...] = ()  # of its log, once it is dead

    def pids(self) -> tuple[int, ...]:
        """All processes of the part now, the main one first: nginx works in a child of its own."""
        if self.pid is None:
            return ()
        try:
            forked = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return ()
        return (self.pid, *(process.pid for process in forked))


class StackInfo(BaseModel):
    """A stack: where it listens, what it consists of and how its parts are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str
    state: Literal["starting", "ready", "degraded", "stopping"]
    spec: StackSpec
    folder: Path
    guard_pid: int
    supervisor_pid: int
    owner_pid: int | None
    started_at: str
    started_s: float | None = None  # seconds from the supervisor's start until all were ready
    base_url: str | None = None
    https_url: str | None = None
    certificate: Path | None = None  # what a client of `https_url` must trust
    mongo_url: str | None = None
    redis_url: str | None = None
    elasticsearch_url: str | None = None
    queue_url: str | None = None
    events_url: str | None = None
    objects_url: str | None = None
    admin_password: str
    jwt_secret: str  # signs the tokens of this stack; the load generator speaks for any user
    access_log: Path
    emulation_file: Path | None = None  # of an emulation in dilated time
    parts: tuple[PartInfo, ...]

    def part(self, name: str) -> PartInfo:
        """The part of that name; KeyError when there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)

    def parts_of(self, kind: PartKind) -> tuple[PartInfo, ...]:
        """All parts of one kind, in order."""
        return tuple(part for part in self.parts if part.kind == kind)

    @property
    def faults_file(self) -> Path | None:
        """Where faults are switched on; None in a stack that takes none."""
        return self.folder / faults.FILE if self.spec.takes_faults else None

    def service_environment(self) -> dict[str, str]:
        """What an own process needs to work on the stack's servers, as its API processes do."""
        urls = {
            "HEADROOM_MONGO_URL": self.mongo_url,
            "HEADROOM_REDIS_URL": self.redis_url,
            "HEADROOM_ELASTICSEARCH_URL": self.elasticsearch_url,
            "HEADROOM_QUEUE_URL": self.queue_url,
            "HEADROOM_EVENTS_URL": self.events_url,
            "HEADROOM_OBJECTS_URL": self.objects_url,
        }
        limits = self.spec.limits
        return {
            **self.spec.service_env,
            **{name: url for name, url in urls.items() if url},
            **({"HEADROOM_LIMITS": limits.model_dump_json()} if limits else {}),
            **(
                {"HEADROOM_EMULATION_FILE": str(self.emulation_file)} if self.emulation_file else {}
            ),
            **({"HEADROOM_FAULTS_FILE": str(self.faults_file)} if self.faults_file else {}),
            "HEADROOM_JWT_SECRET": self.jwt_secret,
            "HEADROOM_ADMIN_PASSWORD": self.admin_password,
        }

    def write(self) -> None:
        """Replace `stack.json` at once, readable by this user only: it holds a password."""
        target = self.folder / FILE
        draft = target.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json(indent=2))
        draft.replace(target)

    @classmethod
    def read(cls, folder: Path) -> "StackInfo":
        """Read `stack.json` of the stack in `folder`."""
        return cls.model_validate_json((folder / FILE).read_text())
