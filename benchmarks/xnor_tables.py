"""What `benchmarks.xnor` prints: tables of what its measuring programs told, and which goals were reached."""

from typing import Any

from rich.table import Table

Row = dict[str, Any]
Told = dict[str, Any]

# (height and width, channels): milliseconds of a layer in larq-compute-engine 0.16 and in its own float kernels, one
# image, on one core of an AMD EPYC (Zen 4); one run of `python -m benchmarks.larq_layers --threads 1`.
LARQ = {
    (14, 256): (6.9, 2.5),
    (28, 256): (27.4, 10.1),
    (28, 128): (10.6, 2.6),
    (56, 64): (7.8, 3.0),
    (7, 512): (6.8, 3.6),
}


def headed(title: str, *heads: str, caption: str = "") -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left", no_wrap=not index)
    return table


def threads_of(told: Told) -> str:
    return "1 thread" if told["threads"] == 1 else f"{told['threads']} threads"


def ratio(row: Row, peer: str, ours: str) -> float | None:
    """How many times as fast as a peer ours is; a peer's best way counts."""
    found = [seconds for name, seconds in row["seconds"].items() if name == peer or name.startswith(f"{peer}, ")]
    return min(found) / row["seconds"][ours] if found else None


def times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}x"


def share(row: Row, told: Told, ceiling: str) -> float:
    """The product's part of a ceiling."""
    return row["products"] / row["seconds"]["product"] / told["ceiling"][ceiling]


def ceilings(settings: dict[str, Told]) -> Table:
    """What loops in registers reach, and the most that bits can gain over floats."""
    table = headed(
        "What the processor can do at best, billions in a second",
        *("", "bits: xor, popcount, add", "bits: popcount alone", "float32 multiply-adds", "bits to floats"),
        caption="Loops in registers, no memory. Bits to floats is the most that a binary convolution can gain over a "
        "float one\nthat uses the processor well.",
    )
    for name, told in settings.items():
        product, counted, floats = (
            told["ceiling"][part] / 1e9 for part in ("product_bits", "counted_bits", "multiply_adds")
        )
        table.add_row(name, f"{product:,.0f}", f"{counted:,.0f}", f"{floats:,.0f}", f"{product / floats:.1f}x")
    return table


def layers(name: str, told: Told) -> Table:
    """A layer in a line."""
    call = {who: 1e6 * seconds for who, seconds in told["call"].items()}
    table = headed(
        f"A 3x3 convolution, {name}: how many times as fast as floats",
        *("H = W, channels", "batch", "ours, ms", "TF f32, ms", "to TF f32", "to bf16", "to PyTorch"),
        *("with floats", "product", "share"),
        caption="Ours: bits in, product, thresholds, bits out. With floats: signs, packing, product, scale, floats "
        "out; to TF f32.\nProduct: integer sums alone, to TF f32; share: of what xor, popcount and add allow. Every "
        f"time includes the call,\n{call['tensorflow']:.0f} us of TensorFlow for four layers, {call['ours']:.0f} us of "
        "ours for each kernel.",
    )
    for row in told["rows"]:
        seconds = row["seconds"]
        table.add_row(
            f"{row['size']}, {row['channels']}",
            str(row["batch"]),
            f"{1e3 * seconds['chain']:.3f}",
            f"{1e3 * seconds['tensorflow']:.2f}",
            *(times(ratio(row, peer, "chain")) for peer in ("tensorflow", "tensorflow bfloat16", "torch")),
            times(ratio(row, "tensorflow", "from floats")),
            times(ratio(row, "tensorflow", "product")),
            f"{share(row, told, 'product_bits'):.0%}",
        )
    return table


def larq(told: Told, measured: Told | None) -> Table:
    """The only other engine for such networks, measured in this run, or once on another day."""
    where = "in this run" if measured else "on one core of an AMD EPYC (Zen 4), not in this run"
    table = headed(
        f"larq-compute-engine 0.16, a 3x3 convolution, one image, 1 thread: measured {where}",
        *(
            "H = W, channels",
            "its binary, ms",
            "its float, ms",
            "ours, ms",
            "its binary to its float",
            "ours to its binary",
        ),
    )
    found = dict(LARQ)
    if measured:
        for row in measured["rows"]:
            found[row["size"], row["channels"]] = tuple(1e3 * row["seconds"][kind] for kind in ("binary", "float"))
    for row in told["rows"]:
        if row["batch"] == 1:
            (binary, floats), ours = found[row["size"], row["channels"]], 1e3 * row["seconds"]["chain"]
            shape, ratios = f"{row['size']}, {row['channels']}", (f"{floats / binary:.2f}x", f"{binary / ours:.0f}x")
            table.add_row(shape, f"{binary:.1f}", f"{floats:.1f}", f"{ours:.3f}", *ratios)
    return table


