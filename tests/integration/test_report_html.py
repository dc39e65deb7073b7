"""The rendered report, opened in a real browser that has no network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import nbformat
import pytest
from example_run import example_run, look_ahead
from playwright.sync_api import Browser, Page, sync_playwright

from headroom.artefacts import Run, Summary, Verdict
from headroom.charts.palette import BLUE, DARK, INK
from headroom.errors import RenderError
from headroom.paper import printed
from headroom.plan_records import PlanArtefact
from headroom.render import (
    NOTEBOOK,
    SIZE_LIMIT_BYTES,
    check_page,
    count_figures,
    executed_notebook,
    render,
)
from headroom.whatif import WhatIfArtefact

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = example_run(tmp_path_factory.mktemp("runs {with} <odd> & 'names'"))
    look_ahead(found)
    return found


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def report(run: Run, steps: list[tuple[int, int]]) -> Path:
    return render(run, progress=lambda done, of: steps.append((done, of)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "the tests need Chromium: `make test` installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page with everything it asked for and complained about."""

    def __init__(self, browser: Browser, path: Path, place: str = "", **options: object) -> None:
        context = browser.new_context(offline=True, **options)  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri() + place)
        self.page.wait_for_selector("html[data-figures]", state="attached")


@pytest.fixture(scope="module")
def opened(browser: Browser, report: Path) -> Opened:
    return Opened(browser, report, viewport={"width": 1280, "height": 800})


def test_every_figure_is_drawn_with_the_network_off_and_nothing_is_fetched(
    opened: Opened, run: Run
) -> None:
    figures = count_figures(nbformat.read(run.folder / "report.ipynb", as_version=4))
    assert figures >= 6
    # plotly stacks its drawing in layers; the first of each figure counts once
    assert opened.page.locator(".plot .main-svg:first-child").count() == figures
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1


def drawn(page: Page) -> int:
    return page.locator(".plot .main-svg:first-child").count()


