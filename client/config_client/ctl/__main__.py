"""The command `configctl`: its options, its commands, and what becomes of errors."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from config_client.ctl import exits, shown
from config_client.ctl.application import Application
from config_client.ctl.applying import (
    apply_folder,
    export_folder,
    import_from,
    roll_back,
    show_difference,
    show_plan,
)
from config_client.ctl.following import run_command, wait_until, watch
from config_client.ctl.mirroring import mirror
from config_client.ctl.policies import check_policy, policy
from config_client.ctl.reading import doctor, get, grep, history, list_keys, members, tokens, tree
from config_client.ctl.writing import edit, remove, revert, set_value
from config_client.errors import ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--url", multiple=True, help="Address of the service, several times for several.  [env: CONFIG_URL]")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token.  [env: CONFIG_TOKEN_FILE]")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Certificates to trust.  [env: CONFIG_CA_FILE]")
@click.option("--cert-file", type=click.Path(path_type=Path), help="Certificate to show.  [env: CONFIG_CERT_FILE]")
@click.option("--key-file", type=click.Path(path_type=Path), help="Its key, if elsewhere.  [env: CONFIG_KEY_FILE]")
@click.option("--proxy", help="Address of a proxy.  [env: HTTP_PROXY, HTTPS_PROXY, NO_PROXY]")
@click.option("--profile", help="A profile of the file of profiles.  [env: CONFIGCTL_PROFILE]")
@click.option("--profiles", type=click.Path(path_type=Path), help="That file, instead of ~/.config/configctl.toml.")
@click.option("-o", "--output", "form", type=click.Choice(shown.FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.version_option(package_name="config-service-client")
@click.pass_context
def configctl(
    context: click.Context,
    url: tuple[str, ...],
    token_file: Path | None,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    proxy: str | None,
    profile: str | None,
    profiles: Path | None,
    form: str,
    as_json: bool,
) -> None:
    """Read, change and follow the documents of a configuration service.

    Whatever changes something shows first what it will do, and asks on a terminal; elsewhere it does it.
    """
    files = {"token_file": token_file, "ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}
    options = {"url": list(url), **files, "proxy": proxy}
    context.obj = Application(options, profile, profiles, "json" if as_json else form)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete command lines of configctl.

    For bash: configctl completion bash > ~/.local/share/bash-completion/completions/configctl
    """
    kind = get_completion_class(shell)
    assert kind is not None, "it is one of the choices"
    click.echo(kind(configctl, {}, "configctl", "_CONFIGCTL_COMPLETE").source())


COMMANDS = (
    *(get, set_value, edit, remove, list_keys, tree, grep, history, revert, members, tokens, doctor),
    *(show_difference, show_plan, apply_folder, roll_back, export_folder, import_from),
    *(watch, wait_until, mirror, run_command, policy, completion),
)
for each in COMMANDS:
    configctl.add_command(each)


def _form_here(context: click.Context, _: click.Parameter, form: str | None) -> None:
    if form is not None and isinstance(context.obj, Application):  # there is none while a shell completes
        context.obj.form = form


for each in (get, list_keys, tree, grep, history, members, tokens, doctor, show_plan, watch, check_policy):
    told = "How it is shown; it may stand before the command, too."
    form = click.Option(
        ["-o", "--output"], type=click.Choice(shown.FORMATS), expose_value=False, callback=_form_here, help=told
    )
    each.params.append(form)


def main() -> None:
    """Run a command line; exit with the code that docs/configctl.md names."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of a command line."""
    try:
        configctl.main(arguments, prog_name="configctl", standalone_mode=False)
    except ConfigError as error:
        shown.say(f"configctl: {error}")
        shown.faults(error)
        return exits.code_of(error)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        error.show()
        return exits.FAILED
    except click.Abort:
        shown.say("configctl: nothing was done")
        return exits.INTERRUPTED
    except UnicodeEncodeError as error:
        shown.say(f"configctl: {error.object!r} is not Unicode, as it has to be")
        return exits.USAGE
    except OSError as error:
        shown.say(f"configctl: {error}")
        return exits.FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exits.FAILED
    return exits.DONE


if __name__ == "__main__":
    main()
