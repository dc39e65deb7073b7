"""How the parts of a stack are started: each when what it depends on is ready."""

import asyncio
import time

from stack.errors import PartFailed
from stack.gates.emulation import EmulatedStack
from stack.local import parts as rooms
from stack.local.certificate import local_tls
from stack.local.parts import REPLICA_SET
from stack.local.ports import free_port
from stack.local.processes import last_lines
from stack.local.readiness import form_replica_set
from stack.local.supervisor import Supervisor

REPLICA_SET_S = 60.0


async def start(supervisor: Supervisor) -> None:
    """Start all parts in the order of their dependencies; return when all are ready."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        database = group.create_task(_start_database(supervisor))
        cache = group.create_task(_start_cache(supervisor))
        search = group.create_task(_start_search(supervisor))
        queue = group.create_task(_start_queue(supervisor))
    objects = f"file://{supervisor.layout.room('objects')}" if supervisor.spec.images else None
    supervisor.note(
        mongo_url=database.result(),
        redis_url=cache.result(),
        elasticsearch_url=search.result(),
        queue_url=queue.result(),
        objects_url=objects,
    )
    await _start_gates(supervisor, database.result())
    if supervisor.spec.events:
        part = rooms.events_part(supervisor.info.service_environment(), supervisor.layout)
        supervisor.note(events_url=f"http://127.0.0.1:{await supervisor.bring_up(part)}")
    async with asyncio.TaskGroup() as group:
        apis = [
            group.create_task(supervisor.bring_up(supervisor.api_part(number + 1)))
            for number in range(supervisor.spec.api_replicas)
        ]
        if search.result():
            environment = supervisor.info.service_environment()
            group.create_task(
                supervisor.bring_up(rooms.indexer_part(environment, supervisor.layout))
            )
        for number in range(supervisor.spec.workers):
            environment = supervisor.info.service_environment()
            group.create_task(supervisor.bring_up(rooms.worker_part(number + 1, environment)))
    if supervisor.spec.tls:
        supervisor.tls = local_tls(supervisor.layout.room("nginx"), free_port())
    tls = supervisor.tls
    port = await supervisor.bring_up(supervisor.nginx_part([api.result() for api in apis]))
    supervisor.note(
        state="ready",
        base_url=f"http://127.0.0.1:{port}",
        https_url=f"https://{tls.listen}" if tls else None,
        certificate=tls.certificate if tls else None,
        started_s=round(time.monotonic() - began, 2),
    )


async def _start_database(supervisor: Supervisor) -> str:
    async with asyncio.TaskGroup() as group:
        faulty = supervisor.spec.takes_faults
        parts = [
            rooms.mongo_part(number + 1, supervisor.layout, takes_faults=faulty)
            for number in range(supervisor.spec.database_members)
        ]
        members = [group.create_task(supervisor.bring_up(part)) for part in parts]
    ports = [member.result() for member in members]
    forming = form_replica_set(REPLICA_SET, ports, supervisor.spec.election_timeout_s)
    try:
        await asyncio.wait_for(forming, REPLICA_SET_S)
    except TimeoutError:
        what = f"formed no replica set with the other members within {REPLICA_SET_S:g} s"
        lines = last_lines(supervisor.layout.log("mongo-1"))
        raise PartFailed(part="mongo-1", what=what, last_lines=lines) from None
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    supervisor.say("progress", line=f"replica set of {len(ports)} has its primary")
    return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"


async def _start_cache(supervisor: Supervisor) -> str | None:
    if not supervisor.spec.cache_memory_mib:
        return None
    port = await supervisor.bring_up(rooms.redis_part(supervisor.spec, supervisor.layout))
    return f"redis://127.0.0.1:{port}/0"


async def _start_queue(supervisor: Supervisor) -> str | None:
    if not supervisor.spec.queues:
        return None
    return f"redis://127.0.0.1:{await supervisor.bring_up(rooms.queue_part(supervisor.layout))}/0"


async def _start_search(supervisor: Supervisor) -> str | None:
    if supervisor.spec.search_engine != "elasticsearch":
        return None
    home = supervisor.request.elasticsearch_home
    port = await supervisor.bring_up(
        rooms.elasticsearch_part(supervisor.spec, supervisor.layout, home)
    )
    return f"http://127.0.0.1:{port}"


async def _start_gates(supervisor: Supervisor, mongo_url: str) -> None:
    """In an emulation: the shared gates, and the file that tells the replicas of them."""
    emulation = supervisor.spec.emulation
    if emulation is None:
        return
    port = await supervisor.bring_up(
        rooms.gates_part(supervisor.spec, emulation, supervisor.info.faults_file)
    )
    hosts = mongo_url.removeprefix("mongodb://").partition("/")[0].split(",")
    members = {host: f"mongo-{number + 1}" for number, host in enumerate(hosts)}
    told = EmulatedStack(emulation=emulation, node_port=port, mongo_members=members)
    path = supervisor.layout.folder / "emulation.json"
    path.write_text(told.model_dump_json())
    supervisor.note(emulation_file=path)
