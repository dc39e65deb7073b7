"""Set-up of the local stack: binaries, libraries, artefacts, ports, and the specification."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import stack.infra.nginx
from stack.errors import CorruptDownload, MissingArtefacts, MissingServer, PortInUse
from stack.infra.limits import Limits
from stack.infra.nginx import BALANCING, COMPOSE, NginxConfig, Tls, nginx_conf
from stack.local import StackSpec, servers
from stack.local.artefacts import check_hashes, laid_out, pinned_hashes, place_of
from stack.local.certificate import local_certificate
from stack.local.folder import is_locked, lock
from stack.local.ports import FIRST, free_port, is_free, require_free
from stack.local.processes import last_lines
from stack.local.servers import Server


def test_a_server_on_path_is_preferred_to_the_one_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "nginx"
    own.write_text("#!/bin/sh\necho nginx version: nginx/1.28.0 >&2\n")
    own.chmod(0o755)
    bundled = servers.find_server(servers.NGINX)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert servers.find_server(servers.NGINX) == own
    assert bundled != own


def test_an_nginx_on_path_that_loses_requests_at_a_reload_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "nginx"
    own.write_text("#!/bin/sh\necho nginx version: nginx/1.22.1 >&2\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert servers.find_server(servers.NGINX) != own


def test_a_bundled_server_without_its_mode_is_made_executable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_wheel").mkdir()
    (tmp_path / "some_wheel" / "__init__.py").touch()
    binary = tmp_path / "some_wheel" / "served"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o644)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = servers.find_server(Server("no-such-server", "some_wheel", "served", "install it"))
    assert found == binary
    assert os.access(found, os.X_OK)


@pytest.mark.parametrize("module", ["no_such_wheel", "no_such_wheel.inside", "json"])
def test_a_missing_server_names_what_to_install(module: str) -> None:
    with pytest.raises(MissingServer, match=r"no no-such-server found .*: install it from there"):
        servers.find_server(Server("no-such-server", module, "bin/x", "install it from there"))


def test_a_library_that_the_system_lacks_is_found_by_its_name(tmp_path: Path) -> None:
    listing = shutil.which("ls")
    assert listing
    assert servers.missing_libraries(Path(listing)) == ()
    broken = tmp_path / "ls"
    broken.write_bytes(Path(listing).read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0"))
    broken.chmod(0o755)
    assert servers.missing_libraries(broken) == ("libq.so.6",)


def test_the_command_for_missing_libraries_names_each_package_once() -> None:
    command = servers.install_command(("libssl.so.3", "libcurl.so.4", "libcrypto.so.3"))
    assert command[-2:] == ["libcurl4", "libssl3"]
    assert command[:-2][-4:] == ["apt-get", "install", "--yes", "--no-install-recommends"]


def test_all_servers_of_this_machine_have_their_libraries() -> None:
    assert [servers.missing_libraries(servers.check_libraries(one)) for one in servers.ALL] == [
        (),
        (),
        (),
    ]


def test_set_up_without_a_network_is_one_line_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, not listening: connections are refused at once
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy),
        }
        done = subprocess.run(
            [sys.executable, "-m", "stack.local.install"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert said[:-1] == ["fetching Elasticsearch 9.5.3 (45 MB)"]
    assert said[-1].startswith("could not download Elasticsearch 9.5.3 (")
    assert said[-1].endswith(
        "check the network or the proxy settings and run the same command again"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_jar_that_is_not_the_pinned_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "elasticsearch-9.5.3.jar").write_bytes(b"something else")
    with pytest.raises(CorruptDownload) as caught:
        check_hashes(tmp_path)
    assert "lib/elasticsearch-9.5.3.jar" in caught.value.files
    assert len(caught.value.files) == len(pinned_hashes())  # the others are missing altogether


def test_a_half_laid_out_folder_is_not_taken_for_elasticsearch(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    with pytest.raises(MissingArtefacts, match=r"run `python -m stack\.local\.install`"):
        laid_out(tmp_path)


def test_every_pinned_jar_lies_where_elasticsearch_looks_for_it() -> None:
    pinned = pinned_hashes()
    assert all(place_of(Path(path).name) == path for path in pinned)
    assert {Path(path).parent.as_posix() for path in pinned} == {"lib", "modules/transport-netty4"}


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortInUse, match=rf"in use by .*\(pid {os.getpid()}\)"):
            require_free(port)
    require_free(port)


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first_outgoing = int(path.read_text().split()[0])
    ports = [free_port() for _ in range(50)]
    assert all(FIRST <= port < first_outgoing for port in ports)
    assert len(set(ports)) > 40


def test_only_one_holds_the_lock_of_a_folder_and_a_new_folder_is_a_new_lock(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert not is_locked(folder)
    folder.mkdir()
    held = lock(folder)
    assert held is not None
    assert is_locked(folder)
    assert lock(folder) is None
    os.close(held)
    assert not is_locked(folder)


def test_the_last_lines_of_a_log_are_its_last(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_lines(log) == ()
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert last_lines(log, 2) == ("line 49998", "line 49999")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../elsewhere"),
        ("api_replicas", 0),
        ("database_members", 2),
        ("election_timeout_s", float("nan")),
        ("http_port", 70_000),
        ("cache_memory_mib", 0),
        ("search_engine", "grep"),
        ("service_env", {"PATH": "/tmp"}),
        ("service_env", {"HEADROOM_JWT_SECRET": "x" * 40}),
        ("limits", {"search_per_min": 0}),
        ("limits", {"search_per_hour": 5}),
        ("cors_origins", ("*",)),
        ("cors_origins", ("https://shop.example.com/",)),
        ("replicas", 3),
    ],
)
def test_a_specification_refuses_what_no_stack_can_be(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        StackSpec.model_validate({field: value})


def nginx_config(folder: Path, policy: str, **more: object) -> NginxConfig:
    return NginxConfig(
        listen="127.0.0.1:8080",
        replicas=("127.0.0.1:8001", "127.0.0.1:8002"),
        policy=policy,
        run=folder,
        error_log="stderr",
        access_log=str(folder / "access.jsonl"),
        **more,
    )


@pytest.mark.parametrize("policy", BALANCING)
def test_nginx_accepts_its_configuration_for_every_policy(tmp_path: Path, policy: str) -> None:
    text = nginx_conf(nginx_config(tmp_path, policy))
    assert BALANCING[policy] in text
    require_accepted(tmp_path, text)


def test_nginx_accepts_its_configuration_with_everything_switched_on(tmp_path: Path) -> None:
    certificate, key = local_certificate(tmp_path)
    config = nginx_config(
        tmp_path,
        "round_robin",
        tls=Tls(listen="127.0.0.1:8443", certificate=certificate, key=key),
        limits=Limits(),
        cors_origins=("https://shop.example.com", "http://127.0.0.1:3000"),
        trusted_forwarders=("127.0.0.1",),
    )
    assert key.stat().st_mode & 0o077 == 0
    require_accepted(tmp_path, nginx_conf(config))


def test_what_is_switched_off_leaves_nothing_in_the_configuration(tmp_path: Path) -> None:
    text = nginx_conf(nginx_config(tmp_path, "round_robin"))
    for directive in ("ssl_", "limit_req", "limit_conn", "real_ip", "Access-Control", "$preflight"):
        assert directive not in text


def require_accepted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    assert "@{" not in text
    binary = servers.find_server(servers.NGINX)
    command = [str(binary), "-t", "-p", f"{tmp_path}/", "-c", str(path), "-e", "stderr"]
    tested = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr


def test_the_configuration_that_compose_mounts_is_current() -> None:
    path = Path(stack.infra.nginx.__file__).with_name("nginx.compose.conf")
    assert path.read_text() == nginx_conf(COMPOSE), "run python -m stack.infra.nginx"
