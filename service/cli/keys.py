"""`logoutd keys …`: our signing keys."""

import json

import typer

keys = typer.Typer(help="Our signing keys.", no_args_is_help=True)


@keys.command("generate")
def keys_generate() -> None:
    """Print new private keys as a JWKS, one for each algorithm: the content of LOGOUTD_SIGNING_KEYS_FILE."""
    from service.keys.generate import generate_signing_keys  # noqa: PLC0415 - it takes its time to load

    print(json.dumps(generate_signing_keys(), indent=2))
