"""Emulated machines in dilated time: each holds a request for its (dilated) service demand.

A gate stands for one machine with its slots. On arrival a visit books the earliest free slot,
`start = max(now, earliest free)`, `done = start + demand`; the real call runs inside the hold, and
what is left until `done` is slept. The booking is in virtual time: a late wake-up delays one
request and never the slot, so the noise of a small shared machine does not add up in queues.

Off unless the stack is started with an emulation; `headroom` never does so for a production stack.
What is shown of such a run is an emulation: it proves structure and behaviour, not hardware speed.

- `emulation`: what is emulated, as data. `draws`: the demand of a visit, a pure function.
- `virtual`: gates. `shared`: one whose visits are served all at once. `node`: a process for the
  machines that many replicas share. `client`: asks it.
- `addressed`: which operation a path means. The way of a request through the gates is
  `stack.service.held`.
"""
