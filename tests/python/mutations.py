"""Passports of the real client, changed in every way that could matter.

A case is made from a recipe: a base, edits to what it says, edits to signatures, how
it is signed again, edits to its text. Each edit has a seed of its own, so that a
recipe with an edit left out is still a recipe, and a failing one can be shrunk.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from contextlib import suppress
from typing import Any, Callable, Iterator, Optional

# For the edits that they define.
import edits_chain
import edits_grant
import edits_identity
import edits_shape
import edits_wire
import oracle
import passports
from case import MEANING, NOTHING_TO_EDIT, SIGNATURE, TEXT, Case
from keys import MIXED_KEY, encode, sign_mixed
from modei.passport import Envelope, canonicalize_strict
from nacl.signing import SigningKey

# How the hops are signed again. `right`: with the keys that must sign. `coerced`: the
# same, over what the client's models make of each hop. `none`: left as they were.
# `other`: one hop with a key that must not sign it. `own`: each with its own key.
# `leaf`: the last hop alone.
SIGNING = ["right", "right", "right", "right", "right", "right", "coerced", "none", "other", "own", "leaf"]


# How often each edit is tried by itself on each base, where it has more to choose from.
ROUNDS = {
    "authority": 10,
    "catalog": 12,
    "constraint_pair": 60,
    "key_encoding": 16,
    "number_as_written": 30,
    "retype_signature": 16,
    "size_at_cap": 8,
    "size_at_cap_without_chain": 8,
    "text_as_written": 20,
    "times": 30,
    "true_for_one": 10,
    "version": 10,
}

# What the client's models turn into something else, which is then what was signed.
COERCED = {"authority", "catalog", "number_as_written", "version"}

# What puts signatures of its own in place.
FORGED = {"retype_signature", "small_order_forgery"}


class Generator:
    """Makes cases. The same seed makes the same cases."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.bases = passports.bases(seed)
        self.keys: dict[str, Callable[[bytes], bytes]] = {}
        for name in [*range(8), "other"]:
            key = SigningKey(passports.seed(name))
            self.keys[encode(key.verify_key.encode())] = lambda text, key=key: key.sign(text).signature
        self.keys[MIXED_KEY] = sign_mixed

    def recipes(self, count: int) -> Iterator[dict[str, Any]]:
        """Every edit alone on bases of each depth, then as many at random as are left."""
        systematic = list(self._systematic())
        for recipe in systematic[:count]:
            yield recipe
        rng = random.Random(f"{self.seed} at random")
        names = list(self.bases)
        # Deep and long ones cost most and say no more than others.
        weights = [1 / (1 + len(json.dumps(base)) / 4000) for base in self.bases.values()]
        for _ in range(count - len(systematic)):
            text = [_choice(rng, TEXT)] if rng.random() < 0.15 else []
            signature = [_choice(rng, SIGNATURE)] if rng.random() < 0.1 else []
            edits = rng.choice([1, 1, 2, 2, 3]) - len(text) - len(signature)
            yield {
                "base": rng.choices(names, weights)[0],
                "meaning": [_choice(rng, MEANING) for _ in range(edits)],
                "signature": signature,
                "signing": rng.choice(SIGNING),
                "nested": rng.random() < 0.9,
                "text": text,
            }

    def _systematic(self) -> Iterator[dict[str, Any]]:
        plain = {"meaning": [], "signature": [], "signing": "right", "nested": True, "text": []}
        for base in self.bases:
            yield {**plain, "base": base}
        few = ["self", "depth 0, constrained", "depth 1, constrained", "depth 2, constrained"]
        for number, name in enumerate(MEANING):
            for base in few:
                for again in range(ROUNDS.get(name, 4)):
                    signing = "none" if name in FORGED else "right"
                    if name in COERCED and again % 2:
                        signing = "coerced"
                    yield {
                        **plain,
                        "base": base,
                        "meaning": [[name, f"{number} {again}"]],
                        "signing": signing,
                    }
        for number, name in enumerate(SIGNATURE):
            for base in ["self", "depth 1", "depth 3"]:
                for again in range(16 if name == "encoding" else 3):
                    yield {**plain, "base": base, "signature": [[name, f"{number} {again}"]]}
        for number, name in enumerate(TEXT):
            for base in ["self", "depth 1"]:
                for again in range(6):
                    yield {**plain, "base": base, "text": [[name, f"{number} {again}"]]}

    def make(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The case of a recipe: its text, what the client says, what it has that a gate refuses."""
        case = Case(self.bases[recipe["base"]])
        case.nested_follow = recipe["nested"]
        applied = []
        for name, seed in recipe["meaning"]:
            with suppress(*NOTHING_TO_EDIT):
                MEANING[name](case, random.Random(seed))
                applied.append(name)
        applied += self._sign(case, recipe)
        text = case.text(case.passport).encode("utf-8", "surrogatepass")
        for name, seed in recipe["text"]:
            with suppress(*NOTHING_TO_EDIT):
                text = TEXT[name](text, random.Random(seed))
                applied.append(name)
        return {
            "recipe": recipe,
            "applied": applied,
            "text": base64.b64encode(text).decode(),
            "sdk": oracle.verdict(text),
            "features": oracle.features(text),
        }

    def _sign(self, case: Case, recipe: dict[str, Any]) -> list[str]:
        """Signs as the recipe says, root first; says which edits it applied on the way."""
        try:
            hops = case.hops()
        except NOTHING_TO_EDIT:
            return []  # not of a shape that can be signed
        applied = []
        chain = hops[-1]["provenance"]["delegation_chain"]
        holders = [*(chain or []), case.passport]
        rng = random.Random(json.dumps(recipe))
        odd_hop = rng.randrange(len(hops))
        edited_hop = rng.randrange(len(hops))
        for index, (hop, holder) in enumerate(zip(hops, holders)):
            if case.nested_follow and index < len(hops) - 1 and isinstance(hop.get("provenance"), dict):
                # A copy of its own: Python would find a ring where there is none.
                hop["provenance"]["delegation_chain"] = copy.deepcopy(chain[:index]) or None
            if not isinstance(holder, dict):
                continue
            mode = recipe["signing"]
            if mode in ("right", "coerced", "other", "own") or mode == "leaf" and index == len(hops) - 1:
                signer = hop if index == 0 or mode == "own" else hops[index - 1]
                key = _public_key(signer)
                if mode == "other" and index == odd_hop:
                    key = encode(SigningKey(passports.seed("other")).verify_key.encode())
                signature = self._signature(case, hop, key, mode == "coerced")
                if signature is not None:
                    holder["signature"] = signature
            if index == edited_hop:
                for name, seed in recipe["signature"]:
                    with suppress(*NOTHING_TO_EDIT):
                        signature = base64.b64decode(holder["signature"])
                        holder["signature"] = SIGNATURE[name](signature, random.Random(seed))
                        applied.append(name)
        return applied

    def _signature(self, case: Case, hop: Any, key: str, coerced: bool) -> Optional[str]:
        """The signature over what a reader reads; none for what cannot be written."""
        sign = self.keys.get(key) or next(iter(self.keys.values()))
        try:
            value = json.loads(case.text(hop))
            if coerced:
                value = Envelope.model_validate(value).model_dump(mode="json")
            return encode(sign(canonicalize_strict(value)))
        except Exception:
            return None


def _choice(rng: random.Random, edits: dict[str, Any]) -> list[str]:
    return [rng.choice(list(edits)), str(rng.getrandbits(32))]


def _public_key(hop: Any) -> str:
    identity = hop.get("identity") if isinstance(hop, dict) else None
    key = identity.get("public_key") if isinstance(identity, dict) else None
    try:
        return encode(base64.b64decode(key or "", validate=True))
    except (TypeError, ValueError):
        return ""
