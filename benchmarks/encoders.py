"""What one network of each architecture family of timm gives: the table of docs/encoders.md.

    PYTHONPATH=src python benchmarks/encoders.py [--write] [NAME...]

Random weights: shapes are asked for, not what the features are worth. A name's row is written anew or added; the slow
test `tests/models/test_timm_families.py` takes the names from the table, compares, and trains a decoder on each.
"""

import argparse
from pathlib import Path

from showtell.config import ConfigError
from showtell.models.encoders.base import Encoder, find_backbone
from showtell.models.settings import TimmConfig

PAGE = Path(__file__).resolve().parents[1] / "docs" / "encoders.md"
BEGIN, END = "<!-- begin: written by benchmarks/encoders.py --write -->", "<!-- end -->"
HEAD = "| `encoder.name` | pixels | `grid` | `multi` | `average` | at 96 x 96 |\n|---|---|---|---|---|---|"
SMALL = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default, those of the table")
    parser.add_argument("--write", action="store_true", help="write the rows into docs/encoders.md")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split("`")[1]: line for line in table.strip().splitlines()[2:]}
    for name in args.names or list(rows):
        rows[name] = row(name)
        print(rows[name], flush=True)
    if args.write:
        made = "\n".join([HEAD, *(rows[name] for name in sorted(rows))])
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


def row(name: str) -> str:
    """A line of the table: at the network's own size, and whether it takes another."""
    cells = given(name, 0)
    try:
        small = given(name, SMALL)[1]
    except ConfigError:
        small = "refused"
    return f"| `{name}` | " + " | ".join([*cells, small]) + " |"


def given(name: str, size: int) -> list[str]:
    """Side of the pictures, the grid, the features of `multi`, those of the vector.

    Raises:
        ConfigError: the network takes no pictures of that size.
    """
    backbone = find_backbone(TimmConfig(name=f"timm/{name}", weights="none", image_size=size))
    network, transform = backbone.build_seeded(), backbone.default_transform()
    encoders = {kind: Encoder(network.trunk, kind, transform, network) for kind in ("grid", "multi", "average")}
    for encoder in encoders.values():
        backbone.try_out(encoder)
    places, features = encoders["grid"].feature_shape()
    side = int(places**0.5)
    multi, vector = encoders["multi"].feature_shape()[-1], encoders["average"].feature_shape()[-1]
    return [str(transform.size), f"{side} x {places // side} x {features}", str(multi), str(vector)]


if __name__ == "__main__":
    main()
