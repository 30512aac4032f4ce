"""`python -m showtell.data shards`: writes any data set that Showtell reads as shards.

Which sample goes into which shard follows from the data set, the seed and the limits alone, and each shard is written
whole or not at all; so a command that was cut goes on when it is given again. A folder with other shards is refused.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.config import DataConfig, ImageTransform
from showtell.config.arguments import Parser
from showtell.config.presets import data_config
from showtell.data.annotations import SplitName
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.features.request import StoreRequest, store_label
from showtell.data.features.store import FeatureStore, is_complete
from showtell.data.features.stores import list_stores
from showtell.data.images import MAX_BYTES
from showtell.data.paths import shown, stamp, why_unreadable
from showtell.data.settings import ShapesDataConfig
from showtell.data.shapes import ensure_shapes
from showtell.data.shards.members import ShardError
from showtell.data.shards.writing import EncodingRequest, ShardWriter, about_features, shard_writer
from showtell.files import short_hash, write_text_atomically
from showtell.run.status import read_object
from showtell.temporaries import remove_stale_temporaries
from showtell.terminal import Progress

SPLITS: tuple[SplitName, ...] = ("train", "val")
MANIFEST = "shards.json"


@dataclass(frozen=True)
class Limits:
    """How large a shard may become; one sample is always allowed."""

    samples: int
    megabytes: float
    seed: int


@dataclass(frozen=True)
class Source:
    """A split that is to be written: its usable pictures in order, and their features if these are asked for."""

    name: SplitName
    captions: CaptionSet
    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    notes: list[str]
    store: FeatureStore | None
    about: dict[str, Any]

    def shards(self, limits: Limits) -> list[NDArray[np.int64]]:
        """The rows of each shard, in a random order: neighbours in a file are alike, and a stream mixes little."""
        random = np.random.Generator(np.random.Philox(key=[limits.seed, SPLITS.index(self.name)]))
        order = random.permutation(len(self.rows))
        cuts, count, size = [], 0, 0
        for place, number in enumerate(order):
            if count and (count >= limits.samples or size + self.sizes[number] > limits.megabytes * 1e6):
                cuts.append(place)
                count = size = 0
            count, size = count + 1, size + int(self.sizes[number])
        return [self.rows[part] for part in np.split(order, cuts)]


def main(arguments: list[str]) -> int:
    """Writes the shards; errors as `write_shards`."""
    parser = Parser(
        prog="python -m showtell.data shards",
        description="Write a data set as tar shards in WebDataset's format: train-*.tar and val-*.tar.",
        needs="--output DIR is missing: python -m showtell.data shards data=shapes --output data/shards",
        epilog="example: python -m showtell.data shards data=shapes --output data/shards; python train.py data=shards",
    )
    parser.add_argument("settings", nargs="*", help="data=NAME and data.key=value, as for train.py")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the shards go")
    parser.add_argument("--samples", type=int, default=1000, help="at most so many pictures per shard (1000)")
    parser.add_argument("--megabytes", type=float, default=1000.0, help="at most so many MB per shard (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the order (0)")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="the `cache` of the configuration")
    parser.add_argument("--features", metavar="ENCODER", help="write this encoder's stored features, not the pictures")
    options = parser.parse_intermixed_args(arguments)
    if options.samples < 1 or options.megabytes <= 0 or not 0 <= options.seed < 2**31:
        raise ShardError("--samples and --megabytes must be positive, --seed at least 0")
    limits = Limits(options.samples, options.megabytes, options.seed)
    write_shards(data_config(options.settings), options.output, limits, options.cache, options.features)
    return 0


def write_shards(config: DataConfig, output: Path, limits: Limits, cache: Path, encoder: str | None = None) -> None:
    """Writes both splits into the folder `output`: the stored features of an encoder, or pictures.

    Raises:
        ShardError: the folder holds other shards, or the features are not stored.
        AnnotationError: the data set cannot be read.
        WriteError: the disk is full, or a permission is missing.
    """
    if config.format == "shards":
        raise ShardError("data=shards is written already; give the data set that the shards are to be made of")
    if config.extra_captions:
        raise ShardError("data.extra_captions: shards hold what people wrote; leave it out")
    if isinstance(config, ShapesDataConfig):
        ensure_shapes(Path(config.root), config.shapes)
    sources = [_source(config, name, cache, encoder) for name in SPLITS]
    plans = [source.shards(limits) for source in sources]
    _claim(output, _content_key(sources, limits, encoder), sources, plans)
    for source, plan in zip(sources, plans, strict=True):
        for note in source.notes[:10]:
            print(f"{config.name} {source.name}: {note}")
        _write_split(source, plan, output)


def _source(config: DataConfig, name: SplitName, cache: Path, encoder: str | None) -> Source:
    captions = load_captions(config, name, cache)
    store, about = _stored(config, name, captions, cache, encoder) if encoder else (None, {})
    told = np.bincount(captions.picture_of[captions.lengths > 0], minlength=len(captions.picture_ids))
    rows, sizes, notes = [], [], list(captions.skipped)
    for row, path in enumerate(captions.path_names):
        if store is not None and store.unreadable[row]:
            reason: str | None = "could not be read by the encoder"
        else:
            reason = why_unreadable(path)
            if not reason and not 0 < (size := os.path.getsize(path)) <= MAX_BYTES:
                reason = f"has {size:,} bytes and is no picture"
        if reason or not told[row]:
            notes.append(f"{shown(path)} {reason or 'has no caption'}; left out")
            continue
        rows.append(row)
        sizes.append(os.path.getsize(path) if store is None else int(store.features[row].nbytes))
    if not rows:
        raise ShardError(f"data={config.name}: no usable picture in the {name} split; {notes[0] if notes else ''}")
    return Source(name, captions, np.array(rows), np.array(sizes), notes, store, about)


def _stored(
    config: DataConfig, name: str, captions: CaptionSet, cache: Path, encoder: str
) -> tuple[FeatureStore, dict[str, Any]]:
    """The one complete store of an encoder over exactly these pictures."""
    label, found = store_label(config.name, name, encoder), []
    for facts in list_stores(cache):
        about = facts.about
        if facts.complete and about["name"] == label:
            transform = ImageTransform.of(about["transform"])
            request = StoreRequest(
                label,
                captions.path_names,
                about["encoder"],
                transform,
                about["dtype"],
                stamps=captions.stamps,
                contents=captions.contents,
            )
            if request.key() == facts.key and is_complete(facts.directory, request):
                found.append((facts.directory, EncodingRequest(about["encoder"], transform, about["dtype"])))
    if len(found) != 1:
        what = "no complete feature store" if not found else f"{len(found)} feature stores"
        raise ShardError(
            f"--features {encoder}: {cache}/features holds {what} named {label} of these pictures; train once with "
            f"encoder={encoder} (training.max_steps=1 is enough), or delete the others: python -m showtell.data stores"
        )
    directory, encoding = found[0]
    return FeatureStore(directory), about_features(encoding, [])


def _content_key(sources: Sequence[Source], limits: Limits, encoder: str | None) -> str:
    """A hash of everything that the shards follow from."""
    facts: list[str | bytes] = [json.dumps([1, asdict(limits), encoder])]
    for source in sources:
        names = source.captions.path_names
        facts += [json.dumps(source.about), source.captions.texts_file.read_bytes()]
        facts += [f"{row} {stamp(names[row])}\n" for row in source.rows.tolist()]
    return short_hash(facts)


def _claim(output: Path, key: str, sources: Sequence[Source], plans: Sequence[Sequence[Any]]) -> None:
    """Notes in the folder what is being written there, or refuses it."""
    manifest = output / MANIFEST
    if manifest.is_file():
        if read_object(manifest).get("key") != key:
            raise ShardError(f"{output} holds shards of other data or limits; choose another --output, or empty it")
    elif any(output.glob("*.tar")):
        raise ShardError(f"{output} holds tar files already; choose another --output")
    splits = {
        source.name: {"shards": len(plan), "samples": len(source.rows), "left_out": len(source.notes)}
        for source, plan in zip(sources, plans, strict=True)
    }
    write_text_atomically(manifest, json.dumps({"key": key, **splits}, indent=1) + "\n")
    remove_stale_temporaries(output)


def _write_split(source: Source, plan: Sequence[NDArray[np.int64]], output: Path) -> None:
    names, ids = source.captions.path_names, source.captions.picture_ids
    digits = max(6, len(str(len(names))))
    with Progress(f"writing {source.name}", len(source.rows), "samples") as progress:
        for number, rows in enumerate(plan):
            path = output / f"{source.name}-{number:06d}.tar"
            if not path.is_file():
                with shard_writer(path) as writer:
                    for row in rows.tolist():
                        captions = source.captions.references[int(ids[row])]
                        _add(writer, source, f"{row:0{digits}d}", row, names[row], captions)
                    if source.about:
                        writer.about(source.about)
            progress.count(len(rows))


def _add(writer: ShardWriter, source: Source, key: str, row: int, path: str, captions: Sequence[str]) -> None:
    if source.store is None:
        writer.add(key, captions, picture=Path(path).read_bytes())
        return
    # validation shows pictures, so they come along there
    picture = Path(path).read_bytes() if source.name == "val" else None
    writer.add(key, captions, picture=picture, features=source.store.features[row])
