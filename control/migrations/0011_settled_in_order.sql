-- What a settlement has claimed is read page by page in the order of its receipts. Found by the
-- settlement alone, each page would be all of it, sorted. Made before the other is dropped: until then
-- PostgreSQL lets others read.
CREATE INDEX settled_receipts_in_order ON settled_receipts (settlement_id, issued_at, receipt_id);
DROP INDEX settled_receipts_by_settlement;
