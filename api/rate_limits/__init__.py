"""How many requests a caller may make: which counters a request goes into, and what its answer says of them."""
