"""The commands of t4 as they describe themselves: `t4 --experimental-dump-help`, read into plain objects.

Man pages and completions are made from it, so that neither can lack a command or a flag. The settings of `t4 run` are no
flags to the argument parser; they are read out of that command's help text, whose shape `Configuration.flagHelp` gives.
"""

import json
import re
import sys


class Option:
    """A flag or an option: its names with dashes, what stands behind it, and what it does."""

    def __init__(self, names, placeholder, summary, default="", environment="", key=""):
        # The short one first.
        self.names = names
        # Empty for a flag that takes no value.
        self.placeholder = placeholder
        self.summary = summary
        self.default = default
        self.environment = environment
        self.key = key
        self.is_required = False

    @property
    def is_switch(self):
        """True for one that may stand alone."""
        return not self.placeholder or self.placeholder.startswith("[=")

    @property
    def choices(self):
        """The values that its help names, where these are all there are."""
        text = self.placeholder.removeprefix("[=").removesuffix("]")
        return text.split("|") if "|" in text and text == text.lower() else []

    @property
    def brief(self):
        """The first sentence of what it does, without its full stop."""
        return re.split(r"(?<=[a-z0-9)\]\"])[.:;] ", self.summary)[0].removesuffix(".")

    @property
    def takes_path(self):
        return bool(PATH.search(self.placeholder) or PATH.search(self.names[-1].upper().replace("-", "_")))


PATH = re.compile(r"(^|_)(FILE|DIRECTORY|DIR|PATH|CA|CERT|CACERT|KEY|CONFIG)$")


class Command:
    """One command: `words` is what is typed, `("t4", "restore", "list")` for instance."""

    def __init__(self, words, abstract, paragraphs, options, positionals, children, takes_settings):
        self.words = words
        self.abstract = abstract
        self.paragraphs = paragraphs
        self.options = options
        self.positionals = positionals
        self.children = children
        self.takes_settings = takes_settings

    @property
    def name(self):
        return self.words[-1]

    @property
    def page(self):
        return "-".join(self.words)

    @property
    def tree(self):
        """This command and all below it."""
        return [self] + [command for child in self.children for command in child.tree]

    @property
    def exit_codes(self):
        """What its help says of them, without the words in front."""
        for paragraph in self.paragraphs:
            if paragraph.startswith("Exit codes: "):
                return paragraph.removeprefix("Exit codes: ")
        return ""


def load(file):
    """The command t4 out of a dump; the second value is the list of settings."""
    dump = json.load(file)
    if dump["serializationVersion"] != 0:
        sys.exit("commands.py: the dump is of a version that this script does not know")
    root = read_command(dump["command"], ())
    run = next(child for child in root.children if child.name == "run")
    settings, run.options = run.options, [option for option in run.options if "--help" in option.names]
    settings = [option for option in settings if "--help" not in option.names]
    if len(settings) < 50 or any(not option.environment for option in settings):
        sys.exit("commands.py: the settings cannot be read out of the help of `t4 run`; has its shape changed?")
    for command in root.tree:
        if command.takes_settings:
            command.options = [option for option in command.options if "--config" not in option.names]
    return root, settings


def read_command(node, above):
    words = (*above, node["commandName"])
    paragraphs, listed = split_discussion(node.get("discussion", ""))
    options, positionals = [], []
    for argument in node.get("arguments", []):
        if not argument["shouldDisplay"]:
            continue
        if argument["kind"] == "positional":
            positionals.append(argument)
        else:
            options.append(read_option(argument))
    # What a command takes as it is goes to the reader of settings.
    takes_settings = any(
        argument["parsingStrategy"] == "allRemainingInput" and not argument["shouldDisplay"]
        for argument in node.get("arguments", [])
    )
    children = [
        read_command(child, words)
        for child in node.get("subcommands", [])
        if child["shouldDisplay"] and child["commandName"] != "help"
    ]
    return Command(words, node.get("abstract", ""), paragraphs, listed + options, positionals, children, takes_settings)


def read_option(argument):
    names = ["-" * (1 if name["kind"] == "short" else 2) + name["name"] for name in argument["names"]]
    names.sort(key=len)
    placeholder = "" if argument["kind"] == "flag" else argument.get("valueName", "value").upper().replace("-", "_")
    summary = argument.get("abstract", "")
    summary, environment = take(r" ?Environment: (T4_[A-Z0-9_]+)\.", summary)
    option = Option(names, placeholder, summary, argument.get("defaultValue", ""), environment)
    option.is_required = not argument["isOptional"] and not option.default and bool(placeholder)
    return option


def take(pattern, text):
    """The text without what the pattern finds, and the pattern's first group."""
    found = re.search(pattern, text)
    if not found:
        return text, ""
    return (text[: found.start()] + text[found.end() :]).strip(), found.group(1)


def split_discussion(text):
    """Paragraphs of a help text, and the flags that it lists:

      --name PLACEHOLDER
          What it does, in lines of their own.
    """
    paragraphs, options, lines, current = [], [], [], None
    for line in text.split("\n") + [""]:
        head = re.fullmatch(r"  (--[a-z0-9-]+)(?: ?(\S.*))?", line)
        if head:
            current = Option([head.group(1)], head.group(2) or "", "")
            options.append(current)
        elif current and line.startswith("      "):
            current.summary = f"{current.summary} {line.strip()}".strip()
        elif re.fullmatch(r"  [A-Z]+", line):
            # A word for what is explained elsewhere, with lines of its own: no flag.
            current = Option([], "", "")
        elif line.strip():
            lines.append(line.strip())
            current = None
        elif lines:
            paragraphs.append(" ".join(lines))
            lines = []
    for option in options:
        option.summary, option.key = take(r" ?File: ([A-Za-z0-9_.-]+)\.$", option.summary)
        option.summary, option.environment = take(r" ?Environment: (T4_[A-Z0-9_]+)\.$", option.summary)
        option.summary, option.default = take(r" ?Default: (.*)\.$", option.summary)
    return paragraphs, options
