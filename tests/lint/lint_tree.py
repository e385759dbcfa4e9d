"""A small tree in a temporary directory, and running a check on it: for the self-tests of the checks."""

import pathlib
import subprocess
import tempfile
import unittest

SOURCE_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class LintTestCase(unittest.TestCase):
    """A subclass names its check and the files of a tree in which that check finds nothing wrong."""

    CHECK = ""
    CLEAN = {}

    def run_check(self, changes):
        """(exit code, output) of the check on CLEAN with `changes`: {path: text, or None to remove}."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**self.CLEAN, **changes}.items():
                if text is not None:
                    file = pathlib.Path(root, path)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text)
            done = subprocess.run([SOURCE_ROOT / ".ci" / self.CHECK, "--root", root],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, "")
            return done.returncode, done.stdout

    def assert_clean(self, changes=None):
        code, output = self.run_check(changes or {})
        self.assertEqual(code, 0, output)

    def assert_refused(self, changes, *expected):
        """The check fails, and says each of `expected`."""
        code, output = self.run_check(changes)
        self.assertEqual(code, 1, output)
        for text in expected:
            self.assertIn(text, output)
