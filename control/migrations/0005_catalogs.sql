-- What gates offer. Money is integer cents of US dollars.

-- The draft of a catalog, as JSON.
ALTER TABLE gates ADD COLUMN catalog_draft TEXT;

-- Which version is in force follows from the time, so no column says it.
ALTER TABLE gates DROP COLUMN current_catalog_version;

-- Published versions. They are never changed.
CREATE TABLE catalogs (
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    version BIGINT NOT NULL,
    -- RFC 8785 text, and the hexadecimal SHA-256 of it
    snapshot TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    -- over the 32 bytes of the hash, by a key of the gate's for passports
    signature TEXT NOT NULL,
    signing_key_id TEXT NOT NULL,
    change_summary TEXT,
    changes TEXT NOT NULL,
    has_breaking_changes BIGINT NOT NULL,
    -- from when on it is in force
    effective_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (gate_id, version)
);

-- What is found by its capability: the priced permissions of each gate's version in force,
-- and of those that are to come.
CREATE TABLE catalog_services (
    gate_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    permission_key TEXT NOT NULL,
    -- what comes before the first colon of the permission's name
    namespace TEXT NOT NULL,
    pricing_model TEXT NOT NULL,
    price_cents BIGINT NOT NULL,
    uptime_basis_points BIGINT,
    response_time_ms BIGINT,
    fee_basis_points BIGINT,
    PRIMARY KEY (gate_id, version, permission_key),
    FOREIGN KEY (gate_id, version) REFERENCES catalogs (gate_id, version)
);
CREATE INDEX catalog_services_by_namespace ON catalog_services (namespace, permission_key);
