"""`chatbot completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Final

import click

#: Shell -> the file that it reads by itself, in most set-ups.
PLACES: Final = {
    "bash": "~/.local/share/bash-completion/completions/chatbot",
    "zsh": '"${fpath[1]}/_chatbot"',
    "fish": "~/.config/fish/completions/chatbot.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(PLACES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes your shell complete the commands and options of `chatbot`.

    Put it where your shell looks (make the directory first if there is none), and open another shell.

    \b
    Example:
        chatbot completion bash > ~/.local/share/bash-completion/completions/chatbot
        chatbot completion zsh > "${fpath[1]}/_chatbot"
        chatbot completion fish > ~/.config/fish/completions/chatbot.fish
        source <(chatbot completion bash)    # in this shell only
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise click.ClickException(f"this version of click knows nothing of {shell}")
    root = context.find_root()
    click.echo(script(root.command, {}, "chatbot", "_CHATBOT_COMPLETE").source())
    # At the end: zsh looks for #compdef in the first line.
    click.echo(f"# To install: chatbot completion {shell} > {PLACES[shell]}")
