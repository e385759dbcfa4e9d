"""Holds the manual page and the completions of bash, zsh and fish against what `--help` says.

    pages_check.py COMMAND

Asks COMMAND for the help of every subcommand; each option, subcommand and argument named there must
stand in its section of the page, and each shell, asked at that place of a command line, must offer it.
The shells are the real ones, with the scripts that COMMAND prints.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

OPTION = re.compile(r"^ +(-[\w,-]*-[\w-]+|-\w)(?= |$)", re.MULTILINE)
COMMAND_LINE = re.compile(r"^  ([a-z][\w-]*) ", re.MULTILINE)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{command[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def section(text, title):
    match = re.search(rf"^{title}:\n(.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else ""


class Place:
    """A command and what its --help names."""

    def __init__(self, tailrace, words):
        text = run(tailrace, *words, "--help")
        self.words = words
        self.options = sorted({name for names in OPTION.findall(text)
                               for name in names.split(",") if name.startswith("--")})
        self.commands = COMMAND_LINE.findall(section(text, "Subcommands") + "\n")
        self.arguments = COMMAND_LINE.findall(section(text, "Positionals") + "\n")


def places(tailrace, words=()):
    here = Place(tailrace, words)
    yield here
    for name in here.commands:
        yield from places(tailrace, words + (name,))


def check_page(tailrace, found):
    source = run(tailrace, "man")
    warnings = subprocess.run(["groff", "-man", "-ww", "-z"], input=source, text=True,
                              capture_output=True, check=True).stderr
    if warnings:
        sys.exit(f"groff says of the page:\n{warnings}")
    text = re.sub(r"\\f[BIR]|\\&", "", source).replace("\\-", "-").replace("\\e", "\\")
    sections = {tuple(title.split()): body
                for title, body in re.findall(r'^\.SS "([^"\n]*)"\n(.*?)(?=^\.S[SH] |\Z)', text,
                                              re.MULTILINE | re.DOTALL)}
    options = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH ", text, re.MULTILINE | re.DOTALL).group(1)
    for place in found:
        title = ("tailrace", *place.words)
        bodies = [options] if not place.words else [
            " ".join(known) + "\n" + body for known, body in sections.items()
            if known[:len(title)] == title and
            all(word.strip("[]") in place.arguments for word in known[len(title):])]
        if not bodies:
            yield f"man: no section for {' '.join(title)}"
        for name in place.options + place.arguments:
            if not any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", body)
                       for body in bodies):
                yield f"man: {' '.join(title)}: {name} is missing"


def questions(found):
    """(words of a command line, what must be offered at its end)"""
    for place in found:
        yield place.words + ("--",), place.options
        if place.commands:
            yield place.words + ("",), place.commands
    yield ("--durability", ""), ["sync", "buffered"]
    yield ("stat", "--durability", "b"), ["buffered"]
    yield ("--store", "tables", "tables", ""), ["create", "list"]  # The first is a directory.


def ask_bash(tailrace, asked, scratch):
    script = run(tailrace, "completion", "bash")
    for words in asked:
        line = " ".join(f"'{word}'" for word in ("tailrace", *words))
        script += (f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; COMPREPLY=(); _tailrace\n"
                   'echo "${COMPREPLY[*]}"\n')
    file = scratch / "ask.bash"
    file.write_text(script)
    return [line.split() for line in run("bash", "--norc", str(file)).split("\n")]


def ask_fish(tailrace, asked, scratch):
    script = run(tailrace, "completion", "fish")
    for words in asked:
        script += f"complete -C 'tailrace {' '.join(words)}' | string replace -r '\\t.*' ''\n"
        script += "echo .\n"
    file = scratch / "ask.fish"
    file.write_text(script)
    said = run("fish", "--no-config", str(file), env={"HOME": str(scratch), "PATH": "/usr/bin:/bin"})
    return [answer.split() for answer in said.split("\n.\n")]


ZSH = r"""
zmodload zsh/zpty
zpty asked zsh -f -i
say() { zpty -w -n asked "$1" }
until_mark() {
  local part; answer=
  while zpty -r asked part; do
    answer+=$part
    [[ $answer == *"<<$1>>"* ]] && return
  done
}
say $'PROMPT= ZLE_RPROMPT_INDENT=0 COLUMNS=100 LINES=500 LISTMAX=100000; unsetopt zle_bracketed_paste 2> /dev/null\n'
say $'fpath=('$1$' $fpath); autoload -Uz compinit && compinit -u -d '$1$'/dump\n'
say $'zstyle ":completion:*" list-separator "#"; zstyle ":completion:*" menu no; setopt nobeep\n'
say $'show() { zle list-choices; zle -R; print "<<"$((++shown))">>"; BUFFER=; }\n'
say $'zle -N show; bindkey "^T" show; print "<<"ready">>"\n'
until_mark ready
count=0
while IFS= read -r line; do
  say "$line"$'\x14'
  until_mark $((++count))
  print -r -- ${answer//[$'\r\n']/ }
done
"""


def ask_zsh(tailrace, asked, scratch):
    (scratch / "_tailrace").write_text(run(tailrace, "completion", "zsh"))
    file = scratch / "ask.zsh"
    file.write_text(ZSH)
    lines = "".join(f"tailrace {' '.join(words)}\n" for words in asked)
    said = run("zsh", "-f", str(file), str(scratch), input=lines,
               env={"HOME": str(scratch), "PATH": "/usr/bin:/bin", "TERM": "dumb"})
    return [re.sub(r"\x1b\[[\d;?]*[A-Za-z]|.\x08", "", line).split()
            for line in said.split("\n")]


def check_shell(name, ask, tailrace, found):
    asked = list(questions(found))
    with tempfile.TemporaryDirectory(prefix="tailrace-pages-") as directory:
        answers = ask(tailrace, [words for words, _ in asked], pathlib.Path(directory))
    for (words, expected), answer in zip(asked, answers, strict=False):
        missing = sorted(set(expected) - set(answer))
        if missing:
            yield f"{name}: `tailrace {' '.join(words)}` is not offered {missing}, but {answer}"
    if len(answers) < len(asked):
        yield f"{name}: {len(asked)} questions, {len(answers)} answers"


def main():
    tailrace = sys.argv[1]
    found = list(places(tailrace))
    problems = list(check_page(tailrace, found))
    for name, ask in (("bash", ask_bash), ("fish", ask_fish), ("zsh", ask_zsh)):
        problems += check_shell(name, ask, tailrace, found)
    named = sum(len(place.options) + len(place.commands) for place in found)
    print(f"{len(found)} commands, {named} options and subcommands, {len(problems)} problems")
    if problems:
        sys.exit("\n".join(problems))
    if len(found) < 20:
        sys.exit("that is too few to be all")


if __name__ == "__main__":
    main()
