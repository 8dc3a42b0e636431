"""The operator's side: connections, clients, people, receipts. What acts ends in `service.accept`, like every door."""
