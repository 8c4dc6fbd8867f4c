"""Any number of photos on Ray Data: planned, recorded one by one, resumed after any stop."""
