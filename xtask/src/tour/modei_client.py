"""Credentials by the public Modei client, used as its documents say.

Prints one JSON object: a name for each credential, and its
{"passport_json": ..., "signature": ...} text.
"""

import json
from datetime import timedelta

from modei.passport.credentials import AgentCredentials
from modei.passport.delegation import DelegationBuilder
from modei.passport.issuer import PassportIssuer

SEARCH = [{"permission_key": "flights:search", "constraints": {}}]


def text(passport):
    envelope = passport.envelope.model_dump(mode="json")
    return json.dumps({"passport_json": envelope, "signature": passport.signature})


def main():
    holder = AgentCredentials.generate()
    passport = PassportIssuer(holder, identity_claim="Tour agent").self_issue(
        permissions=SEARCH, expires_in=timedelta(hours=1), delegation_authority=True
    )
    credentials = {"modei": text(passport)}
    for _ in range(2):
        child = AgentCredentials.generate()
        passport = (
            DelegationBuilder(passport, holder)
            .authorize(child)
            .with_permissions(SEARCH)
            .with_expiry(timedelta(minutes=30))
            .with_delegation_authority(True)
            .sign()
        )
        holder = child
    credentials["modei-delegated"] = text(passport)
    print(json.dumps(credentials))


if __name__ == "__main__":
    main()
