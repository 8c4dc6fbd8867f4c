"""How sure a network is of a photo's colours: likeliest colours, next hints, warnings."""
