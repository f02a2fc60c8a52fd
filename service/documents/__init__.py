"""`/config/…`: documents, their listing and atomic batches."""
