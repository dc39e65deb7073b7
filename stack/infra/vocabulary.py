"""Words that products, descriptions and searches are made of."""

from typing import NamedTuple


class Department(NamedTuple):
    """One category's words. `base_usd` is the median price; every noun is a single word."""

    slug: str
    base_usd: float
    nouns: tuple[str, ...]
    variants: tuple[str, ...]


def _department(slug: str, base_usd: float, nouns: str, variants: str) -> Department:
    return Department(slug, base_usd, tuple(nouns.split()), tuple(variants.split()))


DEPARTMENTS: tuple[Department, ...] = (
    _department(
        "headphones",
        89,
        "Headphones Earbuds Headset Earphones Soundbar Microphone",
        "Wireless Wired Bluetooth Noise-Cancelling Studio Gaming",
    ),
    _department(
        "laptops",
        899,
        "Laptop Ultrabook Notebook Chromebook Workstation Netbook",
        "13-Inch 14-Inch 15-Inch 16-Inch Convertible Touchscreen",
    ),
    _department(
        "cameras",
        449,
        "Camera Camcorder Lens Tripod Gimbal Webcam",
        "Mirrorless Digital Wide-Angle Telephoto Action Compact-System",
    ),
    _department(
        "kitchen",
        59,
        "Blender Toaster Kettle Saucepan Skillet Juicer",
        "Steel Ceramic Copper Nonstick Cast-Iron Glass",
    ),
    _department(
        "coffee",
        39,
        "Espresso Grinder Percolator Moka Carafe Tamper",
        "Burr Manual Electric Double-Wall Stovetop Pour-Over",
    ),
    _department(
        "furniture",
        219,
        "Desk Bookshelf Armchair Sofa Nightstand Wardrobe",
        "Oak Walnut Bamboo Upholstered Folding Modular",
    ),
    _department(
        "lighting",
        49,
        "Lamp Chandelier Lantern Spotlight Sconce Pendant",
        "Dimmable Solar Brass Smart Paper Industrial",
    ),
    _department(
        "bedding",
        69,
        "Pillow Duvet Mattress Blanket Quilt Bedspread",
        "Linen Cotton Down Wool Silk Memory-Foam",
    ),
    _department(
        "garden",
        45,
        "Shovel Rake Hose Planter Trellis Wheelbarrow",
        "Galvanised Cedar Terracotta Telescopic Expandable Raised",
    ),
    _department(
        "tools",
        79,
        "Drill Sander Wrench Screwdriver Jigsaw Hammer",
        "Cordless Brushless Ratcheting Impact Rotary Insulated",
    ),
    _department(
        "cycling",
        129,
        "Bicycle Helmet Pannier Saddle Derailleur Pedals",
        "Gravel Touring Commuter Mountain Carbon Reflective",
    ),
    _department(
        "running",
        95,
        "Sneakers Shorts Windbreaker Tights Visor Socks",
        "Trail Cushioned Breathable Compression Seamless Thermal",
    ),
    _department(
        "outdoor",
        149,
        "Tent Backpack Hammock Stove Cooler Compass",
        "Ultralight Waterproof Four-Season Insulated Inflatable Canvas",
    ),
    _department(
        "watches",
        179,
        "Watch Chronograph Smartwatch Stopwatch Bracelet Strap",
        "Automatic Quartz Sapphire Diver Skeleton Titanium",
    ),
    _department(
        "toys",
        29,
        "Puzzle Robot Dinosaur Dollhouse Kite Yoyo",
        "Wooden Magnetic Glow-In-The-Dark Remote-Control Plush Stackable",
    ),
    _department(
        "games",
        39,
        "Chessboard Dominoes Backgammon Dice Cards Marbles",
        "Travel Tournament Cooperative Family Strategy Party",
    ),
    _department(
        "stationery",
        15,
        "Journal Pencil Inkwell Stapler Sketchbook Highlighter",
        "Dotted Leather Recycled Refillable Pocket Hardcover",
    ),
    _department(
        "beauty",
        25,
        "Moisturiser Serum Shampoo Conditioner Lipstick Cleanser",
        "Organic Fragrance-Free Hydrating Vegan Mineral Overnight",
    ),
    _department(
        "music",
        259,
        "Guitar Ukulele Keyboard Violin Harmonica Drumkit",
        "Acoustic Electric Beginner Mahogany Concert Semi-Hollow",
    ),
    _department(
        "pets",
        35,
        "Leash Aquarium Birdcage Scratcher Kennel Feeder",
        "Washable Orthopaedic Chew-Proof Retractable Elevated Quiet",
    ),
)

ADJECTIVES: tuple[str, ...] = (
    "Classic", "Modern", "Premium", "Essential", "Portable", "Durable", "Elegant", "Slim",
    "Heavy-Duty", "Lightweight", "Vintage", "Everyday", "Professional", "Deluxe", "Minimal",
    "Rugged", "Ergonomic", "Adjustable", "Quick", "Silent", "Signature", "Eco", "Mini", "Grand",
)  # fmt: skip

BRANDS: tuple[str, ...] = (
    "Nordvik", "Halcyon", "Brightwater", "Kestrel", "Lumina", "Oakhurst", "Tansy", "Verano",
    "Pinnacle", "Solstice", "Marlowe", "Juniper", "Castellan", "Meridian", "Fenwick", "Arbour",
    "Quill", "Zephyr", "Harrow", "Isola",
)  # fmt: skip

PRAISE: tuple[str, ...] = (
    "Made to last a decade of daily use",
    "Designed with the people who use it every day",
    "Tested well beyond what a household asks of it",
    "Small enough to keep at hand, strong enough to rely on",
    "Assembled by hand and checked twice before it leaves the workshop",
    "A favourite of reviewers for three years running",
    "Quietly better than it needs to be",
    "Repairable, with spare parts on sale for ten years",
)

DETAILS: tuple[str, ...] = (
    "Comes with a two-year guarantee and free returns within thirty days.",
    "Ships in plastic-free packaging from a warehouse near you.",
    "Spare parts and a printed manual are in the box.",
    "Available in four colours; this one is the most popular.",
    "Cleans with a damp cloth and stores flat.",
    "Pairs well with the accessories of the same series.",
)
