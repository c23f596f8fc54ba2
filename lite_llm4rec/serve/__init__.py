"""The HTTP service: one run folder, asked and changed while it runs. Needs the extra `serve`.

HTTP → schemas → service → batcher → served (runtime + lookup) → the caller's ids. What must outlive
the process, events and catalogue changes, goes through `store`.
"""
