"""The explorer: a scenario's figures under one's hands, in a notebook or on a page of its own.

- `evidence`: what a run knows of the service.
- `figures`, `refining`: what is modelled, at once and a little later.
- `controls`: which field each slider and menu sets.
- `named`, `pictures`, `words`: how it is shown.
- `exploration`: the state of one visit; `exporting`: what leaves it.
- `widget`: the page in a notebook; `serving`: the same page served alone, with a token.
"""
