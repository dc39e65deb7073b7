"""What the running parts share: conventions of the catalogue, indexes, connections, seeding."""
