"""What documents hold: blocks of code, what they print, commands and links."""

import dataclasses
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What the project's own commands leave in a checkout; other tools' folders begin with a dot.
_MADE = {"build", "runs", "site"}
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: What stands behind the fence.
        file: What the reader is to save it as: the title behind the language.
        text: The lines between the fences.
        line: The number of the first of them, from 1.
    """

    language: str
    file: str | None
    text: str
    line: int


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part in _MADE or part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order.

    Args:
        text: Markdown.
    """
    found = []
    fence = r"^( *)```(\w*)(?: title=\"(.*?)\")?\n(.*?)^\1```$"
    for match in re.finditer(fence, text, re.MULTILINE | re.DOTALL):
        indent, language, file, inside = match.groups()
        inside = "".join(line.removeprefix(indent) for line in inside.splitlines(keepends=True))
        found.append(Block(language, file, inside, text.count("\n", 0, match.start()) + 2))
    return found


def steps(text: str) -> list[tuple[Block, str | None]]:
    """What a reader does: Python to run or to save, commands that run what was saved; each with what it prints.

    What it prints is the block of text that follows it, if there is one.

    Args:
        text: Markdown.
    """
    all_blocks = blocks(text)
    saved = {block.file for block in all_blocks} - {None}
    return [
        (block, after.text if after is not None and after.language == "text" else None)
        for block, after in itertools.zip_longest(all_blocks, all_blocks[1:])
        if block.language == "python"
        or (re.fullmatch(r"python .*\n", block.text) and saved.intersection(block.text.split()))
    ]


def difference(expected: str, received: str) -> str | None:
    """What is printed otherwise than a document says; None where nothing is.

    Words and whole numbers must be equal, numbers with a decimal point within a fifth, for training on another
    processor rounds otherwise; and those before a % within five points, too. A line `...` stands for any lines.

    Args:
        expected: What the document says.
        received: What was printed.
    """
    rest = [" ".join(line.split()) for line in received.splitlines() if line.strip()]
    anywhere = False
    for line in expected.splitlines():
        wanted = " ".join(line.split())
        if not wanted:
            continue
        if wanted == "...":
            anywhere = True
            continue
        places = range(len(rest)) if anywhere else range(min(1, len(rest)))
        at = next((place for place in places if _is_alike(wanted, rest[place])), None)
        if at is None:
            return f"Expected: {wanted}\nReceived: {rest[0] if rest else 'nothing more'}\nAll: {received}"
        rest, anywhere = rest[at + 1 :], False
    return None if anywhere or not rest else f"Expected: nothing more\nReceived: {rest[0]}"


def _is_alike(expected: str, received: str) -> bool:
    if _NUMBER.sub("#", expected) != _NUMBER.sub("#", received):
        return False
    pairs = list(zip(_NUMBER.finditer(expected), _NUMBER.finditer(received), strict=True))
    are_shares = [expected[a.end() :].lstrip().startswith("%") for a, _ in pairs]
    return all(
        a[0] == b[0] or ("." in a[0] and "." in b[0] and _is_near(a[0], b[0], is_share))
        for (a, b), is_share in zip(pairs, are_shares, strict=True)
    )


def _is_near(expected: str, received: str, is_share: bool) -> bool:
    a, b = (float(number.replace(",", "")) for number in (expected, received))
    allowed = 0.2 * max(abs(a), abs(b))
    return abs(a - b) <= (min(allowed, 5) if is_share else allowed) + 0.5 * 10 ** -len(expected.partition(".")[2])


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The modules that `python -m` is told to run, with their arguments.

    Args:
        text: Markdown; commands stand in blocks, in tables and between words.
    """
    found = []
    for line in re.findall(r"python3? (-m [^`|#\n]+|[\w/]+\.py [^`|#\n]+)", text):
        words = re.split(r"\s(?:&&|\|\||;)", line)[0].split()
        # The launcher's own arguments end where the program begins, which is a command again.
        while "-m" in words:
            module, words = words[1], words[2:]
            is_launcher = module == "kerasdl.training.launch"
            ends = [at for at, word in enumerate(words) if is_launcher and (word == "-m" or word.endswith(".py"))]
            end = ends[0] if ends else len(words)
            found.append((module, words[:end]))
            words = words[end:] if words[end : end + 1] == ["-m"] else []
    return found


def links(text: str) -> list[tuple[bool, str, str]]:
    """Whether it is a picture, its words, and where it leads, of each link outside of blocks.

    Args:
        text: Markdown, with pictures of HTML in it.
    """
    text = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    found = [
        (mark == "!", words, target)
        # The words of a link may be a picture.
        for mark, words, target in re.findall(r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\]])*)\]\(([^)\s]+)[^)]*\)", text)
    ]
    for picture in re.findall(r"<img [^>]*>", text):
        words = re.search(r'alt="([^"]*)"', picture)
        found.append((True, words[1] if words else "", re.search(r'src="([^"]*)"', picture)[1]))
    return found + [(False, "", target) for target in re.findall(r'<(?:a|source) [^>]*(?:href|srcset)="([^"]*)"', text)]


def anchors(text: str) -> set[str]:
    """What a link may say behind #: the headings, as GitHub names them.

    Args:
        text: Markdown.
    """
    text = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
