"""Results as records, and the documents rendered from them."""
