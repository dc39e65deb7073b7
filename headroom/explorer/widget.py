"""The explorer as a Jupyter widget: the same page in a notebook and served alone."""

import asyncio
import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from plotly.offline import get_plotlyjs

from headroom.charts.palette import exchanges
from headroom.explorer.exploration import Exploration
from headroom.explorer.exporting import notebook_text, yaml_text
from headroom.explorer.pictures import look
from sim.errors import SimError

SETTLED_S = 0.4  # without a move, until the compiled engine begins
_HERE = Path(__file__).parent


@lru_cache(maxsize=1)
def plotly_gz() -> bytes:
    """plotly.js, compressed: the page inflates it, so nothing is fetched from elsewhere."""
    return gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)


class ExplorerPage(anywidget.AnyWidget):
    """The page of one exploration."""

    _esm = _HERE / "page.js"
    _css = _HERE / "page.css"
    view = traitlets.Dict().tag(sync=True)
    look = traitlets.Unicode().tag(sync=True)
    exchanges = traitlets.Dict().tag(sync=True)

    def __init__(self, exploration: Exploration) -> None:
        super().__init__(look=look(), exchanges=exchanges())
        self.exploration = exploration
        self._seq = 0
        self._engine = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explorer")
        self._refining: asyncio.Task[None] | None = None
        self.on_msg(self._heard)
        self._show()
        self._refine()

    def _show(self) -> None:
        self.view = self.exploration.view() | {"seq": self._seq}

    def _heard(self, _widget: object, message: dict[str, Any], _buffers: object) -> None:
        match message.get("do"):
            case "plotly":
                self.send({"kind": "plotly"}, buffers=[plotly_gz()])
            case "export":
                self._export(str(message.get("kind")))
            case asked:
                self._seq = int(message.get("seq", 0))
                self._acts(message).get(str(asked), self.exploration.reset)()
                self._show()
                self._refine()

    def _acts(self, message: dict[str, Any]) -> dict[str, Callable[[], None]]:
        now = self.exploration
        return {
            "set": lambda: now.set(str(message.get("name")), message.get("value")),
            "choose": lambda: now.choose(str(message.get("scenario"))),
            "load": lambda: now.load(str(message.get("text")), str(message.get("source"))),
            "reset": now.reset,
            "pin": now.pin,
        }

    def _export(self, kind: str) -> None:
        scenario = self.exploration.scenario
        name, text = f"{scenario.name}.yaml", yaml_text(scenario)
        if kind == "notebook":
            name, text = f"{scenario.name}.ipynb", notebook_text(self.exploration)
        self.send({"kind": "file", "name": name, "text": text})

    def _refine(self) -> None:
        """Begin anew with the engine, once nothing has moved for a moment."""
        if self._refining is not None:
            self._refining.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # outside a kernel nobody waits for more
            return
        self._refining = loop.create_task(self._refined())

    async def _refined(self) -> None:
        await asyncio.sleep(SETTLED_S)
        design, steps = self.exploration.refinement()
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await loop.run_in_executor(self._engine, next, steps, None)
            except SimError as error:
                self.exploration.problems = (str(error),)
                self._show()
                return
            if found is None or not self.exploration.accept(design, found):
                return
            self._show()
