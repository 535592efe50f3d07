-- What a settlement has claimed is read page by page in the order of its receipts. Found by the
-- settlement alone, each page would be all of it, sorted.
DROP INDEX settled_receipts_by_settlement;
CREATE INDEX settled_receipts_by_settlement ON settled_receipts (settlement_id, issued_at, receipt_id);