def paper(scalar: dict[str, float], told: Told) -> Table:
    """The same convolution by loops without vectors, by TensorFlow and by us."""
    row = next(row for row in told["rows"] if (row["size"], row["channels"], row["batch"]) == (14, 256, 1))
    peers = (scalar["floats"], scalar["four_floats"], row["seconds"]["tensorflow"])
    ceiling = told["ceiling"]["product_bits"] / told["ceiling"]["multiply_adds"]
    table = headed(
        "Where 58 times come from: 14x14, 256 channels, 256 filters, 3x3, one image, 1 thread",
        *("", "ms", "to one float at a time", "to four filters together", "to TensorFlow"),
        caption="The paper's 58 are one convolution by words of 64 bits, without access to memory, against floats "
        "one by one,\nwithout vectors; were each a clock, 64 * 9 * 256 / (9 * 256 + 64) = 62. Against floats that use "
        f"the same\nprocessor well, {ceiling:.0f} are the ceiling.",
    )
    for name, seconds in {
        "floats, a loop without vectors": scalar["floats"],
        "floats, four filters together": scalar["four_floats"],
        "words of 64 bits, a loop without vectors": scalar["words"],
        "words of 64 bits, four filters together": scalar["four_words"],
        "TensorFlow float32": row["seconds"]["tensorflow"],
        "ours, product alone": row["seconds"]["product"],
        "ours, whole layer": row["seconds"]["chain"],
    }.items():
        table.add_row(name, f"{1e3 * seconds:.3f}", *(f"{peer / seconds:.2f}x" for peer in peers))
    return table


def networks(told: Told) -> Table:
    """A network in a line."""
    table = headed(
        f"Whole networks, images in and logits out, {threads_of(told)}",
        *("network", "batch", "ours, ms", "TF f32, ms", "to TF f32", "to predict", "to PyTorch"),
        *("file, MB", "float file", "smaller by"),
        caption="TF f32: the architecture in float layers, called as one compiled graph; to predict: called by "
        "model.predict.\nOurs: pack(model).predict(images). Files: ours by save, the float one as .keras.",
    )
    for row in told["rows"]:
        seconds, sizes = row["seconds"], row["bytes"]
        table.add_row(
            row["network"],
            str(row["batch"]),
            f"{1e3 * seconds['ours']:.1f}",
            f"{1e3 * seconds['tensorflow']:.1f}",
            *(times(ratio(row, peer, "ours")) for peer in ("tensorflow", "model.predict", "torch")),
            f"{sizes['ours'] / 1e6:.2f}",
            f"{sizes['tensorflow'] / 1e6:.2f}",
            times(sizes["tensorflow"] / sizes["ours"]),
        )
    return table


def goals(native: list[Told], avx2: list[Told], nets: list[Told]) -> Table:
    """Every goal, the range of what was measured over shapes and batches, and whether the least reaches it."""
    table = headed("Goals", "", "goal", "measured", "", caption="The least of the range must reach the goal.")

    def line(what: str, goal: float, found: list[float], form: str = "{:.1f}x") -> None:
        if found:
            least, most = form.format(min(found)), form.format(max(found))
            measured = least if least == most else f"{least} to {most}"
            table.add_row(what, form.format(goal), measured, "reached" if min(found) >= goal else "missed")

    def gains(told: Told, channels: int) -> list[float]:
        return [ratio(row, "tensorflow", "chain") or 0 for row in told["rows"] if row["channels"] == channels]

    for told in native:
        for name, ceiling in (("xor, popcount and add", "product_bits"), ("popcount alone", "counted_bits")):
            shares = [share(row, told, ceiling) for row in told["rows"]]
            line(f"product, share of the ceiling of {name}, {threads_of(told)}", 0.6, shares, "{:.0%}")
    for told, goal in zip(native, (12, 20), strict=False):
        line(f"layer of 256 channels to TensorFlow float32, {threads_of(told)}", goal, gains(told, 256))
    for told in native:
        line(f"layer of 64 channels to TensorFlow float32, {threads_of(told)}", 5, gains(told, 64))
    for told in nets:
        found = [
            ratio(row, "tensorflow", "ours") or 0
            for row in told["rows"]
            if (row["network"], row["batch"]) == ("xnor_resnet18", 1)
        ]
        line(f"xnor_resnet18, one image, to float resnet18, {threads_of(told)}", 5, found)
    for told in avx2:
        line(f"layer of 256 channels, everybody without AVX-512, {threads_of(told)}", 5, gains(told, 256))
    return table
