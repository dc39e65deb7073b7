"""The live system: service, worker, infrastructure, load and the local way of running them."""
