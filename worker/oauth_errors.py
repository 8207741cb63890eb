"""What may stand between a login and a connected account; each says in one sentence what to do.

OAuthError
├── SettingMissing          our app's id or secret at the provider is not set
├── StateRefused            the callback does not belong to a login that may be finished; nothing was changed by it
│   ├── UnknownState
│   ├── ExpiredState
│   ├── UsedState           a replay
│   └── OtherBrowser
├── Cancelled               the person said no
├── CodeRefused             the provider took the code for used or expired
├── WrongSecret             the provider does not take our app's id with that secret
├── ProviderDown            no usable answer: nothing was stored
├── ProviderRefused         any other no of the provider
├── MissingPermissions      the person took away what we need
└── NoUsableAccount         the login reaches no account that can be used
"""

from __future__ import annotations

from worker.accounts import AccountError


class OAuthError(AccountError):
    """An account could not be connected by a login."""


class SettingMissing(OAuthError):
    """Our app's id or secret at the provider is not set."""


class StateRefused(OAuthError):
    """The callback does not belong to a login that may be finished."""


class UnknownState(StateRefused):
    """Nobody began this login here."""


class ExpiredState(StateRefused):
    """It was begun too long ago."""


class UsedState(StateRefused):
    """It was finished before."""


class OtherBrowser(StateRefused):
    """Another browser began it."""


class Cancelled(OAuthError):
    """The person did not allow it."""


class CodeRefused(OAuthError):
    """The provider did not take the code that the browser brought."""


class WrongSecret(OAuthError):
    """The provider did not take our app's id and secret."""


class ProviderDown(OAuthError):
    """The provider gave no usable answer."""


class ProviderRefused(OAuthError):
    """The provider said no."""


class MissingPermissions(OAuthError):
    """The grant lacks permissions that we need."""


class NoUsableAccount(OAuthError):
    """The login reaches no account that can be used."""
