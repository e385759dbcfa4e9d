"""Takes the C++ example out of README.md, and checks that it prints what the page says.

    readme_example.py extract README.md SOURCE    writes the example to SOURCE
    readme_example.py run README.md PROGRAM       runs PROGRAM in an empty directory
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def block(page, language):
    """The only code block in that language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        sys.exit(f"README.md has {len(blocks)} blocks of {language}; one is due")
    return blocks[0]


def main():
    action, page, path = sys.argv[1], pathlib.Path(sys.argv[2]).read_text(), sys.argv[3]
    if action == "extract":
        pathlib.Path(path).write_text(block(page, "cpp"))
        return
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([path], cwd=directory, capture_output=True, text=True, check=False)
    expected = block(page, "text")
    if done.returncode != 0 or done.stdout != expected:
        sys.exit(f"exit code {done.returncode}\n--- printed\n{done.stdout}{done.stderr}"
                 f"--- README.md says\n{expected}")


if __name__ == "__main__":
    main()
