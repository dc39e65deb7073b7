"""Killed API servers, Redis down, an emptied cache: each kill beside its forecast.

- `forecasts`: what a kill will do to these very requests. `breakers`: how servers leave a dead
  Redis alone and return to it. `rehearsal`: what is seen of a stack before its first kill.
- `kills`: one after the other, under load. `readback`: the first of Redis, explained afterwards.
  `page`: in words.
"""
