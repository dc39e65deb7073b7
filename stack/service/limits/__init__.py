"""Budgets of requests per user: the application's layer, behind the load balancer's per address."""
