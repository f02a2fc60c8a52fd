"""What an instance tells of itself and of the others: `/members/…`, readiness, metrics."""
