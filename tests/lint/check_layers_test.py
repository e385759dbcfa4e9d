"""Self-test of .ci/check_layers: it passes a clean tree and refuses one broken rule at a time."""

import unittest

from lint_tree import LintTestCase


class CheckLayersTest(LintTestCase):
    CHECK = "check_layers"
    CLEAN = {
        "CMakeLists.txt":
            "add_subdirectory(wal)\nadd_subdirectory(shards)\nadd_subdirectory(engine)\n"
            "add_subdirectory(tools)\nadd_subdirectory(tests)\n",
        "wal/CMakeLists.txt": "add_library(wal STATIC\n  log.cc\n)\n",
        "wal/log.h": '#include <vector>\n',
        "wal/log.cc": '#include "wal/log.h"\n',
        "shards/CMakeLists.txt": "tailrace_protobuf(shards frames.proto)\n",
        "shards/shard.h": '#include "shards/frames.pb.h"\n#include "wal/log.h"\n',
        "shards/frames.proto": 'import "google/protobuf/any.proto";\n',
        "engine/CMakeLists.txt": "add_library(engine STATIC rocks_index.cc)\n",
        "engine/store.h": '#include "wal/log.h"\n',
        "engine/fold.h": '#include "shards/shard.h"\n',
        "engine/rocks_index.cc": '#include <rocksdb/db.h>\n#include "engine/store.h"\n',
        "tools/CMakeLists.txt": "",
        "tools/command.h": '#include "engine/store.h"\n',
        "tests/CMakeLists.txt":
            "add_executable(x ${PROJECT_SOURCE_DIR}/tests/wal/main.cc)\n"
            "add_subdirectory(wal)\nadd_subdirectory(tools)\n",
        "tests/wal/main.cc": "",
        "tests/wal/outside/CMakeLists.txt": "project(outside)\n",
        "tests/wal/CMakeLists.txt": "tailrace_tests(wal_tests SOURCES log_test.cc)\n",
        "tests/wal/log_test.cc": '#include "tests/support/disk.h"\n#include "wal/log.h"\n',
        "tests/support/disk.h": '#include "wal/log.h"\n',
        "tests/tools/CMakeLists.txt":
            "tailrace_tests(tools_tests SOURCES\n  command_test.cc\n"
            "  ${PROJECT_SOURCE_DIR}/tests/tools/second_test.cc)\n",
        "tests/tools/command_test.cc": '#include "tools/command.h"\n',
        "tests/tools/second_test.cc": '#include <rocksdb/db.h>\n',
    }

    def test_clean_tree(self):
        self.assert_clean()

    def test_wal_may_not_include_shards(self):
        self.assert_refused({"wal/log.h": '#include "shards/shard.h"\n'},
                            "wal/log.h:1: shards/shard.h: wal/ may include only wal")

    def test_shards_may_not_include_engine(self):
        self.assert_refused({"shards/shard.h": '\n#include "engine/store.h"\n'},
                            "shards/shard.h:2: engine/store.h: shards/ may include only")

    def test_engine_may_not_include_tools(self):
        self.assert_refused({"engine/store.h": '#include "tools/command.h"\n'},
                            "tools/command.h: engine/ may include only")

    def test_nothing_includes_tests(self):
        self.assert_refused({"tools/command.h": '#include "tests/support/disk.h"\n'},
                            "tests/support/disk.h: tools/ may include only")

    def test_generated_header_counts_as_its_folder(self):
        self.assert_refused({"wal/log.h": '#include "shards/frames.pb.h"\n'},
                            "shards/frames.pb.h: wal/ may include only wal")

    def test_import_of_a_proto_counts_as_include(self):
        self.assert_refused({"engine/CMakeLists.txt": "rocks_index.cc item.proto",
                             "engine/item.proto": "",
                             "shards/frames.proto": 'import "engine/item.proto";\n'},
                            "engine/item.proto: shards/ may include only")

    def test_header_beside_the_source_is_named_from_the_top(self):
        self.assert_refused({"wal/log.cc": '#include "log.h"\n'}, '"log.h": name project headers')

    def test_project_header_in_angle_brackets(self):
        self.assert_refused({"wal/log.cc": '#include <wal/log.h>\n'}, "stand in quotes")

    def test_missing_header(self):
        self.assert_refused({"wal/log.cc": '#include "wal/gone.h"\n'}, "wal/gone.h: no such file")

    def test_rocksdb_outside_its_files(self):
        self.assert_refused({"engine/store.h": '#include <rocksdb/db.h>\n'},
                            "engine/store.h:1: <rocksdb/db.h>: RocksDB is included by")

    def test_rocksdb_reached_from_the_public_header(self):
        self.assert_refused({"engine/store.h": '#include "engine/rocks_index.h"\n',
                             "engine/rocks_index.h": '#include <rocksdb/db.h>\n'},
                            "reaches rocksdb/db.h through engine/rocks_index.h")

    def test_protobuf_reached_from_the_public_header(self):
        self.assert_refused({"engine/store.h": '#include "shards/shard.h"\n'},
                            "reaches shards/frames.pb.h through shards/shard.h")

    def test_thread_sanitizer_tests_reach_no_rocksdb(self):
        self.assert_refused({"tests/support/disk.h": '#include <rocksdb/db.h>\n'},
                            "tests/wal/log_test.cc:1: reaches rocksdb/db.h through")

    def test_thread_sanitizer_tests_reach_no_engine(self):
        self.assert_refused({"tests/wal/log_test.cc": '#include "engine/store.h"\n'},
                            "tests/wal/log_test.cc:1: reaches engine/store.h")

    def test_files_in_a_ring(self):
        self.assert_refused({"wal/log.h": '#include "wal/other.h"\n',
                             "wal/other.h": '#include "wal/log.h"\n'},
                            "in a ring: wal/log.h -> wal/other.h -> wal/log.h")

    def test_folders_in_a_ring(self):
        self.assert_refused({"wal/log.cc": '#include "shards/shard.h"\n'},
                            "folders include each other in a ring: shards -> wal -> shards")

    def test_source_that_is_not_listed(self):
        self.assert_refused({"wal/more.cc": ""}, "wal/more.cc:1: not listed in the CMakeLists.txt of")

    def test_source_that_is_commented_out(self):
        self.assert_refused({"wal/CMakeLists.txt": "add_library(wal STATIC\n  # log.cc\n)\n"},
                            "wal/log.cc:1: not listed")

    def test_proto_that_is_not_listed(self):
        self.assert_refused({"shards/CMakeLists.txt": ""}, "shards/frames.proto:1: not listed")

    def test_source_in_a_folder_without_a_list(self):
        self.assert_refused({"tests/support/disk.cc": ""},
                            "tests/support/disk.cc:1: not listed")

    def test_listed_source_that_does_not_exist(self):
        self.assert_refused({"wal/log.cc": None}, "wal/CMakeLists.txt:1: lists wal/log.cc, which does")

    def test_folder_that_is_not_added(self):
        self.assert_refused({"tests/CMakeLists.txt": "add_subdirectory(tools)\n"},
                            "tests/wal/CMakeLists.txt:1: tests/CMakeLists.txt does not add")


if __name__ == "__main__":
    unittest.main()
