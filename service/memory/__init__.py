"""How much may be held at once of what clients make grow, derived from what the container has."""
