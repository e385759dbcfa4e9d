"""Takes the C++ examples out of a page, and checks that they print what the page says.

    readme_example.py extract PAGE SOURCE    writes the examples, as one program, to SOURCE
    readme_example.py run PAGE PROGRAM       runs PROGRAM in an empty directory

Examples without a main() are its body, one after another; their includes go to the top.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

OUTSIDE = re.compile(r"(?:#include |using namespace ).*")


def blocks(page, language):
    """All code blocks in that language, in their order."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if not found:
        sys.exit(f"the page has no block of {language}")
    return "".join(found)


def program(page):
    code = blocks(page, "cpp")
    if "int main(" in code:
        return code
    lines = code.splitlines()
    outside = [line for line in lines if OUTSIDE.match(line)]
    inside = [f"  {line}" for line in lines if not OUTSIDE.match(line)]
    return "\n".join([*outside, "int main() {", *inside, "}", ""])


def main():
    action, page, path = sys.argv[1], pathlib.Path(sys.argv[2]).read_text(), sys.argv[3]
    if action == "extract":
        pathlib.Path(path).write_text(program(page))
        return
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([path], cwd=directory, capture_output=True, text=True, check=False)
    expected = blocks(page, "text")
    if done.returncode != 0 or done.stdout != expected:
        sys.exit(f"exit code {done.returncode}\n--- printed\n{done.stdout}{done.stderr}"
                 f"--- the page says\n{expected}")


if __name__ == "__main__":
    main()
