"""A real control plane on loopback: built from the Go module k8s.io/kubernetes, kept in the user's cache directory."""