# Titles of axes and labels of series whose box leaves the figure's own
CUT_OFF = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const room = plot.getBoundingClientRect();
  return [...plot.querySelectorAll(".infolayer text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < room.left - 2 || box.right > room.right + 2
      || box.top < room.top - 2 || box.bottom > room.bottom + 2;
  }).map((text) => `${plot.id}: ${text.textContent}`);
})"""


@pytest.mark.parametrize(
    ("place", "width", "scheme"),
    [("", 1920, "dark"), ("", 390, "light"), ("#paper", 688, "light")],
    ids=["dark at 1920", "phone", "paper"],
)
def test_every_figure_is_drawn_whole_on_dark_pages_phones_and_paper(
    *, browser: Browser, report: Path, opened: Opened, place: str, width: int, scheme: str
) -> None:
    shown = Opened(
        browser, report, place, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    if place:
        shown.page.emulate_media(media="print")
    assert drawn(shown.page) == drawn(opened.page)
    assert shown.complaints == []
    assert shown.page.evaluate(CUT_OFF) == []
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    colour = shown.page.evaluate(
        """() => document.getElementById("figure-1").data
             .find((trace) => trace.name === "p95 latency, model").line.color"""
    )
    assert colour == (DARK[BLUE] if scheme == "dark" else BLUE)


def test_nothing_is_cut_off_on_a_desk(opened: Opened) -> None:
    assert opened.page.evaluate(CUT_OFF) == []


def test_the_report_is_printed_to_a_pdf_of_several_pages(run: Run, report: Path) -> None:
    assert report.exists()
    pdf = printed(run).read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 5


def test_the_page_is_smaller_than_its_limit(report: Path) -> None:
    assert report.stat().st_size < SIZE_LIMIT_BYTES


def test_the_drawn_points_stand_where_the_comparison_says(opened: Opened, run: Run) -> None:
    drawn = opened.page.evaluate(
        """() => document.getElementById("figure-1").data
             .filter((trace) => trace.mode === "markers" && trace.name.startsWith("p95"))
             .map((trace) => [...trace.y])[0]"""
    )
    own = [cell for cell in run.read_comparison() if cell.metric == "p95_s"]
    assert drawn == pytest.approx([cell.measured * 1000 for cell in own])
    points = opened.page.locator("#figure-1 .scatterlayer .points path.point").count()
    assert points == 3 * len(own)


def test_the_verdict_is_read_without_scrolling(opened: Opened, run: Run) -> None:
    opened.page.evaluate("window.scrollTo(0, 0)")
    banner = opened.page.locator("section.verdict")
    box = banner.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 800
    text = banner.inner_text()
    verdict = run.read(Verdict)
    assert verdict.status in text
    assert verdict.bound_by in text
    assert "Headroom" in text
    assert banner.locator("ol.actions li").count() == 3
    assert re.search(r"\$\d", text)


def test_plan_and_what_ifs_are_told_with_their_assumption(opened: Opened, run: Run) -> None:
    page = opened.page
    plan = run.read(PlanArtefact)
    assert plan.answer is not None
    text = page.locator("body").inner_text()
    assert plan.candidates[plan.answer].architecture in text
    assert "ASSUMPTION: service demands are not this service's" in text
    assert page.locator("table", has_text="Why not").locator("tbody tr").count() >= 3
    for effect in run.read(WhatIfArtefact).effects:
        assert effect.words in text


def test_the_sections_come_in_the_order_of_the_design(opened: Opened) -> None:
    titles = opened.page.locator("h2").all_inner_texts()
    assert titles == [
        "Objectives",
        "Run validity",
        "Latency under load",
        "What binds",
        "Cache hit ratio",
        "How far the model is off",
        "Scaling and N+1",
        "Cost",
        "Availability",
        "What to buy",
        "What breaks first",
        "What if",
        "The document's claims",
        "Appendix: how this was found",
    ]
    links = opened.page.locator("nav a").all_inner_texts()
    assert links == ["Verdict", *titles]
    for target in opened.page.locator("nav a").evaluate_all(
        "(links) => links.map((link) => link.getAttribute('href'))"
    ):
        assert opened.page.locator(target).count() == 1


def test_the_cost_table_reproduces_975_beside_the_repriced_total(opened: Opened) -> None:
    total = opened.page.locator("tfoot tr").first.inner_text()
    assert "$975.00" in total
    assert "$815.78" in total


def test_the_order_of_times_shows_that_the_prediction_came_first(opened: Opened) -> None:
    text = opened.page.locator("main").inner_text()
    hashed = re.search(r"Prediction hashed\s+(\S+ \S+)", text)
    first = re.search(r"First measurement began\s+(\S+ \S+)", text)
    assert hashed is not None
    assert first is not None
    assert hashed[1] < first[1]


def test_text_follows_the_readers_colour_scheme(browser: Browser, report: Path) -> None:
    dark = Opened(browser, report, color_scheme="dark").page
    read = "() => document.getElementById('figure-1').layout.template.layout.font.color"
    before = dark.evaluate(read)
    dark.emulate_media(color_scheme="light")
    dark.wait_for_function(f"({read})() !== {json.dumps(before)}")
    assert dark.evaluate(read) == INK


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, report: Path) -> None:
    phone = Opened(browser, report, viewport={"width": 390, "height": 800}).page
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_scripts_the_data_of_every_figure_can_be_read(
    browser: Browser, report: Path
) -> None:
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    page.goto(report.as_uri())
    tables = page.locator("figure details.data[open] table")
    assert tables.count() == page.locator("figure.chart").count()
    assert tables.first.is_visible()


def test_paper_holds_the_whole_width_of_every_figure(browser: Browser, report: Path) -> None:
    page = Opened(browser, report).page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.getElementById('figure-1').layout.width === 640")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_progress_is_told_for_every_cell(report: Path, steps: list[tuple[int, int]]) -> None:
    assert report.exists()
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def notebook_of(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell("x = 1")]
    cells[0].metadata["tags"] = ["parameters"]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_failing_cell_fails_the_render_with_its_error_and_keeps_the_notebook(
    tmp_path: Path,
) -> None:
    source = notebook_of(tmp_path / "broken.ipynb", "assert x == 2, 'x is not two'")
    with pytest.raises(RenderError, match=r"assert x == 2.*AssertionError: x is not two"):
        executed_notebook(source, tmp_path / "out.ipynb", {"x": 3})
    assert "x is not two" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")


def test_a_cell_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    source = notebook_of(tmp_path / "slow.ipynb", "while True: pass")
    with pytest.raises(RenderError, match="longer than 2 s"):
        executed_notebook(source, tmp_path / "out.ipynb", {"x": 3}, cell_timeout_s=2)


def test_an_unknown_parameter_is_refused_instead_of_ignored(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"no parameter run_foldr; it has run_folder"):
        executed_notebook(NOTEBOOK, tmp_path / "out.ipynb", {"run_foldr": "x"})


def test_a_run_without_its_measurement_says_which_step_is_missing(tmp_path: Path) -> None:
    unfinished = example_run(tmp_path)
    unfinished.path(Summary).unlink()
    before = sorted(path.name for path in unfinished.folder.iterdir())
    with pytest.raises(RenderError, match=r"summary\.json is missing"):
        render(unfinished)
    after = sorted(path.name for path in unfinished.folder.iterdir())
    assert set(after) - set(before) == {"report.ipynb"}  # no half-written page


def test_a_page_that_would_fetch_or_lost_a_figure_or_grew_too_big_is_refused() -> None:
    page = '<script type="application/json" data-figure="figure-1">{}</script>'
    check_page(page, figures=1)
    check_page(page + "<td>https://example.org/source</td>", figures=1)
    for outside in (
        '<script src="https://cdn.example/x.js"></script>',
        "<img src='//cdn.example/x.png'>",
        '<link href="http://fonts.example/x.css">',
        "<style>@import 'https://fonts.example/x.css';</style>",
        "<style>a { background: url(https://example.org/x.png) }</style>",
    ):
        with pytest.raises(RenderError, match="fetch from outside"):
            check_page(page + outside, figures=1)
    with pytest.raises(RenderError, match="holds 1 figures, its notebook drew 2"):
        check_page(page, figures=2)
    with pytest.raises(RenderError, match="bytes; allowed"):
        check_page(page + "x" * SIZE_LIMIT_BYTES, figures=1)
