"""Time, memory, disk and cost of COCO-, CC3M- and LAION-sized training, from rates: the tables of `docs/scaling.md`.

    python -m benchmarks.scaling --measure                  # this machine's rates, then the tables from them
    python -m benchmarks.scaling --encoder-rate 2500 --decoder-rate 40000 --write docs/scaling.md

A rate that is not given is the default below: those of a GPU are assumptions, not measurements. The formulas stand in
`docs/scaling.md`; here they are `Plan`'s properties, under the same names.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

BEGIN, END = "<!-- begin: written by python -m benchmarks.scaling -->", "<!-- end -->"
DATA = Path(os.environ.get("SHOWTELL_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
TAR_BYTES = 2048  # two members' headers and their padding, on average
WORDS = 11  # per caption, with `<end>`


@dataclass(frozen=True)
class DataSet:
    """A size: pictures, captions, epochs, bytes of a picture file, words in the vocabulary."""

    name: str
    pictures: float
    captions: float
    epochs: int
    picture_bytes: float
    vocabulary: int


DATA_SETS = (
    DataSet("COCO", 118_287, 591_753, 30, 163e3, 10_000),
    DataSet("CC3M", 3.3e6, 3.3e6, 10, 60e3, 20_000),
    DataSet("LAION-400M", 400e6, 400e6, 1, 25e3, 50_000),
)


@dataclass(frozen=True)
class Rates:
    """What one device and its share of a machine do; the defaults of the first two are assumptions about a GPU.

    Attributes:
        encoder_rate: pictures per second and device, efficientnet_lite0 on 224 x 224.
        decoder_rate: captions per second and device, training the LSTM decoder from features.
        decode_rate: picture files decoded per second and core (`benchmarks shards` measures it).
        cores: per device.
        index_rate: samples indexed per second and core (`benchmarks shards`).
        batch_size: captions per step and device.
        bandwidth: bytes per second between devices, for the gradients.
        price: of an hour of one device with its cores.
        feature_size: numbers of two bytes per picture.
        hidden_size: of the decoder; its embedding is as large.
        buffer: `data.shuffle_buffer`.
    """

    encoder_rate: float = 2500
    decoder_rate: float = 40_000
    decode_rate: float = 900
    cores: int = 12
    index_rate: float = 6400
    batch_size: int = 256
    bandwidth: float = 10e9
    price: float = 2.0
    feature_size: int = 1280
    hidden_size: int = 512
    buffer: int = 10_000


@dataclass(frozen=True)
class Plan:
    """A data set on a number of devices."""

    data: DataSet
    devices: int
    rates: Rates

    @property
    def index_seconds(self) -> float:
        """Shards only: one pass over headers and captions."""
        return self.data.pictures / (self.rates.index_rate * self.rates.cores * self.devices)

    @property
    def encode_seconds(self) -> float:
        """Each picture once: as fast as the encoder or as its decoding, whichever is slower."""
        rates = self.rates
        return self.data.pictures / (self.devices * min(rates.encoder_rate, rates.decode_rate * rates.cores))

    @property
    def step_seconds(self) -> float:
        """A step's captions, and a ring all-reduce of its gradients."""
        share = 2 * (self.devices - 1) / self.devices
        return self.rates.batch_size / self.rates.decoder_rate + share * 4 * self.parameters / self.rates.bandwidth

    @property
    def train_seconds(self) -> float:
        """All epochs from stored features."""
        return self.data.epochs * self.data.captions / (self.rates.batch_size * self.devices) * self.step_seconds

    @property
    def pictures_seconds(self) -> float:
        """All epochs with `features=off`: the encoder sees every caption's picture again."""
        rates = self.rates
        slower = min(rates.encoder_rate, rates.decode_rate * rates.cores)
        return self.data.epochs * self.data.captions / (self.devices * slower) + self.train_seconds

    @property
    def cost(self) -> float:
        """Index, encoding and training from features."""
        return self.rates.price * self.devices * (self.index_seconds + self.encode_seconds + self.train_seconds) / 3600

    @property
    def parameters(self) -> float:
        """Embedding and output over the vocabulary, one LSTM layer, the embedding of the picture."""
        hidden, size = self.rates.hidden_size, self.data.vocabulary
        return 2 * size * hidden + 8 * hidden**2 + self.rates.feature_size * hidden

    @property
    def device_bytes(self) -> float:
        """Weights, gradients and Adam's two moments; logits, their softmax and gradient."""
        return 16 * self.parameters + 3 * 4 * self.rates.batch_size * WORDS * self.data.vocabulary

    @property
    def feature_bytes(self) -> float:
        """Feature shards."""
        return self.data.pictures * (2 * self.rates.feature_size + TAR_BYTES)

    @property
    def index_bytes(self) -> float:
        """Indexes of the shards: words, starts, places, keys; measured at 107 bytes (1 caption) and 71 (5 captions)."""
        return self.data.captions * (4 * (WORDS - 1) + 22) + self.data.pictures * 45

    @property
    def buffer_bytes(self) -> float:
        """A process that streams, beyond torch: row numbers, 64 open indexes of 10,000 captions, the word counts.

        Distinct words are taken for 20 times the vocabulary, at 200 bytes.
        """
        return 24 * self.rates.buffer + 64 * 10_000 * 110 + 200 * 20 * self.data.vocabulary


