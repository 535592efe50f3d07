/* What jose and WebCrypto make, judged by the package; and what it makes, judged by them. One
   line for each that went well. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import * as portcullis from "portcullis-web";

const jose = await import(pathToFileURL(process.env.JOSE));
await portcullis.init();

const { key, public_key_jwk, ...mine } = await portcullis.generateCredentials({ webCrypto: true });
const permissions = ["flights:search"];

{
  const made = await portcullis.selfIssue({ key, permissions, form: "jwt" });
  const { payload, protectedHeader } = await jose.jwtVerify(made.credential, await jose.importJWK(public_key_jwk, "EdDSA"));
  assert.equal(protectedHeader.typ, "passport+jwt");
  assert.equal(payload.identity.agent_id, mine.agent_id);
  console.log("jose verifies a passport's JWT");

  const text = new TextEncoder().encode(JSON.stringify(payload));
  const header = { alg: "EdDSA", typ: "passport+jwt" };
  const again = await new jose.CompactSign(text).setProtectedHeader(header).sign(key.privateKey);
  const answer = portcullis.verifyPassport(again);
  assert.equal(answer.valid, true, JSON.stringify(answer));
  assert.equal(answer.passport.public_key, mine.public_key);
  const [head, , signature] = again.split(".");
  const claims = jose.base64url.encode(JSON.stringify({ ...payload, passport_id: "pp_self_other" }));
  assert.equal(portcullis.verifyPassport(`${head}.${claims}.${signature}`).reason_code, "signature_invalid");
  console.log("a passport's JWT that jose signed is verified");
}

{
  const issuer = await jose.generateKeyPair("Ed25519", { extractable: true });
  const { x } = await jose.exportJWK(issuer.publicKey);
  const publicKey = Buffer.from(x, "base64url").toString("base64");
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    jti: crypto.randomUUID(),
    iss: "https://registry.example",
    sub: "did:web:agents.example:bob",
    aud: ["https://api.example"],
    iat: now,
    exp: now + 300,
    ial: "0",
    key: public_key_jwk,
    vc: {
      type: ["VerifiableCredential", "AgentIdentity"],
      credentialSubject: { domain: "agents.example", level: "2" },
    },
  };
  const header = { alg: "EdDSA", typ: "JWT", kid: "registry-1" };
  const badge = await new jose.SignJWT(claims).setProtectedHeader(header).sign(issuer.privateKey);
  const trust = new portcullis.TrustMaterial({
    badge_issuers: [
      {
        id: claims.iss,
        tier: 1,
        actions: ["*"],
        keys: [{ key_id: "registry-1", public_key: publicKey }],
        revocations_synced_at: new Date().toISOString(),
      },
    ],
  });
  const answer = portcullis.verifyBadge(badge, { trust, audiences: ["https://api.example"] });
  assert.equal(answer.valid, true, JSON.stringify(answer));
  assert.equal(answer.level, "2");
  assert.equal(answer.badge.key.x, public_key_jwk.x);
  const elsewhere = portcullis.verifyBadge(badge, { trust, audiences: ["https://other.example"] });
  assert.equal(elsewhere.reason_code, "BADGE_AUDIENCE_MISMATCH");
  console.log("a badge that jose signed is verified");
}

{
  const { credential } = await portcullis.selfIssue({ key, permissions });
  const { passport_json, signature } = JSON.parse(credential);
  const text = new TextEncoder().encode(portcullis.canonicalize(JSON.stringify(passport_json)));
  const bytes = Buffer.from(signature, "base64");
  assert.equal(await crypto.subtle.verify("Ed25519", key.publicKey, bytes, text), true);
  text[0] ^= 1;
  assert.equal(await crypto.subtle.verify("Ed25519", key.publicKey, bytes, text), false);
  console.log("WebCrypto verifies a passport's signature");
}
