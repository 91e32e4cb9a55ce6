"""Controllers that keep jobs, pods and their Workloads true to one another, in any body that has `Objects`.

What the platform itself does (jobs make pods, templates make claims) is not here: a real cluster brings it, an embedded
one has its own.
"""
