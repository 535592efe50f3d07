"""Odd keys and signatures, and odd ways to write them."""

from __future__ import annotations

import base64
import random
import nacl.bindings as sodium


def encode(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "ec" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
# In other encodings than their own: y beyond the field's order, or x = 0 with a sign.
NOT_CANONICAL = [
    "ee" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ff" * 32,
    "f0" + "ff" * 31,
    "01" + "00" * 30 + "80",
]
NOT_ON_CURVE = ["02" + "00" * 31, "07" + "00" * 31]


def loose(data: bytes, rng: random.Random) -> str:
    """Base64 that a strict reader refuses, and a lenient one may take."""
    text = encode(data)
    return rng.choice(
        [
            text.rstrip("="),
            text + "=",
            text + "==",
            text + "\n",
            " " + text,
            text[:8] + "\n" + text[8:],
            data.hex(),
        ]
        + [
            base64.urlsafe_b64encode(data).decode(),
            base64.urlsafe_b64encode(b"\xff\xff" + data[2:]).decode(),
            text + "AAAA",
        ]
        + [
            trailing_bits_set(text),
            text.rstrip("=") + "==",
            text[:4] + "=" + text[4:],
            "é" + text,
            text[:-4],
            "",
        ]
    )


def trailing_bits_set(text: str) -> str:
    """Bits after the last byte that are not zero, as RFC 4648 section 3.5 wants them to be."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    plain = text.rstrip("=")
    last = alphabet[alphabet.index(plain[-1]) | 1]
    return plain[:-1] + last + text[len(plain) :]


# --- a key of mixed order ---
#
# With T of order eight, A + T is a point of the curve outside the main subgroup. Of its
# signatures, made as if it were A, one in eight holds for verifiers that do not multiply
# by the cofactor, and all hold for those that do. Both sides must be of the first kind.

_TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
_MIXED_SCALAR = sodium.crypto_core_ed25519_scalar_reduce(b"a scalar that all tests know" + bytes(36))
_MIXED = sodium.crypto_core_ed25519_add(
    sodium.crypto_scalarmult_ed25519_base_noclamp(_MIXED_SCALAR), _TORSION
)
MIXED_KEY = encode(_MIXED)


def sign_mixed(text: bytes) -> bytes:
    nonce = sodium.crypto_core_ed25519_scalar_reduce(sodium.crypto_hash_sha512(_MIXED_SCALAR + text))
    point = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = sodium.crypto_core_ed25519_scalar_reduce(sodium.crypto_hash_sha512(point + _MIXED + text))
    product = sodium.crypto_core_ed25519_scalar_mul(challenge, _MIXED_SCALAR)
    return point + sodium.crypto_core_ed25519_scalar_add(nonce, product)
