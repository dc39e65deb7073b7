"""`headroom price` and `headroom prices import`: what a scenario costs, and prices of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from headroom.arguments import AsJson, ScenarioName, scenario_at
from headroom.artefacts import BillArtefact, Estimate, Run
from headroom.console import figure, output, show, show_json
from headroom.load_cost import CreditsRecord, LoadCost, api_cpu_of, load_cost, triple
from headroom.plan import demands_for
from headroom.price import priced
from headroom.price_import import imported, write_book
from sim.cost import price_book
from sim.scenario import Scenario

prices_app = typer.Typer(help="Prices of your own.", no_args_is_help=True)


def price(
    scenario: ScenarioName = "million-users",
    run: Annotated[
        Path | None, typer.Option("--run", help="a calibrated run: its scenario and its demands")
    ] = None,
    cpu_ms: Annotated[
        float | None, typer.Option(help="CPU time of the API for a request, in place of demands")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Price the scenario's topology, its CPU credits and its growth with the load."""
    output.stderr = as_json  # JSON alone on stdout; the step's table goes beside it
    opened = Run.open(run) if run else None
    wanted = opened.scenario if opened else scenario_at(scenario)
    measured = demands_for(opened)
    book = price_book(wanted.prices.book)
    cpu_s = api_cpu_of(wanted, measured) if cpu_ms is None else Estimate.exact(cpu_ms / 1000.0)
    bill = priced(wanted, api_cpu_s=triple(cpu_s))
    origin = measured.measured_on if cpu_ms is None else "as stated"
    assumed = measured.assumed and cpu_ms is None
    more = load_cost(wanted, book, cpu_s, origin, assumed=assumed)
    show_bill(wanted, bill)
    show_credits(more.credits)
    show_growth(more)
    if as_json:
        show_json(bill.model_dump(mode="json") | {"load": more.model_dump(mode="json")})


def show_bill(scenario: Scenario, bill: BillArtefact) -> None:
    """The bill line by line, what a request and a user cost, and which prices are old."""
    show(
        f"a month, price book {bill.book}, {bill.region}, {bill.purchase}",
        ("item", "quantity", "unit", "USD (range)", "as of"),
        [
            (x.item, f"{x.quantity:g}", x.unit, figure(x.usd_per_month, 4), x.as_of)
            for x in bill.lines
        ]
        + [("total", "", "", figure(bill.total_usd, 4), "")],
    )
    active = bill.usd_per_active_user
    rows = [
        ("a million requests", bill.usd_per_million_requests),
        ("a registered user", bill.usd_per_registered_user),
        *([("a user active on a mean day", active)] if active else []),
    ]
    show("it comes to", ("for", "USD"), [(name, figure(usd)) for name, usd in rows])
    for text in bill.stale:
        output.print(f"old price: {text} (over {bill.oldest_months:g} months)", markup=False)
    output.print(f"not in the bill: {', '.join(bill.excluded)}", markup=False)


def show_credits(found: CreditsRecord | None) -> None:
    """Whether the API's credits last."""
    if found is None:
        return
    dry = "never" if found.dry_from_h is None else f"from hour {found.dry_from_h:.1f}"
    limit = "–" if found.dry_at_cpu_s is None else f"{found.dry_at_cpu_s * 1000:.3g}"
    show(
        f"CPU credits of one {found.instance_type}, {found.mode}",
        ("figure", "value"),
        [
            (f"CPU ms a request ({found.measured_on})", figure(_scaled(found.cpu_s, 1000))),
            ("earned a day", f"{found.earned_per_day:.4g}"),
            ("spent a day", f"{found.spent_per_day:.4g}"),
            ("dry", dry),
            ("dry from CPU ms a request on", limit),
            ("surcharge of all servers, USD a month", figure(found.surcharge_usd)),
        ],
    )


def show_growth(found: LoadCost) -> None:
    """The bill at multiples of the load."""
    show(
        "with the load: traffic and API servers grow, the rest as designed",
        ("load", "req/s", "API servers", "USD a month", "a million requests"),
        [
            (
                f"× {point.multiple:g}",
                f"{point.load_per_s:.3g}",
                str(point.replicas),
                figure(point.total_usd, 4),
                figure(point.usd_per_million_requests),
            )
            for point in found.growth
        ],
    )


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor
    )


@prices_app.command("import")
def import_prices(
    file: Annotated[
        Path, typer.Argument(help="CSV, AWS price-list offer file or Infracost JSON, on disk")
    ],
    to: Annotated[Path, typer.Option(help="the price book to write, a .csv file")],
    base: Annotated[
        str, typer.Option(help="book that fills in what the file does not price")
    ] = "2026-07",
    region: Annotated[
        str, typer.Option(help="of Infracost's prices, which do not name theirs")
    ] = "us-east-1",
) -> None:
    """Make a price book of your own prices; name it in a scenario as `prices: {book: PATH}`."""
    book = price_book(base)
    found = imported(file, book, region=region)
    write_book(to, book, found.prices)
    show(
        f"{len(found.prices)} prices of {file} ({found.kind}) over book {book.name}",
        ("service", "SKU", "region", "unit", "USD", "in the base", "as of"),
        [
            (
                price.service,
                price.sku,
                price.region,
                price.unit,
                f"{price.price_usd:g}",
                "–" if (before := found.before(price, book)) is None else f"{before:g}",
                price.as_of,
            )
            for price in found.prices
        ],
    )
    if found.skipped:
        output.print(f"{found.skipped} others skipped: no line of a bill uses them", markup=False)
    output.print(f"{to}: name it in a scenario as prices: {{book: {to}}}", markup=False)
