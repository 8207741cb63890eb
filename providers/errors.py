"""Everything a provider call can raise.

ProviderError
├── Retryable                trying again may help
│   ├── RateLimited          they told us to slow down (429)
│   └── Unavailable          5xx, or the network before anything was sent
├── OutcomeUnknown           sent, no usable answer: repeat only where repeating is safe
└── Refused                  trying again cannot help
    ├── InvalidPayload       they understood and said no
    ├── Unsettled            it may have been done, and nobody can be asked: a person decides
    ├── CredentialsRejected  the account must be reconnected; its deliveries pause
    ├── AccountBlocked       quota, billing or plan: a person must act; its deliveries pause
    ├── Gone                 the endpoint no longer exists (410): it is disabled
    ├── TargetForbidden      the address is one we do not call
    └── Unsupported          this adapter has no such action
"""

from __future__ import annotations


class ProviderError(Exception):
    """One call did not do what was asked. `code` is a stable word for rows, `str()` is for people.

    `holds`: it strains what was called, whose other deliveries may have to wait too.
    """

    code = "provider_error"
    holds = True

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message or self.__class__.__doc__ or self.code)
        if code is not None:
            self.code = code


class Retryable(ProviderError):
    """Trying again later may help. `wait_s` is the provider's own word, when it gave one."""

    code = "retryable"

    def __init__(self, message: str = "", *, code: str | None = None, wait_s: float | None = None) -> None:
        super().__init__(message, code=code)
        self.wait_s = wait_s


class RateLimited(Retryable):
    """The provider told us to slow down."""

    code = "rate_limited"


class Unavailable(Retryable):
    """The provider could not take the call; `transient` faults may be gone within a second."""

    code = "unavailable"

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        wait_s: float | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message, code=code, wait_s=wait_s)
        self.transient = transient


class OutcomeUnknown(ProviderError):
    """The call was sent and no usable answer came: it may have been done."""

    code = "outcome_unknown"


class Refused(ProviderError):
    """Trying again cannot help."""

    code = "refused"


class InvalidPayload(Refused):
    """The provider understood the call and said no."""

    code = "invalid_payload"


class Unsettled(Refused):
    """It may have been done, and the provider cannot be asked: only a person may have it done again."""

    code = OutcomeUnknown.code


class CredentialsRejected(Refused):
    """The provider no longer takes these credentials: the integration must be reconnected."""

    code = "credentials_rejected"


class AccountBlocked(Refused):
    """The account's quota, billing or plan does not allow the call: a person must act at the provider."""

    code = "account_blocked"


class Gone(Refused):
    """The endpoint no longer exists."""

    code = "gone"


class TargetForbidden(Refused):
    """The address is not one that may be called."""

    code = "target_forbidden"


class Unsupported(Refused):
    """The provider has no action for this event type."""

    code = "unsupported"
