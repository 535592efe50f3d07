-- The registered agent whose DID document is followed for it alone, and goes with it; null for one that
-- was asked for by name, or was followed before this was kept: nobody knows for whom.
ALTER TABLE did_documents ADD COLUMN agent_id TEXT;
