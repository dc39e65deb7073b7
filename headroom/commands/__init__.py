"""The commands of the CLI, a file for each of its subjects."""
