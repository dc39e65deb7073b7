"""The parts of a stack: how each is started and when it is ready."""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import stack
from stack.gates.emulation import Emulation
from stack.gates.settling import TICK_S
from stack.infra.nginx import NginxConfig, Tls, nginx_conf
from stack.local import servers
from stack.local.info import PartInfo, PartKind
from stack.local.ports import free_port
from stack.local.readiness import gates_answer, http_answers, mongo_answers, redis_answers
from stack.local.spec import StackSpec

REPLICA_SET = "headroom"
INDEXER_READY = "following changes"  # its port tells metrics only

LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class Part:
    """One process: its command once its port is known, and the gate that says it is ready."""

    name: str
    kind: PartKind
    command: Callable[[int], list[str]]
    gate: Callable[[int], Awaitable[bool]]
    waits_for: str
    url: Callable[[int], str] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0
    port: int | None = None  # None: any free one
    listens: bool = True  # False: no port at all
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Layout:
    """Where one stack keeps its files: all below its folder, gone with it."""

    folder: Path

    @property
    def logs(self) -> Path:
        """Logs of all parts."""
        return self.folder / "logs"

    @property
    def access_log(self) -> Path:
        """nginx's access log: one JSON object a line."""
        return self.logs / "access.jsonl"

    def log(self, part: str) -> Path:
        """The log of one part."""
        return self.logs / f"{part}.log"

    def room(self, part: str) -> Path:
        """The folder of one part's data, made if absent."""
        room = self.folder / "data" / part
        room.mkdir(parents=True, exist_ok=True)
        return room

    def base_environment(self) -> dict[str, str]:
        """What every process gets: nothing of the caller's environment that could change it."""
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        names = ("PATH", "HOME", "TZ", "LD_LIBRARY_PATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {
            **kept,
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch),
            "PYTHONPATH": str(Path(stack.__file__).parent.parent),
            "PYTHONUNBUFFERED": "1",  # the last words of a process that dies must be in its log
        }


def planned_parts(spec: StackSpec, layout: Layout) -> Iterator[PartInfo]:
    """What a stack will consist of, before anything is started."""

    def planned(name: str, kind: PartKind) -> PartInfo:
        return PartInfo(name=name, kind=kind, log=layout.log(name))

    yield planned("nginx", "nginx")
    yield from (planned(f"api-{n + 1}", "api") for n in range(spec.api_replicas))
    if spec.cache_memory_mib:
        yield planned("redis", "redis")
    yield from (planned(f"mongo-{n + 1}", "mongo") for n in range(spec.database_members))
    if spec.search_engine == "elasticsearch":
        yield planned("elasticsearch", "elasticsearch")
        yield planned("indexer", "indexer")
    if spec.emulation is not None:
        yield planned("gates", "gates")
    if spec.queues:
        yield planned("queue", "queue")
    yield from (planned(f"worker-{n + 1}", "worker") for n in range(spec.workers))
    if spec.events:
        yield planned("events", "events")


def redis_part(spec: StackSpec, layout: Layout) -> Part:
    """The cache: least recently used keys go first, nothing is kept on disk."""
    binary = servers.find_server(servers.REDIS)

    def command(port: int) -> list[str]:
        return [
            *(str(binary), "--bind", "127.0.0.1", "--port", str(port), "--daemonize", "no"),
            *("--save", "", "--appendonly", "no", "--dir", str(layout.room("redis"))),
            *("--maxmemory", f"{spec.cache_memory_mib}mb", "--maxmemory-policy", "allkeys-lru"),
        ]

    return Part(
        "redis",
        "redis",
        command,
        redis_answers,
        "an answer to PING",
        url=lambda port: f"redis://127.0.0.1:{port}/0",
    )


def queue_part(layout: Layout) -> Part:
    """Jobs, events and sessions: nothing is thrown out, and all of it is on disk.

    Not in the cache's Redis, which forgets what it has no room for.
    """
    binary = servers.find_server(servers.REDIS)

    def command(port: int) -> list[str]:
        return [
            *(str(binary), "--bind", "127.0.0.1", "--port", str(port), "--daemonize", "no"),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--dir", str(layout.room("queue"))),
            *("--maxmemory", "128mb", "--maxmemory-policy", "noeviction"),
        ]

    return Part(
        "queue",
        "queue",
        command,
        redis_answers,
        "an answer to PING",
        url=lambda port: f"redis://127.0.0.1:{port}/0",
    )


def worker_part(number: int, environment: dict[str, str]) -> Part:
    """One worker of background jobs."""
    return Part(
        f"worker-{number}",
        "worker",
        lambda port: [sys.executable, "-m", "stack.worker.jobs", "--port", str(port)],
        lambda port: http_answers(port, "/readyz"),
        "GET /readyz to answer 200",
        url=lambda port: f"http://127.0.0.1:{port}",
        environment=environment,
    )


def events_part(environment: dict[str, str], layout: Layout) -> Part:
    """The owner of the events, with chDB inside: its folder has one process."""
    folder = layout.room("events") / "chdb"
    return Part(
        "events",
        "events",
        lambda port: [sys.executable, "-m", "stack.worker.events", "--port", str(port)],
        lambda port: http_answers(port, "/readyz"),
        "GET /readyz to answer 200",
        url=lambda port: f"http://127.0.0.1:{port}",
        environment={**environment, "HEADROOM_CLICKHOUSE_URL": f"chdb://{folder}"},
    )


