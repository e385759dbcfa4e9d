"""Self-test of .ci/check_text: it passes a clean tree and refuses one broken rule at a time."""

import unittest

from lint_tree import LintTestCase

HEADER = "// What it is for.\n#pragma once\n"


class CheckTextTest(LintTestCase):
    CHECK = "check_text"
    CLEAN = {
        "README.md": "# Title\n\n[Docs](docs/README.md), [a word](docs/glossary.md#the-words)\n"
                     "![picture](docs/pictures/write.svg)\n",
        "docs/README.md": "# Docs\n\n1. [Words](glossary.md)\n2. [A page](page.md#part-one-two)\n",
        "docs/page.md": "# Page\n\n## Part one: `two`\n\n```\n# Not a title, [not a link](gone.md)\n```\n",
        "docs/glossary.md":
            "# Glossary\n\n## The words\n\n| Say | Means | Not |\n|---|---|---|\n"
            "| **sequence number** | a place | `seqno`, `change id` |\n| item | a row | |\n",
        "docs/pictures/write.svg": "<svg/>\n",
        "wal/log.h": HEADER + "// Refers to std::mutex and throw in a comment only.\n",
        "wal/log.cc": '#include "wal/log.h"\nconst char* kText = "throw std::cout";\n',
        "wal/mutex.h": HEADER + "std::mutex mutex_;\n",
        "tests/wal/log_test.cc": "// Tests the log.\nint x = sleeper(1);\n",
        "tests/golden/old.txt": "TODO: golden files may hold anything \n",
    }

    def test_clean_tree(self):
        self.assert_clean()

    def test_unfinished_work(self):
        for word in ("TODO", "FIXME", "XXX", "HACK"):
            self.assert_refused({"wal/log.h": HEADER + f"// {word}: later\n"}, "wal/log.h:3: unfinished")

    def test_allowed_where_it_says_so(self):
        self.assert_clean({"wal/log.h": HEADER + "// TODO text-check: allow, it is a name\n"})

    def test_path_of_one_machine(self):
        self.assert_refused({"docs/page.md": "# Page\n\nSee /home/me/x.\n"}, "docs/page.md:3: a path")

    def test_blanks_at_the_end(self):
        self.assert_refused({"docs/page.md": "# Page \n"}, "docs/page.md:1: blanks")

    def test_tab(self):
        self.assert_refused({"wal/log.cc": "\tint x;\n"}, "wal/log.cc:1: a tab")

    def test_no_newline_at_the_end(self):
        self.assert_refused({"wal/log.cc": "int x;\nint y;"}, "wal/log.cc:2: no newline")

    def test_long_line_in_a_script(self):
        self.assert_refused({"tools/demo": "#" * 101 + "\n"}, "tools/demo:1: 101 columns")

    def test_header_without_purpose(self):
        self.assert_refused({"wal/log.h": "\n#pragma once\n"}, "wal/log.h:1: open the file")

    def test_source_without_header_and_purpose(self):
        self.assert_refused({"tests/wal/all_test.cc": "int x;\n"}, "all_test.cc:1: open the file")

    def test_test_of_a_header_needs_no_purpose(self):
        self.assert_clean({"tests/wal/mutex_test.cc": "int x;\n"})

    def test_header_without_pragma_once(self):
        self.assert_refused({"wal/log.h": "// Purpose.\n"}, "wal/log.h:1: no #pragma once")

    def test_code_switched_off(self):
        self.assert_refused({"wal/log.cc": "#if 0\n#endif\n"}, "wal/log.cc:1: code that is switched off")

    def test_other_locks(self):
        self.assert_refused({"wal/log.cc": "std::mutex mutex;\n"}, "wal/log.cc:1: locks are those")

    def test_exceptions(self):
        self.assert_refused({"wal/log.cc": "throw 1;\n"}, "wal/log.cc:1: errors are values")

    def test_printing(self):
        self.assert_refused({"engine/x.h": HEADER + "std::cout << 1;\n"}, "engine/x.h:3: the library")

    def test_disabled_test(self):
        self.assert_refused({"tests/wal/log_test.cc": "// Tests.\nTEST(Log, DISABLED_Works) {}\n"},
                            "log_test.cc:2: a disabled test")

    def test_sleeping_test(self):
        self.assert_refused(
            {"tests/wal/log_test.cc": "// Tests.\nstd::this_thread::sleep_for(1ms);\n"},
            "log_test.cc:2: tests wait for events")

    def test_two_titles(self):
        self.assert_refused({"docs/page.md": "# Page\n\n# Again\n\n## Part one: `two`\n"}, "2 titles")

    def test_link_to_nowhere(self):
        self.assert_refused({"docs/page.md": None}, "docs/README.md:4: link to page.md#part-one-two")

    def test_picture_that_is_missing(self):
        self.assert_refused({"docs/pictures/write.svg": None}, "README.md:4: link to docs/pictures")

    def test_link_to_a_missing_heading(self):
        self.assert_refused({"docs/page.md": "# Page\n"}, "page.md#part-one-two: no such heading")

    def test_page_that_nothing_leads_to(self):
        self.assert_refused({"docs/lost.md": "# Lost\n"}, "docs/lost.md:1: no chain of links")

    def test_page_names_a_test_that_exists(self):
        test = "// Tests.\nTEST_F(LogTest, Works) {}\n"
        self.assert_clean({"tests/wal/log_test.cc": test,
                           "docs/page.md": self.CLEAN["docs/page.md"] + "`LogTest.Works`, `LogTest.*`\n"})
        self.assert_refused({"docs/page.md": self.CLEAN["docs/page.md"] + "See `LogTest.Works`.\n"},
                            "docs/page.md:8: LogTest.Works: no such test")

    def test_page_names_a_file_that_exists(self):
        page = self.CLEAN["docs/page.md"]
        self.assert_clean({"docs/page.md": page + "See `wal/log.h` and `docs/`.\n"})
        self.assert_refused({"docs/page.md": page + "See `wal/gone.h`.\n"}, "wal/gone.h: no such file")

    def test_word_that_names_nothing(self):
        self.assert_refused({"wal/log.h": HEADER + "int last_seqno;\n"},
                            'wal/log.h:3: "seqno": say "sequence number"')

    def test_word_inside_an_identifier(self):
        self.assert_refused({"wal/log.h": HEADER + "int kMaxChangeId;\n"}, '"change id": say')

    def test_word_in_a_page(self):
        self.assert_refused({"README.md": "# Title\n\nSeqnos are.\n"}, 'README.md:3: "seqno"')


if __name__ == "__main__":
    unittest.main()
