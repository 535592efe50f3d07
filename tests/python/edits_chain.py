"""Edits to delegation chains."""

from __future__ import annotations

import copy

from case import Case, Inapplicable, Rng, meaning, pick, some_hop
from keys import encode


def _leave_room(case: Case) -> None:
    """Five links are allowed. Each holds all before it, so every one more doubles the text."""
    if len(case.hops()) > 7 or len(case.text(case.passport)) > 150_000:
        raise Inapplicable


@meaning
def chain_shortened(case: Case, rng: Rng) -> None:
    chain = case.chain()
    del chain[rng.randrange(len(chain))]


@meaning
def chain_emptied(case: Case, rng: Rng) -> None:
    some_hop(case, rng)["provenance"]["delegation_chain"] = rng.choice([[], None])


@meaning
def chain_without_root(case: Case, rng: Rng) -> None:
    """The rest follows the new root."""
    chain = case.chain()
    del chain[0]
    for hop in case.hops()[1:]:
        hop["provenance"]["issuer"]["id"] = "delegate:" + case.hops()[0]["passport_id"]


@meaning
def chain_swapped(case: Case, rng: Rng) -> None:
    chain = case.chain()
    left, right = rng.randrange(len(chain)), rng.randrange(len(chain))
    chain[left], chain[right] = chain[right], chain[left]


@meaning
def chain_repeats(case: Case, rng: Rng) -> None:
    chain = case.chain()
    at = rng.randrange(len(chain))
    for _ in range(rng.choice([1, 1, 2, 5])):
        _leave_room(case)
        chain.insert(at, copy.deepcopy(chain[at]))


@meaning
def chain_extended(case: Case, rng: Rng) -> None:
    """Delegated on to the same agent, to this depth, each hop as it should be."""
    for _ in range(rng.choice([1, 2, 4, 5, 6])):
        _delegate_on(case)


def _delegate_on(case: Case) -> None:
    _leave_room(case)
    parent = case.passport
    envelope = parent["passport_json"]
    child = copy.deepcopy(envelope)
    envelope["delegation_authority"] = True
    chain = [*(envelope["provenance"]["delegation_chain"] or []), copy.deepcopy(parent)]
    root = chain[0]["passport_json"]["passport_id"]
    key_id = envelope["provenance"]["issuer"]["key_id"]
    child["provenance"] |= {
        "delegation_chain": chain,
        "issuer": {"type": "delegate", "id": f"delegate:{root}", "key_id": key_id},
    }
    case.passport = {"passport_json": child, "signature": parent["signature"]}


@meaning
def chain_links_differ(case: Case, rng: Rng) -> None:
    """What the chain within the chain says is another story."""
    case.nested_follow = False
    chain = case.chain()
    link = rng.choice(chain)["passport_json"]
    nested = link["provenance"]["delegation_chain"]
    if nested:
        edit = rng.choice([0, 1, 2])
        if edit == 0:
            nested[-1]["passport_json"]["permissions"] = [{"permission_key": "*", "constraints": {}}]
        elif edit == 1:
            nested.pop()
        else:
            nested[0]["signature"] = encode(bytes(64))
    else:
        link["provenance"]["delegation_chain"] = rng.choice([[], copy.deepcopy(chain[-1:])])


@meaning
def chain_links_bare(case: Case, rng: Rng) -> None:
    case.nested_follow = False
    for link in case.chain():
        link["passport_json"]["provenance"]["delegation_chain"] = None


@meaning
def link_member(case: Case, rng: Rng) -> None:
    link = rng.choice(case.chain())
    if rng.random() < 0.5:
        link["extra"] = 1
    else:
        del link[pick(rng, list(link))]


@meaning
def root_of_issuer(case: Case, rng: Rng) -> None:
    """The whole chain as a platform's or a gate's, whose keys the client does not have."""
    kind = rng.choice(["platform", "gate"])
    root = case.hops()[0]
    root["provenance"]["issuer"] = {"type": kind, "id": "issuer:org_1", "key_id": "ik_1"}
    for hop in case.hops()[1:]:
        hop["provenance"]["issuer"]["key_id"] = "ik_1"
