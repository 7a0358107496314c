"""Everything that crosses a process boundary: payloads, activity stubs, names, timeouts and retry policies.

Payloads must be able to decode old histories: new fields need defaults, and no field is renamed or removed.
"""
