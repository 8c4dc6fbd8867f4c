"""How sure a network is of a photo's colours: the likeliest, where a hint tells most, when to doubt."""
