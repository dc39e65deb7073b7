"""The figures that live experiments find: their units and what they mean."""

from collections.abc import Mapping

# Name -> (unit, meaning); `headroom.claims.experiments` says which experiment finds which.
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "live.offset_over_cursor": ("×", "time of offset page 1,000 over a cursor page as deep"),
    "live.offset_depth_cost": ("×", "time of offset page 1,000 over the first page"),
    "live.text_over_elasticsearch": ("×", "time of a $text search over one by Elasticsearch"),
    "live.text_typo_recall": ("fraction", "mistyped searches that $text answers with the product"),
    "live.elasticsearch_typo_recall": ("fraction", "the same by Elasticsearch"),
    "live.cached_speedup": ("×", "time of a list page from the database over one from the cache"),
    "live.hit_ratio": ("fraction", "hit ratio over all look-ups, time compressed, warm cache"),
    "live.database_relief": ("×", "look-ups over those that reached the database"),
    "live.failover_s": ("s", "time without an acknowledged write after the primary was killed"),
    "live.lost_writes": ("writes", "acknowledged writes that were gone after the failover"),
    "live.access_token_s": ("s", "lifetime of an access token"),
    "live.refresh_token_s": ("s", "lifetime of a refresh token"),
    "live.ended_tokens_accepted": ("tokens", "used, logged-out and logged-out-everywhere, taken"),
    "live.listing_ttl_s": ("s", "longest life of a cached list page"),
    "live.favourites_ttl_s": ("s", "longest life of a user's cached favourites"),
    "live.search_ttl_s": ("s", "longest life of a cached search"),
    "live.index_lag_s": ("s", "from a product's update until a search shows it"),
    "live.stale_reads": ("reads", "old values read right after an acknowledged update"),
    "live.auth_budget": ("requests", "log-ins of one address admitted in a minute"),
    "live.search_budget": ("requests", "searches of one user admitted in a minute"),
    "live.listing_budget": ("requests", "lists of one user admitted in a minute"),
    "live.favourites_budget": ("requests", "requests for favourites admitted in a minute"),
    "live.limit_layers": ("layers", "places that refuse a request with 429"),
    "live.image_files": ("files", "kept of one uploaded picture: sizes × formats"),
    "live.webp_over_jpeg": ("fraction", "bytes of a WebP over those of a JPEG of its size"),
    "live.thumbnail_over_original": ("fraction", "bytes of a thumbnail over those uploaded"),
    "live.edge_speedup": ("×", "time of a picture past the edge cache over one from it"),
    "live.edge_hit_ratio": ("fraction", "pictures that the edge answers without the origin"),
}
