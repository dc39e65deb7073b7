"""A process that takes whatever is posted to it and keeps it: `python catcher.py FILE`.

It prints its port. Each request is a line of FILE: its path, its headers, its body in base64.
"""

import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import brotli


@dataclass(frozen=True)
class Caught:
    path: str
    headers: dict[str, str]
    body: bytes


class Catcher:
    def __init__(self, port: int, file: Path) -> None:
        self.port, self._file = port, file

    def caught(self) -> list[Caught]:
        found = []
        lines = self._file.read_text().splitlines(keepends=True) if self._file.exists() else []
        for line in lines:
            if line.endswith("\n"):
                path, headers, body = json.loads(line)
                content = base64.b64decode(body)
                if (encoding := headers.get("content-encoding")) is not None:
                    content = {"gzip": gzip, "br": brotli}[encoding].decompress(content)
                found.append(Caught(path, headers, content))
        return found


@contextmanager
def catcher(folder: Path) -> Iterator[Catcher]:
    file = folder / "caught.jsonl"
    command = [sys.executable, __file__, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Catcher(int(process.stdout.readline()), file)
        finally:
            process.terminate()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = json.dumps([self.path, headers, base64.b64encode(body).decode()]) + "\n"
        with Path(sys.argv[1]).open("a") as file:
            file.write(line)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
