"""A passport under change, and the edits that are known."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, Callable, Iterator

Rng = random.Random
Meaning = Callable[["Case", Rng], None]
Signature = Callable[[bytes, Rng], Any]
Text = Callable[[bytes, Rng], bytes]

# By name, in the order of definition: edits to what a passport says, to the bytes of a
# signature, to the text.
MEANING: dict[str, Meaning] = {}
SIGNATURE: dict[str, Signature] = {}
TEXT: dict[str, Text] = {}


def meaning(edit: Meaning) -> Meaning:
    MEANING[edit.__name__] = edit
    return edit


def signature_bytes(edit: Signature) -> Signature:
    SIGNATURE[edit.__name__] = edit
    return edit


def text_bytes(edit: Text) -> Text:
    TEXT[edit.__name__] = edit
    return edit


class Inapplicable(Exception):
    """The edit finds nothing here to change."""


# An edit before it left nothing that this one could change.
NOTHING_TO_EDIT = (Inapplicable, AttributeError, IndexError, KeyError, TypeError, ValueError)


class Case:
    """A passport under change."""

    def __init__(self, passport: dict[str, Any]) -> None:
        self.passport = copy.deepcopy(passport)
        self.raw: dict[str, str] = {}
        # Whether the chains within the chain are made to agree with it.
        self.nested_follow = True

    def hops(self) -> list[Any]:
        """The envelopes, root first."""
        leaf = self.passport["passport_json"]
        chain = leaf["provenance"]["delegation_chain"]
        return [link["passport_json"] for link in chain or []] + [leaf]

    def chain(self) -> list[Any]:
        chain = self.passport["passport_json"]["provenance"]["delegation_chain"]
        if not chain:
            raise Inapplicable
        return chain

    def as_written(self, token: str) -> str:
        """A string that stands for this piece of JSON, as a name or as a value."""
        mark = f"\ue0f0{len(self.raw)}\ue0f1"
        self.raw[mark] = token
        return mark

    def text(self, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for mark, token in self.raw.items():
            text = text.replace(f'"{mark}"', token)
        return text


# --- what an edit picks ---


def some_hop(case: Case, rng: Rng) -> Any:
    """A hop, the last as often as all others together."""
    hops = case.hops()
    return hops[-1] if rng.random() < 0.5 else rng.choice(hops)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All (container, name or index) of an envelope, its chain left out."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in list(members):
        yield value, name
        if name != "delegation_chain":
            yield from places(member)


def some_place(case: Case, rng: Rng, accept: Callable[[Any], bool] = lambda value: True) -> tuple[Any, Any]:
    return pick(rng, [(at, name) for at, name in places(some_hop(case, rng)) if accept(at[name])])


def pick(rng: Rng, values: Any) -> Any:
    if not values:
        raise Inapplicable
    return rng.choice(list(values))


def some_objects(case: Case, rng: Rng) -> list[dict[str, Any]]:
    hop = some_hop(case, rng)
    return [hop] + [at[name] for at, name in places(hop) if isinstance(at[name], dict)]


def some_constraints(hop: Any, rng: Rng) -> dict[str, Any]:
    return pick(rng, hop["permissions"])["constraints"]


def some_pair(case: Case, rng: Rng) -> tuple[Any, Any]:
    """A hop and the one delegated from it."""
    hops = case.hops()
    return pick(rng, list(zip(hops, hops[1:])))


ANYTHING = [None, True, False, 0, 1, 2, -1, 2.0, 2.5, "", "2", "true", "text", [], {}, [1], {"a": 1}, "é"]
