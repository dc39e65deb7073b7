"""What-ifs and tornado as tables."""

from headroom.plan_tables import Row, objective_amount, share, stale_text
from headroom.whatif import BarRecord, ShiftRecord, WhatIfArtefact
from headroom.wording import amount, digits, dollars, span

WHATIF_COLUMNS = (
    "what if",
    "p95",
    "errors",
    "users that fit",
    "USD a month",
    "availability",
    "model",
)
TORNADO_COLUMNS = (
    "input, one moved at a time",
    "its interval",
    "at its low end",
    "at its high end",
)
TORNADO_NAMES = {
    "p95_s": "p95 at the daily peak",
    "headroom_fraction": "users that fit, as a multiple of those there are",
    "usd_per_month": "cost a month",
}
# For a chart: factor on the stored figure, and the unit that it then has.
FIGURE_SCALES = {
    "p95_s": (1000.0, "ms"),
    "headroom_fraction": (1.0, "times as many more"),
    "usd_per_month": (1.0, "US dollars"),
}
MODELS = {"engine": "engine, the minutes after", "screen": "screen, steady state"}
MOST_BARS = 8


def effect_rows(found: WhatIfArtefact) -> list[Row]:
    """Each change with what it does to every figure."""
    return [
        (
            each.words,
            change_text(each.p95_s, "p95_s"),
            change_text(each.error_fraction, "error_fraction"),
            change_text(each.headroom_fraction, "headroom_fraction"),
            "not told" if each.usd_per_month is None
            else change_text(each.usd_per_month, "usd_per_month"),
            change_text(each.availability, "availability"),
            MODELS[each.by],
        )
        for each in found.effects
    ]  # fmt: skip


def notes(found: WhatIfArtefact) -> list[str]:
    """What the figures of some changes leave out."""
    said = [f"{each.words}: {each.note}." for each in found.effects if each.note]
    return [*said, stale_text(found.stale)] if found.stale else said


def change_text(found: ShiftRecord, figure: str) -> str:
    """The figure after the change, and the change with its range; "=" where nothing changes."""
    if found.change is not None and _still(found, figure):
        return "="
    after = _one(found.after, figure)
    if found.change is None or found.low is None or found.high is None:
        return f"{after} (overload in some futures)" if found.after is not None else "overloaded"
    if figure == "headroom_fraction":
        return f"{after} (change {digits(found.low)} to {digits(found.high)})"
    unit = "s" if figure == "p95_s" else "usd" if figure == "usd_per_month" else "fraction"
    ends = span(found.low, found.high, unit)
    if figure == "availability":
        ends = f"{found.low * 100:.3f} to {found.high * 100:.3f} %"
    sign = "+" if found.change > 0 else ""
    return f"{after} ({sign}{_one(found.change, figure)}; {ends})"


def _still(found: ShiftRecord, figure: str) -> bool:
    """Whether a change is below what a reader would call one."""
    least = {"p95_s": 5e-5, "usd_per_month": 0.005, "availability": 5e-6}.get(figure, 5e-5)
    ends = (found.change, found.low, found.high)
    return all(end is not None and abs(end) < least for end in ends)


def _one(value: float | None, figure: str) -> str:
    if value is None:
        return "overloaded"
    if figure == "usd_per_month":
        return dollars(value)
    if figure == "headroom_fraction":
        return f"× {digits(1.0 + value)}"
    if figure == "availability":
        return objective_amount("availability", value)
    return amount(value, "s") if figure == "p95_s" else share(value)


def bar_rows(found: WhatIfArtefact, figure: str, most: int = MOST_BARS) -> list[Row]:
    """The widest bars of one figure's tornado."""
    tornado = found.tornado[figure]
    return [
        (
            bar.label,
            interval_text(bar),
            _one(bar.at_low, figure),
            _one(bar.at_high, figure),
        )
        for bar in tornado.bars[:most]
    ]


def interval_text(bar: BarRecord) -> str:
    """An input's interval; of a price the range of the book."""
    if bar.name.startswith("price."):
        return "range of the book"
    return f"{digits(bar.low)} to {digits(bar.high)}"
