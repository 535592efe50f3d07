"""The real Modei client as a process: a JSON object a line in, answers a line out."""

from __future__ import annotations

import json
import sys
from typing import Any, Iterator, Optional

import mutations
import oracle
import passports
from modei import verify_attestation_signature
from modei.passport import AgentCredentials, canonicalize_strict, derive_self_agent_id


def attestation(text: str, signature: str, public_key: str) -> Iterator[Any]:
    """Whether the client takes this for what the key has signed."""
    yield {"valid": verify_attestation_signature(text, signature, public_key)}


def canonical(texts: list[str]) -> Iterator[Any]:
    """The canonical texts of many JSON texts; null for what the client cannot write."""

    def one(text: str) -> Optional[str]:
        try:
            return canonicalize_strict(json.loads(text)).decode()
        except Exception:
            return None

    yield {"texts": [one(text) for text in texts]}


def mutant(seed: int, recipe: dict[str, Any]) -> Iterator[Any]:
    """One mutated passport."""
    yield mutations.Generator(seed).make(recipe)


def mutants(seed: int, count: int) -> Iterator[Any]:
    """``count`` mutated passports, each in a line, and a line with all names that recipes use."""
    generator = mutations.Generator(seed)
    for recipe in generator.recipes(count):
        yield generator.make(recipe)
    edits = [*mutations.MEANING, *mutations.SIGNATURE, *mutations.TEXT]
    yield {"bases": list(generator.bases), "edits": edits}


def derive(public_key: str) -> Iterator[Any]:
    """The id of the agent with this key."""
    yield {"agent_id": derive_self_agent_id(public_key)}


def identity(seed: str) -> Iterator[Any]:
    """The id and key of the agent with this private key, in hexadecimal."""
    credentials = AgentCredentials(private_key_seed=bytes.fromhex(seed))
    yield {"agent_id": credentials.agent_id, "public_key": credentials.public_key_b64}


def issue(hops: list[dict[str, Any]]) -> Iterator[Any]:
    """A passport that the client made; see ``passports.issue``."""
    yield {"passport": json.dumps(passports.issue(hops), ensure_ascii=False)}


def verify(text: str) -> Iterator[Any]:
    """What the client says to a passport, and the tier it derives."""
    passport = json.loads(text)
    result = oracle.VERIFIER.verify(passport["passport_json"], passport["signature"])
    yield {"verdict": oracle.verdict(text.encode()), "tier": result.tier.value if result.tier else None}


OPERATIONS = {
    operation.__name__: operation
    for operation in (attestation, canonical, derive, identity, issue, mutant, mutants, verify)
}

for line in sys.stdin:
    request = json.loads(line)
    for reply in OPERATIONS[request.pop("op")](**request):
        print(json.dumps(reply), flush=True)
