"""A real API server as a body: read by list and watch into a replica, written to by patches of owned fields."""
