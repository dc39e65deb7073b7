"""A crowd replayed on emulated machines that come and go, foretold beforehand.

- `crowd`: what is offered, and what the model says of it. `plainer`: what the mean curve says.
- `measured`: offered to a live stack, and compared. `records`: what that leaves on disk.
  `page`: in words.
"""
