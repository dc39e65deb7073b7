"""Caches: hit ratios, sizes and fills, by formula and by trace simulation; one model per file."""
