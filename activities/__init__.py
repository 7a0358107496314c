"""One thing each, idempotent, thin: drive a driver, write a record. The composition root gives them their parts."""
