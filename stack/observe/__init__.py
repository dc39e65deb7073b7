"""What the machine does while the stack runs: CPU per process, steal, foreign work, facts."""
