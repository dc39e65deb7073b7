"""Load on the live stack: open loop, in a process of its own, stamped with how far to trust it."""
