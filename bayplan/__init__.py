"""Bayplan: one joint, explainable scheduling decision for AI workloads on Kubernetes."""
