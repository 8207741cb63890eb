"""Sealed secrets: bound to their place, readable through a rotation, silent about themselves."""

from __future__ import annotations

import base64
import os

import pytest

from worker.vault import Vault, VaultError, generate, parse

PLACE = "webhooks.url_sealed:0192f0c1"


@pytest.fixture
def vault() -> Vault:
    return parse(generate("k1"))


@pytest.mark.parametrize("value", ["", "sk_live_1", "ä€😀", "x" * 100_000])
def test_what_is_sealed_opens_in_its_place(vault: Vault, value: str) -> None:
    sealed = vault.seal(value, PLACE)
    assert sealed.startswith("v1:k1:")
    assert not value or value not in sealed
    assert vault.open(sealed, PLACE) == value


def test_the_same_value_is_never_sealed_the_same(vault: Vault) -> None:
    assert len({vault.seal("x", PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "elsewhere",
    ["webhooks.url_sealed:0192f0c2", "webhooks.secrets:0192f0c1", "integrations.url_sealed:0192f0c1", "", PLACE + " "],
)
def test_moved_to_another_row_or_column_it_does_not_open(vault: Vault, elsewhere: str) -> None:
    sealed = vault.seal("sk_live_1", PLACE)
    vault.open(sealed, PLACE)  # what was opened once is remembered; not for another place
    with pytest.raises(VaultError, match="cannot be opened: key 'k1' is another one, or the value was moved here"):
        vault.open(sealed, elsewhere)


def test_every_changed_byte_is_noticed(vault: Vault) -> None:
    raw = base64.urlsafe_b64decode(vault.seal("sk", PLACE).split(":")[2])
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(VaultError):
            vault.open(f"v1:k1:{base64.urlsafe_b64encode(changed).decode()}", PLACE)


@pytest.mark.parametrize("nonsense", ["", "plain text", "v1:k1", "v1:k1:ä", "v1:k1:", "v1:k1:AAAA", "v1:k1:A"])
def test_what_is_not_sealed_is_named_by_its_place(vault: Vault, nonsense: str) -> None:
    with pytest.raises(VaultError, match=PLACE):
        vault.open(nonsense, PLACE)


def test_another_key_of_the_same_name_is_noticed(vault: Vault) -> None:
    with pytest.raises(VaultError, match="key 'k1' is another one"):
        parse(generate("k1")).open(vault.seal("x", PLACE), PLACE)


def test_a_missing_key_is_asked_for(vault: Vault) -> None:
    sealed = vault.seal("x", PLACE)
    with pytest.raises(VaultError, match=f"{PLACE} is sealed with key 'k1': add that key to MESH_ENCRYPTION_KEYS."):
        parse(generate("k2")).open(sealed, PLACE)
    with pytest.raises(VaultError, match="add that key"):
        vault.open("v2" + sealed[2:], PLACE)


def test_through_a_rotation_everything_stays_readable() -> None:
    one, two = generate("k1"), generate("k2")
    before, during, after = parse(one), parse(f"{two},{one}"), parse(two)
    old = before.seal("old", PLACE)
    assert during.open(old, PLACE) == "old"
    new = during.seal("new", PLACE)
    assert new.startswith("v1:k2:")
    assert after.open(new, PLACE) == "new"
    assert parse(f"{one},{two}").open(new, PLACE) == "new", "workers that have both keys, in any order"
    with pytest.raises(VaultError, match="'k1'"):
        after.open(old, PLACE)


def test_spaces_and_commas_around_keys_do_no_harm() -> None:
    assert parse(f" {generate('a')} , ,{generate('b')},").sealing_key == "a"


def urlsafe(count: int) -> str:
    return base64.urlsafe_b64encode(os.urandom(count)).decode()


@pytest.mark.parametrize(
    "bad",
    ["k1", "k1:", ":", "k1:short", f"k1:{urlsafe(31)}", f"k1:{urlsafe(33)}", f":{urlsafe(32)}"],
    ids=["no colon", "no key", "nothing", "no key at all", "too short", "too long", "no name"],
)
def test_bad_keys_are_refused_in_a_sentence_that_does_not_show_them(bad: str) -> None:
    with pytest.raises(VaultError, match="`mesh keys generate` makes one") as caught:
        parse(bad)
    assert len(bad) < 9 or bad[3:] not in str(caught.value)


@pytest.mark.parametrize("nothing", ["", " ", ","])
def test_no_key_at_all(nothing: str) -> None:
    with pytest.raises(VaultError, match="MESH_ENCRYPTION_KEYS is not set"):
        parse(nothing)


def test_no_secret_in_what_a_person_sees(vault: Vault) -> None:
    sealed = vault.seal("sk_live_planted", PLACE)
    vault.open(sealed, PLACE)
    for shown in (repr(vault), str(vault), repr(vault.open), str(vars(vault))):
        assert "planted" not in shown
