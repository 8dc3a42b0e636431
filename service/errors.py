"""Errors for callers inside the house; what each becomes on the wire is decided in `service.web.problems` alone.

LogoutdError
├── InvalidRequest              the message is malformed (names what was wrong)
│   ├── UnsupportedMediaType    it is not in the format this endpoint reads
│   ├── InvalidClientMetadata   a client's registration cannot be honoured (RFC 7591 section 3.2.2)
│   └── InvalidGrant            a refresh token is not honoured, or not for this client (RFC 6749 section 5.2)
├── NotAuthenticated            the caller did not prove who it is
├── NotAllowed                  the caller is known and may not
├── NotFound                    no such thing, or not for this caller
├── Conflict                    the thing stands in the way of another
├── ReauthenticationRequired    the sign-in is older than the person's last revocation
├── CannotBeEnded               the subject is known and cannot be signed out (GTR "Revocation Response", 422)
├── TooManyRequests             whoever asks has asked too often: try again later
│   └── TooManyAtOnce           the same, for a caller that gives up what is refused with 4xx
└── Unavailable                 Redis or the keys cannot be reached: try again
    ├── KeysUnavailable         it is the identity provider's keys
    └── Held                    the connection has asked to sign out more people than it may, and an operator has to look
"""


class LogoutdError(Exception):
    """Base of every error a caller may act upon. `str(error)` is safe to show: no token, no secret, no raw e-mail."""


class InvalidRequest(LogoutdError):
    """The message is malformed; the text names the member and what was expected."""


class UnsupportedMediaType(InvalidRequest):
    """The body is not in the format this endpoint reads."""


class InvalidClientMetadata(InvalidRequest):
    """A client's registration holds a value that cannot be honoured (RFC 7591 section 3.2.2)."""


class InvalidGrant(InvalidRequest):
    """A refresh token is not honoured, or not for this client; why is nobody's business (RFC 6749 section 5.2)."""


class NotAuthenticated(LogoutdError):
    """The caller did not prove who it is.

    `reason` is a stable code for logs and metrics, such as `bad_signature`; the text is for the caller.
    """

    def __init__(self, message: str, *, reason: str, error: str = "invalid_token", scheme: str = "Bearer") -> None:
        super().__init__(message)
        self.reason = reason
        self.error = error
        self.scheme = scheme


class NotAllowed(LogoutdError):
    """The caller is known and may not do this."""


class NotFound(LogoutdError):
    """There is no such thing, or none this caller may know of."""


class Conflict(LogoutdError):
    """What is asked for collides with what exists."""


class ReauthenticationRequired(Conflict):
    """The person was signed out at or after the moment they authenticated; they have to authenticate again."""


class CannotBeEnded(LogoutdError):
    """The subject is known and cannot be signed out."""


class TooManyRequests(LogoutdError):
    """Whoever asks has asked too often. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyAtOnce(TooManyRequests):
    """Whoever asks has asked too often, and would never ask again after a 4xx: it is answered 503."""


class Unavailable(LogoutdError):
    """Something this answer depends on cannot be reached. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WrongRecord(Unavailable):
    """Redis answers, and what it holds under one of these keys is of another kind than is to be stored there: asking again finds
    the same, and asking for the others alone does not."""


class KeysUnavailable(Unavailable):
    """An identity provider's keys cannot be fetched: there is no telling whether what it is said to have signed is true."""


class Held(Unavailable):
    """The connection's revocations are held until an operator releases them; this one is not in force. `kept`: it is put into
    force when they are, if the operator wants it so."""

    def __init__(self, message: str, *, retry_after: int, kept: bool) -> None:
        super().__init__(message, retry_after=retry_after)
        self.kept = kept
