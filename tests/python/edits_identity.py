"""Edits to who a passport says it is from and for."""

from __future__ import annotations

import base64
from typing import Any

import nacl.bindings as sodium
import passports
from case import Case, Rng, meaning, some_hop
from keys import MIXED_KEY, NOT_CANONICAL, NOT_ON_CURVE, SMALL_ORDER, encode, loose, trailing_bits_set
from modei.passport import derive_self_agent_id
from nacl.signing import SigningKey


@meaning
def issuer_type(case: Case, rng: Rng) -> None:
    kinds = ["gate", "platform", "self", "delegate", "Self", "issuer", "", None, 1]
    some_hop(case, rng)["provenance"]["issuer"]["type"] = rng.choice(kinds)


@meaning
def issuer_id(case: Case, rng: Rng) -> None:
    issuer = some_hop(case, rng)["provenance"]["issuer"]
    other = case.hops()[-1]["passport_id"]
    values = [
        "self:" + "0" * 64,
        issuer["id"].upper(),
        f"delegate:{other}",
        "delegate:",
        "issuer:org_1",
        "",
        " ",
    ]
    issuer["id"] = rng.choice(values)


@meaning
def issuer_key_id(case: Case, rng: Rng) -> None:
    some_hop(case, rng)["provenance"]["issuer"]["key_id"] = rng.choice(
        ["SELF", "ik_1", "", "self ", "\t", "k" * 257]
    )


@meaning
def key_id_of_all(case: Case, rng: Rng) -> None:
    for hop in case.hops():
        hop["provenance"]["issuer"]["key_id"] = "gk_1"


@meaning
def agent_id(case: Case, rng: Rng) -> None:
    identity = some_hop(case, rng)["identity"]
    other = derive_self_agent_id(encode(bytes(32)))
    identity["agent_id"] = rng.choice(
        [other, "admin", "", "a b", "é", identity["agent_id"].lower(), "a" * 300]
    )


@meaning
def passport_id(case: Case, rng: Rng) -> None:
    some_hop(case, rng)["passport_id"] = rng.choice(
        ["", " ", "pp", "p" * 256, "p" * 257, "é", "a\nb", "\u007f", "~!"]
    )


@meaning
def root_passport_id(case: Case, rng: Rng) -> None:
    """Delegated hops follow it: nothing is wrong with a short or ample one."""
    name = rng.choice(["pp", "p" * 247, "p" * 248, "p" * 300, "a b", "é"])
    for index, hop in enumerate(case.hops()):
        if index:
            hop["provenance"]["issuer"]["id"] = f"delegate:{name}"
        else:
            hop["passport_id"] = name


@meaning
def agent_name(case: Case, rng: Rng) -> None:
    names = [None, "", "\u0000", passports.UNICODE, "n" * 2000, "\U0010ffff\ufeff", 7]
    some_hop(case, rng)["identity"]["agent_name"] = rng.choice(names)


@meaning
def other_agent(case: Case, rng: Rng) -> None:
    """Another agent takes a hop's place, with or without its own ids."""
    hop = some_hop(case, rng)
    key = encode(SigningKey(passports.seed(rng.choice([6, 7]))).verify_key.encode())
    hop["identity"]["public_key"] = key
    if rng.random() < 0.7:
        hop["identity"]["agent_id"] = derive_self_agent_id(key)
    if hop["provenance"]["issuer"]["type"] == "self" and rng.random() < 0.7:
        hop["provenance"]["issuer"]["id"] = _self_issuer(key)


@meaning
def mixed_order_agent(case: Case, rng: Rng) -> None:
    hop = some_hop(case, rng)
    # Another id, so that other signatures are tried.
    hop["passport_id"] = f"pp_{rng.getrandbits(64):x}"
    for other in case.hops()[1:]:
        other["provenance"]["issuer"]["id"] = "delegate:" + case.hops()[0]["passport_id"]
    _rebind(hop, MIXED_KEY)


@meaning
def odd_key(case: Case, rng: Rng) -> None:
    """A key of small order, not canonical or no point, bound to its ids like any other."""
    _rebind(
        some_hop(case, rng), encode(bytes.fromhex(rng.choice(SMALL_ORDER + NOT_CANONICAL + NOT_ON_CURVE)))
    )


@meaning
def small_order_forgery(case: Case, rng: Rng) -> None:
    """With a key of order one, R = [S]B is a signature of every text for the lenient."""
    _rebind(case.hops()[0], encode(bytes.fromhex(SMALL_ORDER[rng.choice([0, 1, 1, 1])])))
    one = bytes.fromhex(SMALL_ORDER[1])
    holder = (case.hops()[-1]["provenance"]["delegation_chain"] or [case.passport])[0]
    holder["signature"] = encode(one + bytes(32))


@meaning
def key_encoding(case: Case, rng: Rng) -> None:
    identity = some_hop(case, rng)["identity"]
    identity["public_key"] = loose(base64.b64decode(identity["public_key"]), rng)


@meaning
def signing_key_trailing_bits(case: Case, rng: Rng) -> None:
    hops = case.hops()
    identity = rng.choice([hops[0], *hops[:-1]])["identity"]
    identity["public_key"] = trailing_bits_set(identity["public_key"])


def _rebind(hop: Any, key: str) -> None:
    hop["identity"] |= {"public_key": key, "agent_id": derive_self_agent_id(key)}
    if hop["provenance"]["issuer"]["type"] == "self":
        hop["provenance"]["issuer"]["id"] = _self_issuer(key)


def _self_issuer(key: str) -> str:
    return "self:" + sodium.crypto_hash_sha256(base64.b64decode(key)).hex()
