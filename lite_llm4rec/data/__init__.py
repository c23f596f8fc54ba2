"""Tables → histories → batches."""
