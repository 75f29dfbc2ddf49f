"""A virtual clock over the policy that decides who goes next: no queue, no backend, no waiting."""
