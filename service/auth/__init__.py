"""Who may do what: tokens, where they come from, and the door that asks for them."""
