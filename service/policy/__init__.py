"""`/policy`: one document for the fleet, which says what keys are guarded, which schemas hold and what is kept.

Owns what the document may say, and that writes keep to it. That no write overlooks a change of it is rule 15, which
`consistency` keeps.
"""
