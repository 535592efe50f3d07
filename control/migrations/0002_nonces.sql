-- What was used once at a gate, by the word of its proxies: base64url of the thumbprint of
-- the agent's key, and of the SHA-256 of the nonce. Times in milliseconds.
CREATE TABLE gate_nonces (
    gate_id TEXT NOT NULL,
    agent_key TEXT NOT NULL,
    nonce TEXT NOT NULL,
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (gate_id, agent_key, nonce)
);
CREATE INDEX gate_nonces_by_end ON gate_nonces (forget_at);
