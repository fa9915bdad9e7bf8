"""Use cases: order, policy, retries."""
