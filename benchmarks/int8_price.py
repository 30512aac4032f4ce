"""Figure: what `features.dtype=int8` costs in CIDEr, and what it saves on the disk.

    python -m benchmarks.int8_price --data FLICKR800 [--recipe small_photos_attention] [--seeds 5] [--dtype int8]

Trains a recipe twice for each seed, with float16 features and with those of the other type, as `benchmarks/recipes.py`
does, and pairs the last epochs' CIDEr by seed. Runs that are finished are not trained again.
"""

import argparse
import statistics
from pathlib import Path

from benchmarks.recipes import Row, mean_and_spread, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and captions_{train,val}.json")
    parser.add_argument("--recipe", default="small_photos_attention")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--runs", type=Path, default=Path("runs/dtypes"))
    parser.add_argument("--cache", type=Path, default=Path("cache/dtypes"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further words for train.py")
    options = parser.parse_args()
    words, cache = options.set, options.cache
    found: dict[str, list[Row]] = {"float16": [], options.dtype: []}
    for seed in range(1, options.seeds + 1):
        for dtype, rows in found.items():
            options.set, options.cache = [*words, f"features.dtype={dtype}"], cache / dtype
            rows.append(measure(options.recipe, seed, options.data, options.runs / dtype, options))
            print(f"seed {seed}, {dtype}: CIDEr {rows[-1]['cider']:.4f}, val/loss {rows[-1]['loss']:.4f}", flush=True)
    for key in ("cider", "loss"):
        before, after = ([row[key] for row in found[dtype]] for dtype in ("float16", options.dtype))
        off, spread = mean_and_spread([new - old for old, new in zip(before, after, strict=True)])
        share = 100 * off / statistics.mean(before)
        print(f"{key}: {options.dtype} minus float16, by seed: {off:+.4f} (sd {spread:.4f}), {share:+.2f}%")
    sizes = {dtype: size_of(cache / dtype) for dtype in found}
    share = sizes[options.dtype] / sizes["float16"]
    print(
        f"disk: {sizes['float16']:,} bytes in float16, {sizes[options.dtype]:,} in {options.dtype}: {share:.4f} of it"
    )


def size_of(cache: Path) -> int:
    """All features that a cache holds."""
    return sum(file.stat().st_size for file in cache.glob("features/*/features.bin"))


if __name__ == "__main__":
    main()
