"""`instdata reproduce`: the protocols of BELLE and DoIT, at any scale, each element said to be done or to differ."""
