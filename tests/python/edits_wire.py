"""Edits to signatures, as their bytes, and to the text of a passport."""

from __future__ import annotations

import json
from typing import Any

from case import Inapplicable, Rng, signature_bytes, text_bytes
from keys import NOT_CANONICAL, SMALL_ORDER, encode, loose, trailing_bits_set

ORDER = 2**252 + 27742317777372353535851937790883648493


@signature_bytes
def bit(signature: bytes, rng: Rng) -> str:
    return encode(
        (int.from_bytes(signature, "big") ^ 1 << rng.randrange(len(signature) * 8)).to_bytes(64, "big")
    )


@signature_bytes
def scalar_plus_order(signature: bytes, rng: Rng) -> str:
    scalar = int.from_bytes(signature[32:], "little") + ORDER * rng.choice([1, 1, 2, 7])
    return encode(signature[:32] + (scalar % 2**256).to_bytes(32, "little"))


@signature_bytes
def point(signature: bytes, rng: Rng) -> str:
    return encode(bytes.fromhex(rng.choice(SMALL_ORDER + NOT_CANONICAL)) + signature[32:])


@signature_bytes
def zeros(signature: bytes, rng: Rng) -> str:
    return encode(rng.choice([bytes(64), signature[:32] + bytes(32), bytes(32) + signature[32:]]))


@signature_bytes
def length(signature: bytes, rng: Rng) -> str:
    return encode(rng.choice([signature[:-1], signature + b"\0", signature[:32], b"", signature * 2]))


@signature_bytes
def encoding(signature: bytes, rng: Rng) -> str:
    return loose(signature, rng)


@signature_bytes
def trailing_bits(signature: bytes, rng: Rng) -> str:
    return trailing_bits_set(encode(signature))


# --- the text ---


@text_bytes
def trailing(text: bytes, rng: Rng) -> bytes:
    return text + rng.choice(
        [b" ", b"\n\t\r ", b"{}", b"x", b"\0", b",", b"}", b"\xc2\xa0", b"\xef\xbb\xbf", text]
    )


@text_bytes
def leading(text: bytes, rng: Rng) -> bytes:
    return (
        rng.choice([b" ", b"\n", b"\xef\xbb\xbf", b"\0", b"x", b"\x0b", b"\xc2\xa0", b"//\n", b")]}'\n"])
        + text
    )


@text_bytes
def indented(text: bytes, rng: Rng) -> bytes:
    return json.dumps(
        _read(text), indent=rng.choice([0, 1, 4, "\t"]), ensure_ascii=rng.random() < 0.5
    ).encode("utf-8", "surrogatepass")


@text_bytes
def sorted_members(text: bytes, rng: Rng) -> bytes:
    return json.dumps(_read(text), sort_keys=True).encode()


@text_bytes
def blank_at_limit(text: bytes, rng: Rng) -> bytes:
    wanted = 256 * 1024 + rng.choice([-1, 0, 1, 1, 5000])
    return text + b" " * (wanted - len(text))


@text_bytes
def cut(text: bytes, rng: Rng) -> bytes:
    return text[: rng.choice([0, 1, len(text) - 1, rng.randrange(len(text) + 1)])]


@text_bytes
def byte_changed(text: bytes, rng: Rng) -> bytes:
    at = rng.randrange(len(text))
    return text[:at] + bytes([rng.choice([rng.randrange(256), 0x20, 0x22, 0x2C, 0xFF])]) + text[at + 1 :]


@text_bytes
def byte_removed(text: bytes, rng: Rng) -> bytes:
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :]


@text_bytes
def other_encoding(text: bytes, rng: Rng) -> bytes:
    names = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig", "latin-1"]
    return _read_text(text).encode(rng.choice(names), "replace")


@text_bytes
def not_utf8(text: bytes, rng: Rng) -> bytes:
    at = text.index(b'"agent ') + 3
    return (
        text[:at]
        + rng.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9"])
        + text[at:]
    )


@text_bytes
def other_syntax(text: bytes, rng: Rng) -> bytes:
    old, new = rng.choice(
        [
            (b",", b",,"),
            (b'"', b"'"),
            (b"}", b",}"),
            (b"]", b",]"),
            (b":", b"="),
            (b"{", b"{/**/"),
            (b"null", b"None"),
        ]
        + [
            (b"true", b"True"),
            (b"false", b"FALSE"),
            (b"[", b"("),
            (b":", b" : "),
            (b",", b"\x0c,"),
            (b"null", b"nul"),
        ]
    )
    return text.replace(old, new, 1)


@text_bytes
def not_an_object(text: bytes, rng: Rng) -> bytes:
    return rng.choice(
        [
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"2",
            b"[" + text + b"]",
            b"{}",
            b"true",
            b'{"passport_json":{},"signature":""}',
        ]
    )


def _read_text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Inapplicable from None


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        raise Inapplicable from None
