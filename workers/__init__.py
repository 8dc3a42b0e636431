"""The second process. The path of a revocation, begun in `service`, continues here: revoke -> notify."""