def tables(rates: Rates, devices: Sequence[int]) -> str:
    """Time and cost for each number of devices; disk and memory, which do not depend on it."""
    lines = [
        "| data | devices | index | encode once | train from features | sum | features=off instead | $ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data in DATA_SETS:
        for count in devices:
            plan = Plan(data, count, rates)
            parts = (plan.index_seconds, plan.encode_seconds, plan.train_seconds)
            cells = [*map(duration, parts), duration(sum(parts)), duration(plan.pictures_seconds)]
            lines.append(f"| {data.name}, {data.epochs} epochs | {count} | {' | '.join(cells)} | {plan.cost:,.2f} |")
    lines += [
        "",
        "| data | pictures | features | indexes | memory per device | memory per process |",
        "|---|---|---|---|---|---|",
    ]
    for data in DATA_SETS:
        plan = Plan(data, 1, rates)
        sizes = (data.pictures * data.picture_bytes, plan.feature_bytes, plan.index_bytes)
        cells = [*map(gigabytes, sizes), gigabytes(plan.device_bytes), gigabytes(plan.buffer_bytes)]
        lines.append(f"| {data.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """In the largest unit that leaves a readable number."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def gigabytes(number: float) -> str:
    """Bytes in GB or TB."""
    return f"{number / 1e12:.3g} TB" if number >= 1e12 else f"{number / 1e9:.3g} GB"


def measured(rates: Rates) -> Rates:
    """The rates of one core of this machine."""
    import torch

    torch.set_num_threads(1)
    found = {"encoder_rate": encoder_rate(), "decoder_rate": decoder_rate(rates), "cores": 1, "price": 0.0}
    if paths := sorted((DATA / "flickr800").rglob("*.jpg"))[:100]:
        found["decode_rate"] = decode_rate(paths)
    return replace(rates, **found)  # type: ignore[arg-type]


def encoder_rate(pictures: int = 48) -> float:
    import torch

    from showtell.config import EncoderConfig
    from showtell.models.encoders.base import build_encoder
    from showtell.models.encoders.encoding import FastEncoder
    from showtell.models.precision import encoding_precision

    device = torch.device("cpu")
    encoder = build_encoder(EncoderConfig(name="efficientnet_lite0", weights="none", pooling="average"))
    fast, batch = FastEncoder(encoder, device, encoding_precision("auto", device)), torch.randn(8, 3, 224, 224)
    fast(batch)
    began = time.process_time()
    for _ in range(0, pictures, 8):
        fast(batch)
    return pictures / (time.process_time() - began)


def decoder_rate(rates: Rates, steps: int = 6) -> float:
    import torch

    from showtell.models.decoders.base import build_decoder
    from showtell.models.settings import LSTMConfig

    config = LSTMConfig(embedding_size=rates.hidden_size, hidden_size=rates.hidden_size)
    decoder = build_decoder(config, (rates.feature_size,), DATA_SETS[0].vocabulary)
    adam = torch.optim.Adam(decoder.parameters(), fused=True)
    features = torch.randn(rates.batch_size, rates.feature_size)
    captions = torch.randint(3, DATA_SETS[0].vocabulary, (rates.batch_size, WORDS))
    began = 0.0
    for step in range(steps + 1):
        if step == 1:  # the first one allocates
            began = time.process_time()
        logits = decoder(features, captions)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), captions.flatten()).backward()
        adam.step()
        adam.zero_grad()
    return steps * rates.batch_size / (time.process_time() - began)


def decode_rate(paths: Sequence[Path]) -> float:
    from showtell.config import ImageTransform
    from showtell.data.images import load_picture

    began = time.process_time()
    for path in paths:
        load_picture(path, ImageTransform())
    return len(paths) / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Rates):
        kind = int if isinstance(field.default, int) else float
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--measure", action="store_true", help="take the rates of one core of this machine")
    parser.add_argument("--write", type=Path, help="replace the tables of this page")
    args = parser.parse_args()
    rates = measured(Rates()) if args.measure else Rates()
    rates = replace(rates, **{key: value for key in asdict(rates) if (value := getattr(args, key)) is not None})
    print("rates: " + ", ".join(f"{key} {value:,.6g}" for key, value in asdict(rates).items()) + "\n")
    made = tables(rates, args.devices)
    print(made)
    if args.write:
        page = args.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        args.write.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
