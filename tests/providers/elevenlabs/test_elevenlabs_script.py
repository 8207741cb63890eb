"""Texts are cut where it hurts least, the same way every time, and nothing of them is lost."""

from __future__ import annotations

import random

import pytest

from providers.elevenlabs.script import Line, Piece, Script, cut, head, packed, tail


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("Short.", None, ("Short.",)),
        ("  Kept as it is. ", 100, ("  Kept as it is. ",)),
        ("One is here. Two is here.", 14, ("One is here.", "Two is here.")),
        ("One is here. Two is here.", 12, ("One is here.", "Two is here.")),
        ('She said "Stop!" Then she went.', 20, ('She said "Stop!"', "Then she went.")),
        ("A first paragraph. Yes.\n\nAnd a second one.", 40, ("A first paragraph. Yes.", "And a second one.")),
        ("Version 1.5 is out, and version 2 is near", 22, ("Version 1.5 is out,", "and version 2 is near")),
        ("no end in sight here", 12, ("no end in", "sight here")),
        ("abcdefghij", 4, ("abcd", "efgh", "ij")),
        ("你好。今天天气很好。我们走吧。", 10, ("你好。今天天气很好。", "我们走吧。")),
        ("你好吗今天。今天天气很好。", 7, ("你好吗今天。", "今天天气很好。")),
        ("Hi. " + "x" * 30, 20, ("Hi. " + "x" * 16, "x" * 14)),
    ],
)
def test_where_a_text_is_cut(text: str, limit: int | None, pieces: tuple[str, ...]) -> None:
    assert cut(text, limit) == pieces


def test_nothing_is_lost_and_no_piece_is_too_long() -> None:
    letters = random.Random(7)
    for _ in range(300):
        text = "".join(letters.choice("abc .!?,;\n\n  é。'\"") for _ in range(letters.randrange(1, 400)))
        limit = letters.randrange(1, 60)
        pieces = cut(text, limit)
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert len(text) <= limit or all(0 < len(piece) <= limit for piece in pieces)
        assert pieces == cut(text, limit)


def test_lines_of_a_dialogue_share_requests_as_far_as_they_fit() -> None:
    lines = [Line("aaaa", "v1", 0), Line("bbbb", "v2", 1), Line("cc dd ee ff", "v1", 2), Line("g", "v3", 3)]
    assert packed(lines, 8, 2) == (
        Piece((Line("aaaa", "v1", 0), Line("bbbb", "v2", 1))),
        Piece((Line("cc dd ee", "v1", 2),)),
        Piece((Line("ff", "v1", 2), Line("g", "v3", 3))),
    )


def test_a_request_takes_only_so_many_voices() -> None:
    pieces = packed([Line("x", f"v{number}", number) for number in range(12)], 2_000, 10)
    assert [len(piece.lines) for piece in pieces] == [10, 2]


def test_a_pause_is_between_segments_and_not_within() -> None:
    pieces = tuple(Piece((Line("x", "v"),), part_of) for part_of in (0, 0, 1, 2))
    script = Script(pieces, "m", "mp3_44100_128", pause_ms=300)
    assert [script.pauses_after(number) for number in range(4)] == [False, True, True, False]


def test_context_is_whole_words() -> None:
    assert (tail("one two three", 9), head("one two three", 9)) == ("three", "one two")
    assert (tail("one", 9), head("abcdefghijklm", 4)) == ("one", "abcd")
