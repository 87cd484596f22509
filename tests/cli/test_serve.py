"""``serve`` and ``token`` as commands; tests/http runs a server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bruno_memory_vec.surfaces.http.tokens import Tokens
from tests.cli.support import run_here


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    return str(tmp_path / "tokens.json")


@pytest.mark.skipif(os.name != "posix", reason="rights of a group are POSIX's")
@pytest.mark.parametrize("server", [("serve", "--host"), ("mcp", "--http", "--host")], ids=str)
def test_what_others_may_do_with_the_file_of_tokens_is_told(
    tmp_path: Path, tokens: str, server: tuple[str, ...]
) -> None:
    Tokens(tokens).create("ana")
    asked = (*server, "192.0.2.1", "--store", str(tmp_path / "store"), "--tokens", tokens)
    assert "other users" not in run_here(*asked).err
    os.chmod(tokens, 0o644)
    done = run_here(*asked)
    assert f"warning: other users of this machine may read {tokens}" in done.err
    assert "192.0.2.1" in done.err  # it goes on
    os.chmod(tokens, 0o664)
    done = run_here(*asked)
    assert done.code == 1
    assert "may be written by other users" in done.err
    assert f"chmod 600 {tokens}" in done.err
    assert "192.0.2.1" not in done.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_it_listens_for_others_only_with_tokens(tmp_path: Path, host: str) -> None:
    done = run_here("serve", "--store", str(tmp_path / "store"), "--host", host, "--json")
    assert done.code == 2
    assert "nothing says who may call" in done.json["error"]["message"]
    assert "--tokens FILE" in done.json["error"]["fix"]
    assert not (tmp_path / "store").exists()


def test_a_proxy_is_named_by_its_address_and_brings_others(tmp_path: Path, tokens: str) -> None:
    asked = ("serve", "--store", str(tmp_path / "store"), "--trust-proxy")
    done = run_here(*asked, "127.0.0.1", "--json")
    assert done.code == 2
    assert "the proxy passes calls on from other machines" in done.json["error"]["message"]
    Tokens(tokens).create("ana")
    done = run_here(*asked, "caddy", "--tokens", tokens)
    assert done.code == 1
    assert "'caddy', which is no address and no network" in done.err
    assert not (tmp_path / "store").exists()


def test_an_address_that_cannot_be_listened_on_is_told(tmp_path: Path, tokens: str) -> None:
    Tokens(tokens).create("ana")
    done = run_here(
        *("serve", "--store", str(tmp_path / "store"), "--host", "192.0.2.1", "--tokens", tokens)
    )
    assert done.code == 1
    assert "cannot listen on 192.0.2.1" in done.err


def test_a_certificate_has_to_be_there(tmp_path: Path) -> None:
    done = run_here("serve", "--store", str(tmp_path), "--certificate", str(tmp_path / "no.pem"))
    assert done.code == 2
    assert "no.pem" in done.err
    done = run_here("serve", "--store", str(tmp_path), "--certificate-key", __file__)
    assert "--certificate-key needs --certificate" in done.err
    done = run_here("serve", "--store", str(tmp_path), "--certificate", __file__)
    assert done.code == 1
    assert "holds no certificate" in done.err


def test_a_token_is_shown_once_and_revoked(tokens: str) -> None:
    made = run_here("token", "--tokens", tokens, "--user", "ana", "--days", "3")
    assert made.code == 0
    text = made.out.strip()
    assert Tokens(tokens).check(text) is not None
    assert "shown only this once" in made.err

    second = run_here(
        *("token", "--tokens", tokens, "--user", "ben", "--role", "reader", "--name", "screen"),
        *("--space", "team=read", "--json"),
    ).json
    assert (second["user_id"], second["role"], second["spaces"]) == (
        "ben",
        "reader",
        {"team": "read"},
    )
    assert "sha256" not in second

    shown = run_here("token", "--tokens", tokens, "--list")
    assert "screen" in shown.out
    assert text not in shown.out
    listed = run_here("token", "--tokens", tokens, "--list", "--json").json["tokens"]
    assert [one["name"] for one in listed] == ["ana 1", "screen"]

    assert run_here("token", "--tokens", tokens, "--revoke", "screen").code == 0
    again = run_here("token", "--tokens", tokens, "--revoke", "screen", "--json")
    assert again.code == 1
    assert "there is no token 'screen'" in again.json["error"]["message"]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--list", "--user", "ana"),
        ("--user", "ana", "--revoke", "x"),
        ("--user", "ana", "--space", "team"),
        ("--user", "ana", "--space", "team=all"),
        ("--user", "space:team"),
        ("--user", "ana", "--days", "0"),
    ],
    ids=str,
)
def test_what_makes_no_token_is_refused(tokens: str, options: tuple[str, ...]) -> None:
    done = run_here("token", "--tokens", tokens, *options, "--json")
    assert done.code in (1, 2)
    assert done.json["error"]["message"]
    assert not Path(tokens).exists()


def test_hidden_characters_of_a_user_are_marked(tokens: str) -> None:
    Tokens(tokens).create("ana\x1b[2J\u202e", name="x")
    shown = run_here("token", "--tokens", tokens, "--list").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_broken_file_of_tokens_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"format": 9}))
    done = run_here("serve", "--store", str(tmp_path / "s"), "--tokens", str(path), "--json")
    assert done.code == 1
    assert "cannot be read as a file of tokens" in done.json["error"]["message"]
