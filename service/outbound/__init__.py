"""The rules of every call that leaves us: deliveries, discovery documents, identity providers' keys.

Whom we call is written by strangers: an application registers its own address, an identity provider's document names
further ones. So a call may reach public addresses and what the operator lists, nothing else; it is encrypted unless the
operator's own network carries it; it is over within a deadline, whatever the other side does; and no word of the other
side's gets into our logs or errors.

    addresses     which addresses may be reached
    urls          which URLs are taken at registration, and again before a call
    lookups       from a name to its addresses, without waiting for ever
    certificates  an application's own certificates and key, read before they are kept
    contexts      what TLS demands of the other side and shows of us
    pools         connections, kept apart by TLS identity
    connections   where both are enforced: the resolver, and the socket about to be connected
    leftovers     what given-up handshakes would otherwise write into the log
    answers       how much of an answer is read, and which bytes are one
    failures      what became of a call that did not succeed, as a code
    client        the calls: `get_json`, `fetch_json`, `post_form`
"""

from service.outbound.addresses import AddressPolicy
from service.outbound.client import ATTEMPT_DEADLINE_S, MAX_CONNECTIONS, Fetched, Outbound, Reply, open_outbound
from service.outbound.failures import OutboundError, Reason

__all__ = [
    "ATTEMPT_DEADLINE_S",
    "MAX_CONNECTIONS",
    "AddressPolicy",
    "Fetched",
    "Outbound",
    "OutboundError",
    "Reason",
    "Reply",
    "open_outbound",
]
