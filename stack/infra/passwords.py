"""The password hash: Argon2id with the parameters OWASP names as its minimum."""

from argon2 import PasswordHasher

# OWASP's password storage sheet: 19 MiB, two passes, one lane. About 20 ms of one core.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
