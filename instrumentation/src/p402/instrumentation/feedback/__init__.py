"""Budgets, on the client's side: leases are held here, calls are decided here, and the collector is asked in the background.

* *question*: a request as the rules see it, with upper bounds of what it can cost;
* *client*: the guard, which decides with a lease in microseconds, or asks for one and waits for a moment;
* *leases*: what was granted, taken and spent; *settling*: how it is given back;
* *apply*: what a decision changes about a request; *refusal*: how a provider would refuse it.
"""
