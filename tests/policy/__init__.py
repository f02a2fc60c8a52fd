"""`/policy` and what writes have to keep to: policies, schemas, and the process that holds documents against them."""
