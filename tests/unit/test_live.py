"""What a person sees while a stack is made ready."""

import itertools

from headroom.live import SeedingProgress


def test_a_long_seeding_says_how_far_it_is_at_quarters_and_every_few_seconds() -> None:
    said: list[str] = []
    now_s = 0.0
    progress = SeedingProgress(said.append, every_s=5.0, clock_s=lambda: now_s)
    for done in range(1_000, 1_000_001, 1_000):
        now_s += 0.5  # 500 s in all
        progress("products", done, 1_000_000)
    told = [int(line.split()[1].split("/")[0].replace(",", "")) for line in said]
    assert max(after - before for before, after in itertools.pairwise(told)) == 10_000
    assert {250_000, 500_000, 750_000, 1_000_000} <= set(told)
    assert said[0] == "products 11,000/1,000,000, 7 min left"
    assert said[-1] == "products 1,000,000/1,000,000"


def test_a_short_seeding_says_its_quarters_alone_and_each_part_its_own() -> None:
    said: list[str] = []
    progress = SeedingProgress(said.append, clock_s=lambda: 0.0)
    for done in range(1_000, 20_001, 1_000):
        progress("products", done, 20_000)
    progress("users", 2_000, 2_000)
    progress("indexes", 0, 1)
    progress("indexes", 1, 1)
    assert said == [
        "products 5,000/20,000",
        "products 10,000/20,000",
        "products 15,000/20,000",
        "products 20,000/20,000",
        "users 2,000/2,000",
        "indexes 1/1",
    ]
