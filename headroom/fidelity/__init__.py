"""How far the predictions can be trusted: cells predicted, hashed, measured and compared.

- `topologies`: which architectures, with which demands. `cells`: the loads of each.
- `predicted`: one cell, before it is offered. `constants`: the two that are fitted, at low load.
- `measured`: one cell, live. `compared`: one beside the other, request by request.
- `campaign`: the list of cells, done one after the other, resumable. `invariance`: one at several
  scales. `sameness`: one day at several speeds. `record`: what was found, to be committed. `page`:
  in words; `promises`: how each was kept, for page, report (`appendix`), notebook and command.
- `native…`: this machine itself, not dilated. `parts`: killed servers, Redis, the cache, each
  beside its forecast.
"""
