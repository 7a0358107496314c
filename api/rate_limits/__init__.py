"""Rate limits: the counters of a request, and the headers that report them."""
