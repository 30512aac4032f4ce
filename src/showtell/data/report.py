"""`python -m showtell.data check`: the report on a data set as text, and the command that prints it."""

import argparse
import sys
from collections import Counter
from math import ceil

from rich.console import Console

from showtell.config.presets import data_config
from showtell.data.check import Report, SplitReport, check
from showtell.data.files import shown
from showtell.errors import UserError

_LISTED = 10
_BAR = 40
_BINS = 15


def main(arguments: list[str]) -> int:
    """Checks the data set that the arguments name and prints the report.

    Returns:
        0: everything can be used; 1: something was left out (the report lists it); 2: nothing could be
            checked.
    """
    parser = argparse.ArgumentParser(
        prog="python -m showtell.data check",
        description="Report pictures, captions and vocabulary of a data set, and what of it cannot be used.",
        epilog="example: python -m showtell.data check data=coco2017 data.root=/data/coco",
    )
    parser.add_argument("settings", nargs="*", help="data=NAME and data.key=value, as for train.py")
    parser.add_argument("--fast", action="store_true", help="do not decode the pictures")
    options = parser.parse_args(arguments)
    try:
        report = check(data_config(options.settings), decode=not options.fast, console=Console(stderr=True))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(render(report))
    return 0 if report.is_clean else 1


def render(report: Report) -> str:
    """The whole report, a paragraph per topic."""
    config = report.config
    lines = [f"{config.name} ({config.format}) in {shown(config.root)}"]
    for split in (report.train, report.val):
        lines += ["", *_split_lines(split, config.max_caption_words)]
    if report.shared_pictures:
        lines += ["", f"warning: {report.shared_pictures:,} picture(s) are in both splits"]
    lines += [
        "",
        "vocabulary of the training captions (3 special tokens included)",
        "threshold     size   <unk> train   <unk> val",
    ]
    for row in report.vocabulary:
        lines.append(f"{row.threshold:9} {row.words:8,} {row.train_unknown:12.2%} {row.val_unknown:11.2%}")
    lines += ["", "Everything can be used." if report.is_clean else "Some of it cannot be used, see above."]
    return "\n".join(lines)


def _split_lines(split: SplitReport, max_words: int) -> list[str]:
    per_picture = split.captions / max(1, split.pictures)
    counts = f"{split.pictures:,} pictures, {split.captions:,} captions"
    lines = [f"{split.name}: {counts} ({per_picture:.2f} per picture)"]
    lines += _listed("left out or shortened", split.skipped)
    if split.decoded:
        found = split.decoded
        modes = ", ".join(f"{count:,} {mode}" for mode, count in found.modes.most_common())
        lines.append(f"  decoded: {modes or 'none'}; {found.gray:,} gray, {found.rotated:,} rotated by EXIF")
        if found.smallest and found.largest:
            low, high = (f"{width} x {height}" for width, height in (found.smallest, found.largest))
            lines.append(f"  sizes: {low} to {high} pixels")
        lines += _listed("unreadable", found.unreadable) + _listed("odd", found.odd)
    return lines + _histogram(split.lengths, max_words)


def _listed(title: str, entries: list[str]) -> list[str]:
    lines = [f"  {title}: {len(entries):,}", *(f"    {entry}" for entry in entries[:_LISTED])]
    return [*lines, f"    ... and {len(entries) - _LISTED:,} more"] if len(entries) > _LISTED else lines


def _histogram(lengths: Counter[int], max_words: int) -> list[str]:
    """Captions by number of words: at most `_BINS` bins up to the 99th percentile, one beyond it."""
    total = lengths.total()
    ordered = sorted(lengths.elements())
    high = ordered[int(0.99 * (total - 1))]
    width = max(1, ceil(high / _BINS))
    bins = Counter(min((length - 1) // width, (high - 1) // width + 1) for length in ordered)
    longer = sum(count for length, count in lengths.items() if length > max_words)
    median, most = ordered[total // 2], ordered[-1]
    lines = [f"  tokens per caption: median {median}, most {most}, {longer:,} above {max_words}"]
    for place in range(min(bins), max(bins) + 1):
        first, last = place * width + 1, (place + 1) * width
        label = f"{first}-{last}" if width > 1 else f"{first}"
        if place > (high - 1) // width:
            label = f"{first}+"
        bar = "#" * round(_BAR * bins[place] / max(bins.values()))
        lines.append(f"    {label:>7} {bins[place]:9,} {bar}".rstrip())
    return lines
