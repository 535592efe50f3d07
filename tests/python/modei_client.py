"""The real Modei clients, synchronous and asynchronous, as a process: a JSON object a
line in, one out. Nothing of them is changed."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import secrets
import sys
import types
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import httpx
import modei
import nacl.signing
from modei import (
    AgentCredentials,
    AsyncModeiClient,
    DelegationBuilder,
    ModeiClient,
    ModeiError,
    PassportIssuer,
    PassportVerifier,
    SignedPassport,
    verify_attestation_signature,
)
from modei.passport import Envelope, canonicalize_strict
from modei.passport.verifier import _verify_signature_over_envelope

# What the client's own types say of each answer; they are not enforced by the client.
TYPES = {
    "list_gates": [modei.Gate],
    "get_gate": modei.Gate,
    "create_gate": modei.Gate,
    "update_gate": modei.Gate,
    "list_passports": [modei.Passport],
    "get_passport": modei.Passport,
    "issue_passport": modei.Passport,
    "reissue_passport": modei.ReissueResult,
    "check_gate": modei.CheckResult,
    "enforce_action": modei.EnforceResult,
    "list_enforcement_attestations": [modei.EnforcementAttestation],
    "get_enforcement_attestation": modei.EnforcementAttestation,
    "list_constraint_types": [modei.ConstraintType],
    "list_constraint_templates": [modei.ConstraintTemplate],
    "create_constraint_template": modei.ConstraintTemplate,
    "get_cumulative_state": modei.CumulativeState,
    "publish_catalog": modei.PublishResult,
    "get_catalog_version": modei.PublishedCatalog,
    "list_catalog_versions": [modei.PublishedCatalog],
    "issue_consumption_attestation": modei.ConsumeResult,
    "generate_settlement": modei.SettlementSummary,
    "list_settlements": {"settlements": [modei.SettlementSummary]},
    "get_settlement": modei.SettlementSummary,
    "update_settlement_status": modei.SettlementSummary,
    "get_sla_compliance": modei.SLAComplianceReport,
    "discover_services": {"services": [modei.DiscoveryResult]},
}


def check_type(method: str, answer: Any) -> None:
    expected = TYPES.get(method)
    if isinstance(expected, dict):
        (name, expected), = expected.items()
        answer = answer[name]
    if isinstance(expected, list):
        for one in answer:
            expected[0].model_validate(one)
    elif expected is not None:
        expected.model_validate(answer)


def told(error: ModeiError) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "status": error.status_code,
        "message": str(error),
        "retry_after": getattr(error, "retry_after", None),
    }


def call(
    url: str, key: str, method: str, args: list[Any], kwargs: dict[str, Any], is_async: bool
) -> dict[str, Any]:
    """One call of a client's method; its answer, or the error that it raised."""

    async def call_async() -> Any:
        async with AsyncModeiClient(key, base_url=url) as client:
            return await getattr(client, method)(*args, **kwargs)

    try:
        if is_async:
            answer = asyncio.run(call_async())
        else:
            with ModeiClient(key, base_url=url) as client:
                answer = getattr(client, method)(*args, **kwargs)
    except ModeiError as error:
        return told(error)
    check_type(method, answer)
    return {"answer": answer}


def hammer(url: str, key: str, times: int) -> dict[str, Any]:
    """Calls without a pause until it is refused."""
    with ModeiClient(key, base_url=url) as client:
        for _ in range(times):
            try:
                client.list_gates()
            except ModeiError as error:
                return told(error)
    return {"error": None}


def credentials(seed: str) -> AgentCredentials:
    return AgentCredentials(private_key_seed=bytes.fromhex(seed))


def agent(seed: str) -> dict[str, Any]:
    """The id and key of an agent."""
    known = credentials(seed)
    return {"agent_id": known.agent_id, "public_key": known.public_key_b64}


def self_issue(seed: str, permissions: list[str], name: Optional[str]) -> dict[str, Any]:
    """A passport that an agent signs for itself."""
    signed = PassportIssuer(credentials(seed), identity_claim=name).self_issue(
        permissions=[{"permission_key": key, "constraints": {}} for key in permissions],
        expires_in=timedelta(hours=1),
        delegation_authority=True,
    )
    return {"passport_json": signed.envelope.model_dump(mode="json"), "signature": signed.signature}


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the client has no method for, without an API key."""
    answer = httpx.post(url, json=body, timeout=30)
    return {"status": answer.status_code, "answer": answer.json()}


def assertion(seed: str, passport_id: str) -> dict[str, Any]:
    """An agent's word that its passport is to be revoked."""
    now = datetime.now(timezone.utc)
    said = {
        "passport_id": passport_id,
        "action": "revoke",
        "nonce": base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode(),
        "revoked_at": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
    }
    key = nacl.signing.SigningKey(credentials(seed).private_key_bytes)
    signature = key.sign(canonicalize_strict(said)).signature
    return {
        "assertion_json": said,
        "assertion_signature": base64.b64encode(signature).decode(),
    }


def heartbeat(url: str, key: str, agent_id: str, passport_id: str) -> dict[str, Any]:
    """What the client sends when an agent begins; it tells only whether that was taken. Its
    module asks for Supabase's client at once, for channels that a heartbeat has no use for."""
    sys.modules.setdefault("supabase", types.SimpleNamespace(create_client=None, Client=None))
    realtime = importlib.import_module("modei.realtime")
    return {"is_taken": asyncio.run(realtime.send_heartbeat(url, key, agent_id, passport_id))}


def delegate(parent: dict[str, Any], seed: str, to: str) -> dict[str, Any]:
    """A passport that the holder of ``parent`` delegates to another agent."""
    envelope = Envelope.model_validate(parent["passport_json"])
    child = (
        DelegationBuilder(SignedPassport(envelope, parent["signature"]), credentials(seed))
        .authorize(credentials(to))
        .with_permissions([permission.model_dump() for permission in envelope.permissions])
        .with_expiry(timedelta(minutes=1))
        .with_identity_claim("a sub-agent")
        .sign()
    )
    return {"passport_json": child.envelope.model_dump(mode="json"), "signature": child.signature}


def verify(passport_json: Any, signature: str, public_key: Optional[str]) -> dict[str, Any]:
    """What the client's offline verifier says; with a key, what its check of signatures
    says for that key too, as the verifier itself knows no issuers."""
    text = passport_json if isinstance(passport_json, str) else None
    envelope = json.loads(text) if text else passport_json
    result = PassportVerifier().verify(envelope, signature)
    verdict = {"valid": result.valid, "reason_code": result.reason_code}
    if text is not None and public_key is not None:
        problem = _verify_signature_over_envelope(Envelope.model_validate(envelope), signature, public_key)
        verdict["signature"] = problem is None
        verdict["text_signature"] = verify_attestation_signature(text, signature, public_key)
        verdict["is_canonical"] = canonicalize_strict(envelope).decode() == text
    return verdict


OPERATIONS = {
    operation.__name__: operation
    for operation in (agent, assertion, call, delegate, hammer, heartbeat, post, self_issue, verify)
}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        operation = OPERATIONS[request.pop("op")]
        print(json.dumps(operation(**request)), flush=True)


if __name__ == "__main__":
    main()
