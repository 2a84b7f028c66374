"""Specs as text: lines, words and characters of valid ones changed at random."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.fuzz.specs import BASES, NAMES
from tests.fuzz.target import Outcome, Target

PIECES = (
    *(
        "- ",
        "  ",
        "\t",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "!!python/x ",
    ),
    *(
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "? ",
        "<<: ",
        "\r",
        "\x00",
        "\x85",
        "\ufeff",
    ),
    *(
        "\u2028",
        "\u202e",
        "\x1b[31m",
        "é",
        "🦊",
        "0x1F",
        "1e999",
        ".inf",
        ".nan",
        "~",
        "yes",
    ),
    *(
        "extends: spec.yaml\n",
        "extends: /etc/shadow\n",
        "extends: [\n",
        "extends: [spec.yaml, ./spec.yaml, 1]\n",
        "-",
        ",",
        "(",
        ")",
    ),
)


class Text(Target):
    """Changes a text at one to eight places."""

    def __enter__(self) -> Text:
        from tests.fuzz import judge

        self.judge = judge
        self.texts = [path.read_text(encoding="utf-8") for path in BASES]
        return self

    def attack(self, random: Random, folder: Path) -> Outcome:
        """One text, changed; its bytes need not be UTF-8."""
        text = random.choice(self.texts)
        changes = [
            random.choice(CHANGES) for _ in range(random.choice([1, 1, 2, 4, 8]))
        ]
        for change in changes:
            text = change(random, text)
        data = text.encode("utf-8", "surrogatepass")
        if random.random() < 0.1:
            data = damaged(random, data)
        path = folder / "spec.yaml"
        path.write_bytes(data)
        return self.judge.judged(changes[-1].__name__, path, random)


def target() -> Text:
    """The target `text`."""
    return Text()


def damaged(random: Random, data: bytes) -> bytes:
    """Bytes flipped, or the end cut off."""
    if random.random() < 0.5:
        return data[: random.randrange(len(data) + 1)]
    made = bytearray(data)
    for _ in range(random.randint(1, 9)):
        made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made)


def inserted(random: Random, text: str) -> str:
    i = random.randint(0, len(text))
    return text[:i] + random.choice(PIECES) + text[i:]


def removed(random: Random, text: str) -> str:
    i = random.randint(0, len(text))
    return text[:i] + text[i + random.choice([1, 1, 2, 10, 100]) :]


def line_gone(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    del lines[random.randrange(len(lines))]
    return "".join(lines)


def line_twice(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(random.randint(0, len(lines)), random.choice(lines))
    return "".join(lines)


def indented(random: Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    i = random.randrange(len(lines))
    lines[i] = random.choice([" ", "  ", "\t"]) + lines[i]
    return "".join(lines)


def word_for_word(random: Random, text: str) -> str:
    words = text.split(" ")
    a, b = random.randrange(len(words)), random.randrange(len(words))
    words[a] = random.choice([words[b], words[b], *NAMES])
    return " ".join(words)


def many(random: Random, text: str) -> str:
    piece = random.choice(["[", "{a: ", "- ", "(", "x", " ", "#\n", "é", "&a [*a, "])
    i = random.randint(0, len(text))
    return text[:i] + piece * random.choice([30, 1000, 100_000]) + text[i:]


CHANGES = (
    *(inserted, inserted, removed, line_gone, line_twice, indented, indented),
    *(word_for_word, word_for_word, many),
)
