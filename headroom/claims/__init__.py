"""The claim ledger: every figure a design document states, tested and judged.

- `ledger`: claims as data, a YAML file that users write for their own document.
- `expression`: arithmetic over named figures.
- `evidence`, `figures`: what a claim may speak of, from formulas, models, the price book, runs.
- `experiments`: what only the live stack can tell, measured on it.
- `judging`: the verdict on each claim.
- `tables`: all of them in one table.
"""

from headroom.claims.judging import figures_of, judged
from headroom.claims.ledger import Claim, Ledger, load_ledger

__all__ = ["Claim", "Ledger", "figures_of", "judged", "load_ledger"]
