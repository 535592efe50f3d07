"""Passports as the real client makes them."""

from __future__ import annotations

import hashlib
import random
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Iterator, Optional

import modei.passport.delegation
import modei.passport.issuer
from modei.passport import AgentCredentials, DelegationBuilder, PassportIssuer


def seed(name: Any) -> bytes:
    """The private key of the agent that the tests call by this name."""
    return hashlib.sha256(f"portcullis tests: agent {name}".encode()).digest()


def issue(hops: list[dict[str, Any]]) -> dict[str, Any]:
    """A passport that went from hand to hand: self-issued, then delegated.

    Each hop is ``{seed, name?, permissions, expires_in, evidence?}`` with the seed in
    hexadecimal and the life in seconds. All but the last may be delegated; the last
    may if it says so in ``authority``.
    """
    signed, holder = None, None
    for index, hop in enumerate(hops):
        credentials = AgentCredentials(private_key_seed=bytes.fromhex(hop["seed"]))
        authority = index + 1 < len(hops) or hop.get("authority", False)
        life = timedelta(seconds=hop["expires_in"])
        if signed is None:
            signed = PassportIssuer(credentials, identity_claim=hop.get("name")).self_issue(
                hop["permissions"],
                life,
                delegation_authority=authority,
                verification_evidence=hop.get("evidence"),
            )
        else:
            signed = (
                DelegationBuilder(parent=signed, parent_credentials=holder)
                .authorize(credentials)
                .with_permissions(hop["permissions"])
                .with_expiry(life)
                .with_identity_claim(hop.get("name"))
                .with_delegation_authority(authority)
                .with_verification_evidence(hop.get("evidence") or [])
                .sign()
            )
        holder = credentials
    assert signed is not None
    return {"passport_json": signed.envelope.model_dump(mode="json"), "signature": signed.signature}


@contextmanager
def repeatable(number: int) -> Iterator[None]:
    """Stops the client's clock and seeds its ids, so that a run can be repeated."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Optional[timezone] = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)

    ids = random.Random(number)
    fixed = SimpleNamespace(uuid4=lambda: uuid.UUID(int=ids.getrandbits(128)))
    modules = (modei.passport.issuer, modei.passport.delegation)
    before = [(module.datetime, module.uuid) for module in modules]
    try:
        for module in modules:
            module.datetime, module.uuid = Stopped, fixed
        yield
    finally:
        for module, (clock, source) in zip(modules, before):
            module.datetime, module.uuid = clock, source


CONSTRAINTS = [
    {
        "max_per_action_cost": 500,
        "max_daily_cost": 2500.5,
        "rate_limit_per_minute": 60,
        "allowed_domains": ["a.example", "b.example", "c.example"],
        "allowed_paths": ["/a", "/b"],
        "operating_hours": {"tz": "UTC", "days": [1, 2, 3], "from": "08:00"},
        "core:regions": ["eu", "us"],
    },
    {"max_per_action_cost": 200, "allowed_domains": ["b.example", "a.example"], "core:regions": ["eu", "us"]},
    {"max_per_action_cost": 200.0, "allowed_domains": ["a.example"]},
    {"max_per_action_cost": 1e2, "allowed_domains": []},
    {"max_per_action_cost": -3},
    {},
]

NUMBERS = [
    0, -0.0, 1, -1, 0.1, -0.1, 1.5, 2.0, 1e3, 9007199254740991, 9007199254740992, -9007199254740992,
    1e15, 123456789012.25, 1e21, 1.5e21, 1e22, 1e300, 1.7976931348623157e308, 5e-324,
    2.2250738585072014e-308, 1e-5, 1e-6, 1e-7, 1.5e-7, 333333333.33333329, 0.3, 4.35, 1 / 3,
]  # fmt: skip

UNICODE = 'Ω \u202e\u0000\u001f\u007f\u2028 e\u0301 é \U0001f6c2 \uffff \ue000 "\\/\b\f\n\r\t'


def bases(number: int) -> dict[str, dict[str, Any]]:
    """The passports that are mutated, the simplest first."""

    def hops(depth: int, permissions: Any, **more: Any) -> dict[str, Any]:
        return issue(
            [
                {
                    "seed": seed(index).hex(),
                    "name": f"agent {index}",
                    "permissions": permissions(index),
                    "expires_in": 86_400 - 600 * index,
                    **more,
                }
                for index in range(depth + 1)
            ]
        )

    def plain(_: int) -> list[dict[str, Any]]:
        return [{"permission_key": "flights:search", "constraints": {}}]

    def constrained(index: int) -> list[dict[str, Any]]:
        both = {"permission_key": "flights:book", "constraints": CONSTRAINTS[index]}
        return [both, *plain(index)] if index < 3 else [both]

    def numbers(_: int) -> list[dict[str, Any]]:
        constraints = {f"core:n{index}": value for index, value in enumerate(NUMBERS)}
        return [{"permission_key": "numbers", "constraints": constraints}]

    def unicode(index: int) -> list[dict[str, Any]]:
        constraints = {UNICODE: UNICODE, "\U0001f600": 1, "\ufb33": 2, "é": [UNICODE], "e\u0301": None}
        return [{"permission_key": "é:" + UNICODE, "constraints": constraints if index < 2 else {}}]

    def many(_: int) -> list[dict[str, Any]]:
        return [{"permission_key": f"area{n}:act", "constraints": {"max_total_cost": n}} for n in range(40)]

    with repeatable(number):
        made = {"self": hops(0, plain), "self, nameless": hops(0, plain, name=None)}
        for depth in range(6):
            if depth:
                made[f"depth {depth}"] = hops(depth, plain)
            made[f"depth {depth}, constrained"] = hops(depth, constrained)
        for depth in (0, 2):
            made[f"depth {depth}, unicode"] = hops(depth, unicode, name=UNICODE)
            made[f"depth {depth}, numbers"] = hops(depth, numbers)
        made["many permissions"] = hops(0, many)
        made["depth 1, many permissions"] = hops(1, many)
        made["long"] = hops(0, plain, name="long " * 8000)
        made["depth 1, long"] = hops(1, plain, name="long " * 4000)
        made["evidence"] = hops(
            0, plain, evidence=[{"kind": "dns", "value": [1, 2.5, None]}, "text", 7, True]
        )
    return made
