"""What crosses a process boundary: payloads, typed activity stubs, names, timeouts and retry policies.

Payloads must decode old histories: new fields only with defaults, nothing renamed or removed.
"""
