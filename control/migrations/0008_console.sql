-- Who is signed in at the console, and what proxies of gates have taken up. Both are of
-- minutes, and no backup has them.

-- Links that sign in once.
CREATE TABLE console_links (
    -- standard base64 of the SHA-256 of the link's token
    hash TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    -- the key was made for this link, and ends with what it began
    own_key BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE console_sessions (
    -- standard base64 of the SHA-256 of the cookie's token
    hash TEXT PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    own_key BIGINT NOT NULL,
    -- the origin of the page that signed in, and that alone may change something
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- when a person last did something, to the minute
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX console_sessions_by_key ON console_sessions (key_id, seen_at);
CREATE INDEX console_sessions_by_end ON console_sessions (expires_at);

-- What each proxy of a gate had when it last asked: one row for each key and address.
CREATE TABLE gate_proxies (
    gate_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    address TEXT NOT NULL,
    snapshot_number BIGINT NOT NULL,
    revocations_number BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    -- the time in the head that it was last answered with
    head_at BIGINT NOT NULL,
    PRIMARY KEY (gate_id, key_id, address)
);
CREATE INDEX gate_proxies_by_time ON gate_proxies (seen_at);