def mongo_part(number: int, layout: Layout, *, takes_faults: bool = False) -> Part:
    """One member of the replica set (a set of one where the database has one member)."""
    switches = ("--setParameter", "enableTestCommands=1") if takes_faults else ()
    binary = servers.find_server(servers.MONGOD)
    name = f"mongo-{number}"

    def command(port: int) -> list[str]:
        return [
            *(str(binary), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
            *("--dbpath", str(layout.room(name)), "--replSet", REPLICA_SET),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256", "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false", *switches),
        ]

    return Part(name, "mongo", command, mongo_answers, "an answer to `ping`")


def elasticsearch_part(spec: StackSpec, layout: Layout, home: Path) -> Part:
    """The search node."""
    room = layout.room("elasticsearch")

    def command(port: int) -> list[str]:
        (room / "log4j2.properties").write_text(LOG4J)
        (room / "elasticsearch.yml").write_text(
            "cluster.name: headroom\nnode.name: node-1\ndiscovery.type: single-node\n"
            f"network.host: 127.0.0.1\nhttp.port: {port}\ntransport.port: {free_port()}\n"
            f"path.data: {room}/data\npath.logs: {room}/logs\n"
            # One node on a developer's disk: a nearly full disk must not make indices read-only.
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
            # The breaker on real memory counts garbage too, and has it collected when that is G1's
            # business; our small heap's serial collector waits until it is full, and the node would
            # refuse everything (429) with four fifths of its heap free.
            "indices.breaker.total.use_real_memory: false\n"
        )
        # As a file, not as a module: the JVM's process needs nothing else of this project.
        launcher = [sys.executable, "-P", str(Path(__file__).with_name("elasticsearch_node.py"))]
        return [*launcher, str(home), str(room), str(spec.elasticsearch_heap_mib)]

    return Part(
        "elasticsearch",
        "elasticsearch",
        command,
        lambda port: http_answers(port, "/_cluster/health?wait_for_status=yellow&timeout=4s"),
        "cluster health yellow or better",
        url=lambda port: f"http://127.0.0.1:{port}",
        timeout_s=120.0,
    )


def gates_part(spec: StackSpec, emulation: Emulation, faults_file: Path | None) -> Part:
    """The gates of the emulated machines that all replicas share."""
    faults = [] if faults_file is None else [str(faults_file)]
    machines = emulation.machines
    slots: dict[str, int] = {}
    for component, machine in machines.items():
        if component == "mongo":
            numbers = range(1, spec.database_members + 1)
            slots |= {f"mongo-{number}": machine.slots for number in numbers}
        elif component != "api":  # each replica is its own gate
            slots[component] = machine.slots

    def command(port: int) -> list[str]:
        settle_s = emulation.late_s("redis") + TICK_S  # alike for all shared machines
        node = (sys.executable, "-m", "stack.gates.node")
        return [*node, str(port), json.dumps(slots), str(settle_s), *faults]

    return Part("gates", "gates", command, gates_answer, "a connection")


def api_part(number: int, environment: dict[str, str], application: str) -> Part:
    """One API replica: one process, one event loop."""
    name = f"api-{number}"

    def command(port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "stack.service.serve", application),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]

    return Part(
        name,
        "api",
        command,
        lambda port: http_answers(port, "/readyz"),
        "GET /readyz to answer 200",
        url=lambda port: f"http://127.0.0.1:{port}",
        environment={**environment, "HEADROOM_REPLICA": name},
    )


def indexer_part(environment: dict[str, str], layout: Layout) -> Part:
    """The change-stream reader that keeps Elasticsearch in step with MongoDB."""

    log = layout.log("indexer")

    async def follows(_port: int) -> bool:
        return log.exists() and INDEXER_READY in log.read_text()

    return Part(
        "indexer",
        "indexer",
        lambda port: [sys.executable, "-m", "stack.worker.indexer", "--port", str(port)],
        follows,
        f"its log to say {INDEXER_READY!r}",
        url=lambda port: f"http://127.0.0.1:{port}",
        environment=environment,
    )


def nginx_part(spec: StackSpec, layout: Layout, api_ports: list[int], tls: Tls | None) -> Part:
    """The load balancer in front of the replicas."""
    binary = servers.find_server(servers.NGINX)
    room = layout.room("nginx")

    def command(port: int) -> list[str]:
        config = NginxConfig(
            listen=f"127.0.0.1:{port}",
            replicas=tuple(f"127.0.0.1:{api_port}" for api_port in api_ports),
            policy=spec.load_balancer,
            run=room,
            error_log="stderr",
            access_log=str(layout.access_log),
            tls=tls,
            limits=spec.limits,
            cors_origins=spec.cors_origins,
            trusted_forwarders=("127.0.0.1",) if spec.trust_forwarded_for else (),
        )
        path = room / "nginx.conf"
        path.write_text(nginx_conf(config))
        own = ["-p", f"{room}/", "-c", str(path), "-e", "stderr"]
        # As the official image starts it. Root's workers would be `nobody`, who may not write
        # below a folder of root's: bodies too large for memory and cached pictures go there.
        user = "user root;" if os.geteuid() == 0 else ""
        return [str(binary), *own, "-g", f"daemon off; {user}"]

    return Part(
        "nginx",
        "nginx",
        command,
        lambda port: http_answers(port, "/lb-health"),
        "GET /lb-health to answer 200",
        url=lambda port: f"http://127.0.0.1:{port}",
        port=spec.http_port or None,
        # The master takes its workers along when it is asked to stop, and not when it is killed.
        death_signal=signal.SIGTERM,
    )
