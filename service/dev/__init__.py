"""`logoutd dev`: everything on one machine, on real parts.

An embedded Redis that persists, the HTTP service and a worker, each a process of its own, as in production. `folder` is
what stays between two starts, `child` one process, `stack` all of them together, `run` the command. The demo and the
tests stand on `dev_stack`.
"""

from service.dev.child import Child
from service.dev.errors import DevError
from service.dev.stack import DevStack, dev_stack

__all__ = ["Child", "DevError", "DevStack", "dev_stack"]
