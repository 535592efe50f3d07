-- One text for SQLite and PostgreSQL: TEXT and BIGINT only. Times are milliseconds since
-- 1970, truth values 0 and 1, lists and objects JSON, keys standard base64.

CREATE TABLE service (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row. Whoever changes what gates see takes the next number here first, and so waits
-- for whoever did before: numbers become visible in their order.
CREATE TABLE trust_clock (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL,
    revocations_number BIGINT NOT NULL,
    revoked_count BIGINT NOT NULL,
    revoked_digest BIGINT NOT NULL
);
INSERT INTO trust_clock VALUES (1, 0, 0, 0, 0);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- purpose: passports, badges, trust. owner: an issuer's id, a gate's id, or 'service'.
CREATE TABLE signing_keys (
    purpose TEXT NOT NULL,
    owner TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    sealed_seed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- from when it signs, and until when what it signed is taken
    signs_from BIGINT NOT NULL,
    not_after BIGINT,
    PRIMARY KEY (purpose, owner, key_id)
);

CREATE TABLE issuers (
    issuer_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    domain TEXT,
    trust_tier BIGINT NOT NULL,
    actions TEXT NOT NULL,
    metadata TEXT NOT NULL,
    domain_challenge TEXT,
    domain_verified_at BIGINT,
    certified_at BIGINT,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE TABLE gates (
    gate_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    profile TEXT NOT NULL,
    allow_self_issued BIGINT NOT NULL,
    is_discoverable BIGINT NOT NULL,
    current_catalog_version BIGINT,
    -- what an operator configures beside: authorities, routes, …
    config TEXT,
    snapshot_number BIGINT NOT NULL,
    snapshot_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE TABLE gate_keys (
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    key_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    not_after BIGINT,
    PRIMARY KEY (gate_id, key_id)
);

CREATE TABLE enrolment_tokens (
    hash TEXT PRIMARY KEY,
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE passports (
    passport_id TEXT PRIMARY KEY,
    -- the id of the issuer at its root
    issuer_id TEXT NOT NULL,
    gate_id TEXT,
    agent_id TEXT NOT NULL,
    agent_name TEXT,
    public_key TEXT NOT NULL,
    -- the key that its signature is by: its issuer's, or that of who delegated it
    signed_by TEXT NOT NULL,
    permissions TEXT NOT NULL,
    constraints TEXT NOT NULL,
    passport_json TEXT NOT NULL,
    signature TEXT NOT NULL,
    metadata TEXT NOT NULL,
    catalog_version BIGINT,
    catalog_content_hash TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX passports_by_gate ON passports (gate_id, created_at);
CREATE INDEX passports_by_issuer ON passports (issuer_id, created_at);
CREATE INDEX passports_by_agent ON passports (agent_id, created_at);

-- Signed assertions that were used, until they would be refused for their age.
CREATE TABLE used_assertions (
    passport_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (passport_id, nonce)
);

-- kind: p passport, b badge, a agent. The fingerprint's 64 bits, the highest inverted, so
-- that the order of signed numbers is theirs.
CREATE TABLE revocations (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    id TEXT NOT NULL,
    fingerprint BIGINT NOT NULL,
    reason TEXT,
    revoked_at BIGINT NOT NULL,
    -- from when it matters no more, as what it is about has expired
    moot_at BIGINT,
    PRIMARY KEY (kind, issuer, id)
);
CREATE INDEX revocations_by_fingerprint ON revocations (fingerprint);
CREATE INDEX revocations_by_time ON revocations (revoked_at);

CREATE TABLE revocation_changes (
    number BIGINT NOT NULL,
    fingerprint BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (number, fingerprint)
);

-- Agents of the CapiscIO registry. status: active, disabled, suspended.
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    did TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    domain TEXT,
    trust_level TEXT NOT NULL,
    public_key TEXT,
    status TEXT NOT NULL,
    disabled_at BIGINT,
    reason TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE badges (
    jti TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    trust_level TEXT NOT NULL,
    ial TEXT NOT NULL,
    audience TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    reason TEXT,
    -- the number of the change that revoked it: the order of the feed
    revoked_number BIGINT UNIQUE
);
CREATE INDEX badges_by_subject ON badges (subject, issued_at);
CREATE INDEX badges_by_expiry ON badges (expires_at);

CREATE TABLE badge_challenges (
    challenge_id TEXT PRIMARY KEY,
    did TEXT NOT NULL,
    nonce TEXT NOT NULL UNIQUE,
    proof_aud TEXT NOT NULL,
    htu TEXT NOT NULL,
    badge_ttl BIGINT NOT NULL,
    badge_aud TEXT NOT NULL,
    account TEXT NOT NULL,
    client_ip TEXT NOT NULL,
    failures BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    issued_badge_jti TEXT
);
CREATE INDEX badge_challenges_by_did ON badge_challenges (did, created_at);
CREATE INDEX badge_challenges_by_account ON badge_challenges (account, created_at);
CREATE INDEX badge_challenges_by_ip ON badge_challenges (client_ip, created_at);
CREATE INDEX badge_challenges_by_time ON badge_challenges (created_at);

-- Registries of others, followed in the background.
CREATE TABLE followed_issuers (
    origin TEXT PRIMARY KEY,
    tier BIGINT NOT NULL,
    actions TEXT NOT NULL,
    minimum_level TEXT,
    compatibility TEXT NOT NULL,
    -- what was last seen: keys [{key_id, public_key}], and where the feed was left
    keys TEXT NOT NULL,
    keys_seen_at BIGINT,
    feed_cursor TEXT,
    -- when its revocations and its agents' status were last known to be complete
    synced_at BIGINT,
    last_error TEXT,
    last_error_at BIGINT,
    -- in a row; and when to look again, or until when an instance looks
    failures BIGINT NOT NULL DEFAULT 0,
    look_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Agents of followed registries whose status is asked for, and did:web documents: their
-- keys are [{key_id, public_key, authentication}], the last a truth value of JSON.
CREATE TABLE followed_agents (
    origin TEXT NOT NULL,
    did TEXT NOT NULL,
    status TEXT,
    seen_at BIGINT,
    last_error TEXT,
    PRIMARY KEY (origin, did)
);

CREATE TABLE did_documents (
    did TEXT PRIMARY KEY,
    keys TEXT NOT NULL,
    seen_at BIGINT,
    last_error TEXT,
    failures BIGINT NOT NULL DEFAULT 0,
    look_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
