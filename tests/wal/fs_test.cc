// The file-system seam: the same suite for the machine's files, with and without direct writes, and
// for the simulated disk, so that what runs on the one runs on the other. Then what only real files
// can show.
#include "wal/fs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/expect_ok.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "tests/support/temp_dir.h"
#include "wal/posix_fs.h"

namespace tailrace::wal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Blocks as WriteDurable wants them.
class AlignedBytes {
 public:
  explicit AlignedBytes(const std::string& bytes)
      : data_(static_cast<char*>(std::aligned_alloc(kBlockBytes, bytes.size()))),
        size_bytes_(bytes.size()) {
    std::memcpy(data_.get(), bytes.data(), bytes.size());
  }
  ByteView view() const { return {data_.get(), size_bytes_}; }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  uint64_t size_bytes_;
};

std::string Slurp(File& file, uint64_t offset = 0, uint64_t bytes = 1 << 20) {
  std::string target(bytes, '?');
  const auto got = file.Read(offset, target.data(), bytes);
  EXPECT_OK(got);
  target.resize(got.ok() ? got.value() : 0);
  return target;
}

std::vector<std::string> Names(FileSystem& fs, const std::string& path) {
  std::vector<std::string> names;
  const auto entries = fs.List(path);
  EXPECT_OK(entries);
  if (!entries.ok()) return names;
  for (const DirectoryEntry& entry : *entries) {
    names.push_back(entry.name + (entry.is_directory ? "/" : ""));
  }
  return names;
}

enum class Kind { kDirect, kBuffered, kSimulated };

// Each test has a fresh directory of its own.
class FsTest : public ::testing::TestWithParam<Kind> {
 protected:
  FsTest() {
    if (GetParam() == Kind::kSimulated) {
      fs_ = std::make_unique<test::SimFs>();
      root_ = "/root";
      EXPECT_OK(fs_->CreateDirectory(root_));
    } else {
      fs_ = NewPosixFileSystem(GetParam() == Kind::kDirect ? DurableWrites::kDirect
                                                           : DurableWrites::kBuffered);
      root_ = directory_.path();
    }
  }

  FileSystem& fs() { return *fs_; }
  std::string At(const std::string& name) const { return JoinPath(root_, name); }

  std::unique_ptr<File> MustOpen(const std::string& name, OpenMode mode = OpenMode::kCreate) {
    auto file = fs_->Open(At(name), mode);
    EXPECT_OK(file);
    return std::move(file).value();
  }
  void Make(const std::string& name, ByteView bytes) { EXPECT_OK(MustOpen(name)->Write(0, bytes)); }
  std::string Read(const std::string& name) {
    return ReadWholeFile(*fs_, At(name), 1 << 20).value();
  }

  // The call failed with `code` and its message names the path.
  void ExpectError(const Status& status, StatusCode code, const std::string& name) {
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(At(name)));
  }

  test::TempDir directory_;
  std::unique_ptr<FileSystem> fs_;
  std::string root_;
};

std::string KindName(const ::testing::TestParamInfo<Kind>& kind) {
  switch (kind.param) {
    case Kind::kDirect:
      return "Direct";
    case Kind::kBuffered:
      return "Buffered";
    case Kind::kSimulated:
      return "Simulated";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Kinds, FsTest,
                         ::testing::Values(Kind::kDirect, Kind::kBuffered, Kind::kSimulated),
                         KindName);

// ---- Opening. ----

TEST_P(FsTest, OpenModesMeanWhatTheySay) {
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite}) {
    ExpectError(fs().Open(At("a"), mode).status(), StatusCode::kNotFound, "a");
  }
  EXPECT_OK(MustOpen("a", OpenMode::kCreateNew)->Write(0, "abc"));
  ExpectError(fs().Open(At("a"), OpenMode::kCreateNew).status(), StatusCode::kAlreadyExists, "a");
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_EQ(Slurp(*MustOpen("a", mode)), "abc");
  }
}

TEST_P(FsTest, AFileOpenedForReadingRefusesEveryChange) {
  Make("a", "abc");
  const auto file = MustOpen("a", OpenMode::kRead);
  EXPECT_EQ(file->Write(0, "x").code(), StatusCode::kIoError);
  EXPECT_EQ(file->Truncate(0).code(), StatusCode::kIoError);
  EXPECT_EQ(file->Allocate(10).code(), StatusCode::kIoError);
  EXPECT_OK(file->Sync());
  EXPECT_EQ(Read("a"), "abc");
}

TEST_P(FsTest, DirectoriesAndPathsThroughFilesAreNotFiles) {
  EXPECT_OK(fs().CreateDirectory(At("d")));
  Make("f", "x");
  ExpectError(fs().Open(At("d"), OpenMode::kRead).status(), StatusCode::kIoError, "d");
  ExpectError(fs().Open(At("f/x"), OpenMode::kCreate).status(), StatusCode::kIoError, "f/x");
  ExpectError(fs().Open(At("no/x"), OpenMode::kCreate).status(), StatusCode::kNotFound, "no/x");
  ExpectError(fs().Map(At("d")).status(), StatusCode::kIoError, "d");
  EXPECT_FALSE(fs().Exists(At("f/x")).value());
  EXPECT_FALSE(fs().Exists(At("no/x")).value());
  EXPECT_TRUE(fs().Exists(At("d")).value());
  EXPECT_TRUE(fs().IsDirectory(At("d")).value());
  EXPECT_FALSE(fs().IsDirectory(At("f")).value());
  EXPECT_FALSE(fs().IsDirectory(At("no")).value());
}

// ---- Bytes. ----

TEST_P(FsTest, WritesGrowTheFileAndHolesAreZeros) {
  const auto file = MustOpen("a");
  EXPECT_EQ(file->SizeBytes().value(), 0u);
  EXPECT_OK(file->Write(5000, "xy"));
  EXPECT_OK(file->Write(1, "b"));
  EXPECT_OK(file->Write(9999, ""));
  EXPECT_EQ(file->SizeBytes().value(), 5002u);
  std::string expected(5002, '\0');
  expected[1] = 'b';
  expected.replace(5000, 2, "xy");
  EXPECT_EQ(Slurp(*file), expected);
}

TEST_P(FsTest, AReadEndsAtTheEndOfTheFile) {
  const auto file = MustOpen("a");
  EXPECT_OK(file->Write(0, "abcdef"));
  EXPECT_EQ(Slurp(*file, 2, 3), "cde");
  EXPECT_EQ(Slurp(*file, 4, 100), "ef");
  EXPECT_EQ(Slurp(*file, 6, 10), "");
  EXPECT_EQ(Slurp(*file, 600, 10), "");
}

TEST_P(FsTest, TruncateCutsAndExtendsWithZeros) {
  const auto file = MustOpen("a");
  EXPECT_OK(file->Write(0, "abcdef"));
  EXPECT_OK(file->Truncate(2));
  EXPECT_OK(file->Truncate(4));
  EXPECT_EQ(Slurp(*file), std::string("ab\0\0", 4));
}

TEST_P(FsTest, AllocateNeverShrinksAndAddsZeros) {
  const auto file = MustOpen("a");
  EXPECT_OK(file->Write(0, "abc"));
  EXPECT_OK(file->Allocate(2));
  EXPECT_EQ(file->SizeBytes().value(), 3u);
  EXPECT_OK(file->Allocate(0));
  EXPECT_OK(file->Allocate(3 * kBlockBytes));
  EXPECT_EQ(file->SizeBytes().value(), 3 * kBlockBytes);
  EXPECT_EQ(Slurp(*file), "abc" + std::string(3 * kBlockBytes - 3, '\0'));
  EXPECT_OK(file->Sync());
}

// All ways of writing by turns, on one descriptor and through a mapping; all ways of reading must
// agree.
TEST_P(FsTest, EveryWayOfWritingMayBeMixedWithEveryOther) {
  constexpr uint64_t kBlocks = 8;
  constexpr uint64_t kFileBytes = kBlocks * kBlockBytes;
  test::Random random(test::TestSeed());
  const auto file = MustOpen("a");
  ASSERT_OK(file->Allocate(kFileBytes));
  const auto other = MustOpen("a", OpenMode::kRead);
  auto map = fs().Map(At("a")).value();
  std::string expected(kFileBytes, '\0');
  for (int step = 0; step < 100; ++step) {
    const uint64_t offset = random.Below(kFileBytes);
    const uint64_t bytes_max = std::min<uint64_t>(kFileBytes - offset, 3 * kBlockBytes);
    std::string bytes = random.Bytes(random.Between(1, bytes_max));
    uint64_t at = offset;
    switch (random.Below(5)) {
      case 0:
        ASSERT_OK(file->Write(at, bytes));
        break;
      case 1:
        map->Write(at, bytes);
        break;
      case 2:
        map->Write(at, bytes);
        ASSERT_OK(map->Sync(at, bytes.size()));
        break;
      default: {
        const uint64_t block = random.Below(kBlocks);
        bytes = random.Bytes(random.Between(1, kBlocks - block) * kBlockBytes);
        at = block * kBlockBytes;
        ASSERT_OK(file->WriteDurable(at, AlignedBytes(bytes).view()));
      }
    }
    expected.replace(at, bytes.size(), bytes);
    ASSERT_TRUE(Slurp(*file) == expected) << "step " << step;
    ASSERT_TRUE(Slurp(*other) == expected) << "step " << step;
    ASSERT_TRUE(ByteView(map->data(), kFileBytes) == expected) << "step " << step;
  }
  ASSERT_OK(file->Sync());
  EXPECT_EQ(file->SizeBytes().value(), kFileBytes);
}

TEST_P(FsTest, ThreadsMayMakeTheFirstDurableWriteTogether) {
  const auto file = MustOpen("a");
  constexpr uint64_t kThreads = 4;
  ASSERT_OK(file->Allocate(kThreads * kBlockBytes));
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&file, i] {
      const AlignedBytes bytes(std::string(kBlockBytes, static_cast<char>('a' + i)));
      EXPECT_OK(file->WriteDurable(i * kBlockBytes, bytes.view()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t i = 0; i < kThreads; ++i) {
    EXPECT_EQ(Slurp(*file, i * kBlockBytes, 1), std::string(1, static_cast<char>('a' + i)));
  }
}

TEST_P(FsTest, AnUnalignedDurableWriteIsABug) {
  const auto file = MustOpen("a");
  ASSERT_OK(file->Allocate(2 * kBlockBytes));
  const AlignedBytes bytes(std::string(2 * kBlockBytes, 'x'));
  EXPECT_DEATH((void)file->WriteDurable(1, bytes.view().substr(0, kBlockBytes)), "aligned");
  EXPECT_DEATH((void)file->WriteDurable(0, bytes.view().substr(1, kBlockBytes)), "aligned");
  EXPECT_DEATH((void)file->WriteDurable(0, bytes.view().substr(0, 100)), "aligned");
}

TEST_P(FsTest, OnlyAFileWithBytesCanBeMapped) {
  Make("empty", "");
  ExpectError(fs().Map(At("empty")).status(), StatusCode::kInvalidArgument, "empty");
  ExpectError(fs().Map(At("no")).status(), StatusCode::kNotFound, "no");
  Make("a", "abc");
  const auto map = fs().Map(At("a")).value();
  EXPECT_EQ(map->size_bytes(), 3u);
  EXPECT_DEATH(map->Write(2, "xy"), "outside");
  EXPECT_DEATH((void)map->Sync(3, 1), "outside");
}

TEST_P(FsTest, AMappingSurvivesTheNameAndTheOtherHandles) {
  Make("a", "abc");
  auto map = fs().Map(At("a")).value();
  ASSERT_OK(fs().Remove(At("a")));
  map->Write(1, "X");
  EXPECT_OK(map->Sync(0, 3));
  EXPECT_EQ(ByteView(map->data(), 3), "aXc");
}

TEST_P(FsTest, GettingPagesReadyChangesNothing) {
  std::string content = std::string(3 * kBlockBytes, 'a') + "tail";
  Make("a", content);
  const auto map = fs().Map(At("a")).value();
  map->Write(kBlockBytes + 1, "bc");
  content.replace(kBlockBytes + 1, 2, "bc");
  map->MakeReady(0, content.size());
  map->MakeReady(kBlockBytes + 2, kBlockBytes);  // From within a page on, and once more.
  map->MakeReady(content.size(), 0);
  map->Write(2 * kBlockBytes, "d");
  content.replace(2 * kBlockBytes, 1, "d");
  EXPECT_OK(map->Sync(0, content.size()));
  EXPECT_EQ(ByteView(map->data(), content.size()), content);
}

TEST_P(FsTest, SharedWordsAreSharedByAllWhoMapTheFile) {
  ExpectError(fs().MapShared(At("no"), MapAccess::kRead).status(), StatusCode::kNotFound, "no");
  Make("three", "abc");
  for (const MapAccess access : {MapAccess::kRead, MapAccess::kReadWrite}) {
    ExpectError(fs().MapShared(At("three"), access).status(), StatusCode::kInvalidArgument,
                "three");
  }
  Make("words", std::string(kBlockBytes, '\0'));
  const auto writer = fs().MapShared(At("words"), MapAccess::kReadWrite).value();
  const auto reader = fs().MapShared(At("words"), MapAccess::kRead).value();
  EXPECT_EQ(reader->size(), kBlockBytes / 8);
  EXPECT_EQ(reader->Load(7), 0u);
  // Asleep or not yet, whoever waits sees the change.
  std::thread waits([&] { EXPECT_TRUE(reader->Wait(7, 0, UINT64_MAX, nullptr)); });
  writer->Store(7, 5);
  writer->Wake(7);
  waits.join();
  EXPECT_EQ(reader->Load(7), 5u);
  EXPECT_FALSE(reader->Wait(7, 5, 1, nullptr));
  Interrupt interrupt;
  std::thread interrupted([&] { EXPECT_TRUE(reader->Wait(7, 5, UINT64_MAX, &interrupt)); });
  interrupt.Set();
  interrupted.join();
  ASSERT_OK(fs().Remove(At("words")));
  writer->Store(8, 6);
  EXPECT_EQ(reader->Load(8), 6u);
}

TEST_P(FsTest, TheBootIsKnown) {
  EXPECT_NE(fs().BootId(), 0u);
  EXPECT_EQ(fs().BootId(), fs().BootId());
}

// ---- Names. ----

TEST_P(FsTest, RenameReplacesAndLinkDoesNot) {
  Make("a", "a");
  Make("b", "b");
  ExpectError(fs().Link(At("a"), At("b")), StatusCode::kAlreadyExists, "b");
  EXPECT_OK(fs().Rename(At("a"), At("b")));
  EXPECT_EQ(Read("b"), "a");
  EXPECT_OK(fs().Link(At("b"), At("c")));
  EXPECT_OK(MustOpen("c")->Write(1, "+"));
  EXPECT_EQ(Read("b"), "a+") << "two names, one file";
  EXPECT_OK(fs().Rename(At("b"), At("c"))) << "of the same file: nothing happens";
  EXPECT_OK(fs().Remove(At("b")));
  EXPECT_THAT(Names(fs(), root_), ElementsAre("c"));
  ExpectError(fs().Rename(At("no"), At("c")), StatusCode::kNotFound, "no");
  ExpectError(fs().Link(At("no"), At("d")), StatusCode::kNotFound, "no");
  ExpectError(fs().Remove(At("no")), StatusCode::kNotFound, "no");
  EXPECT_OK(fs().SyncDirectory(root_));
}

TEST_P(FsTest, AnOpenFileOutlivesItsName) {
  Make("a", "old");
  const auto file = MustOpen("a");
  Make("b", "new");
  EXPECT_OK(fs().Rename(At("b"), At("a")));
  EXPECT_EQ(Slurp(*file), "old");
  EXPECT_OK(file->Write(0, "OLD"));
  EXPECT_OK(file->Sync());
  EXPECT_EQ(Read("a"), "new");
}

TEST_P(FsTest, DirectoriesAreMadeListedMovedAndRemoved) {
  EXPECT_OK(fs().CreateDirectory(At("d")));
  ExpectError(fs().CreateDirectory(At("d")), StatusCode::kAlreadyExists, "d");
  ExpectError(fs().CreateDirectory(At("x/y")), StatusCode::kNotFound, "x/y");
  for (const char* name : {"d/b", "d/a", "d/c"}) Make(name, "");
  EXPECT_OK(fs().CreateDirectory(At("d/e")));
  EXPECT_THAT(Names(fs(), At("d")), ElementsAre("a", "b", "c", "e/"));
  ExpectError(fs().RemoveDirectory(At("d")), StatusCode::kIoError, "d");
  EXPECT_OK(fs().Rename(At("d/e"), At("e")));
  EXPECT_OK(fs().RemoveDirectory(At("e")));
  ExpectError(fs().RemoveDirectory(At("e")), StatusCode::kNotFound, "e");
  ExpectError(fs().List(At("e")).status(), StatusCode::kNotFound, "e");
  ExpectError(fs().List(At("d/a")).status(), StatusCode::kIoError, "d/a");
  ExpectError(fs().SyncDirectory(At("e")), StatusCode::kNotFound, "e");
  ExpectError(fs().SyncDirectory(At("d/a")), StatusCode::kIoError, "d/a");
  EXPECT_OK(fs().SyncDirectory(At("d")));
}

TEST_P(FsTest, FilesAndDirectoriesDoNotReplaceEachOther) {
  EXPECT_OK(fs().CreateDirectory(At("d")));
  EXPECT_OK(fs().CreateDirectory(At("full")));
  Make("full/x", "");
  Make("f", "");
  ExpectError(fs().Rename(At("f"), At("d")), StatusCode::kIoError, "d");
  ExpectError(fs().Rename(At("d"), At("f")), StatusCode::kIoError, "f");
  ExpectError(fs().Rename(At("d"), At("full")), StatusCode::kIoError, "full");
  ExpectError(fs().Rename(At("d"), At("d/e")), StatusCode::kIoError, "d");
  ExpectError(fs().Remove(At("d")), StatusCode::kIoError, "d");
  ExpectError(fs().RemoveDirectory(At("f")), StatusCode::kIoError, "f");
  ExpectError(fs().Link(At("d"), At("g")), StatusCode::kIoError, "d");
  EXPECT_THAT(Names(fs(), root_), ElementsAre("d/", "f", "full/"));
}

TEST_P(FsTest, SpaceIsCounted) {
  const auto space = fs().SpaceAt(root_);
  ASSERT_OK(space);
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_EQ(fs().SpaceAt(At("no")).status().code(), StatusCode::kNotFound);
}

// ---- Locks. ----

TEST_P(FsTest, ALockIsHeldByOneUntilItEnds) {
  auto first = fs().Lock(At("LOCK"));
  ASSERT_OK(first);
  const auto second = fs().Lock(At("LOCK"));
  ExpectError(second.status(), StatusCode::kBusy, "LOCK");
  EXPECT_THAT(second.status().message(), HasSubstr("another directory"));
  EXPECT_TRUE(fs().IsLocked(At("LOCK")).value());
  first.value().reset();
  EXPECT_FALSE(fs().IsLocked(At("LOCK")).value());
  EXPECT_EQ(fs().IsLocked(At("no")).status().code(), StatusCode::kNotFound);
  EXPECT_OK(fs().Lock(At("LOCK")));
  EXPECT_EQ(fs().Lock(At("no/LOCK")).status().code(), StatusCode::kNotFound);
}

// ---- Built on top. ----

TEST_P(FsTest, ReplaceFileLeavesTheNewBytesAndNothingElse) {
  EXPECT_OK(ReplaceFile(fs(), At("a"), "one"));
  EXPECT_EQ(Read("a"), "one");
  Make("a.tmp", "left by a crash, and longer than what follows");
  EXPECT_OK(ReplaceFile(fs(), At("a"), "two"));
  EXPECT_EQ(Read("a"), "two");
  EXPECT_OK(ReplaceFile(fs(), At("a"), ""));
  EXPECT_EQ(Read("a"), "");
  EXPECT_THAT(Names(fs(), root_), ElementsAre("a"));
  EXPECT_EQ(ReplaceFile(fs(), At("no/a"), "x").code(), StatusCode::kNotFound);
}

TEST_P(FsTest, ReadWholeFileRefusesMoreThanItsLimit) {
  Make("a", "abc");
  EXPECT_EQ(ReadWholeFile(fs(), At("a"), 3).value(), "abc");
  ExpectError(ReadWholeFile(fs(), At("a"), 2).status(), StatusCode::kCorruption, "a");
  ExpectError(ReadWholeFile(fs(), At("no"), 2).status(), StatusCode::kNotFound, "no");
}

TEST(FsPaths, JoinPathPutsOneSlash) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

// Every failing call of ReplaceFile leaves the old file or the new one, never a third thing.
TEST(FsFaults, AFailedReplacementLeavesTheOldFileOrTheNew) {
  uint64_t failures = 0;
  for (uint64_t nth = 1;; ++nth) {
    test::SimFs fs;
    ASSERT_OK(ReplaceFile(fs, "a", "old"));
    fs.Inject({.nth = nth});
    const Status status = ReplaceFile(fs, "a", "new");
    if (fs.faults_hit() == 0) {
      EXPECT_OK(status);
      break;
    }
    ++failures;
    EXPECT_EQ(status.code(), StatusCode::kIoError);
    fs.ClearFaults();
    EXPECT_THAT(ReadWholeFile(fs, "a", 100).value(), ::testing::AnyOf("old", "new"));
  }
  EXPECT_EQ(failures, 7u) << "open, create, truncate, write, sync, rename, sync directory";
}

// ---- Real files only. ----

class PosixFsTest : public ::testing::Test {
 protected:
  FileSystem& fs() { return FileSystem::Posix(); }
  std::string At(const std::string& name) const { return JoinPath(directory_.path(), name); }

  // Runs `body` in a forked child and gives its exit code; -1 when a signal ended it.
  static int InChild(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  test::TempDir directory_;
};

constexpr int kPassed = 42;
constexpr int kRefused = 43;  // The machine does not allow the experiment.

// How many descriptors of this process have all of `flags`.
int DescriptorsWith(int flags) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    const int actual = ::fcntl(fd, F_GETFL);
    if (actual >= 0 && (actual & flags) == flags) ++count;
  }
  return count;
}

TEST_F(PosixFsTest, DirectWritesUseASecondDescriptorAndBufferedOnesDoNot) {
  for (const DurableWrites way : {DurableWrites::kDirect, DurableWrites::kBuffered}) {
    const auto own = NewPosixFileSystem(way);
    auto file = own->Open(At("a"), OpenMode::kCreate).value();
    ASSERT_OK(file->Allocate(kBlockBytes));
    EXPECT_EQ(DescriptorsWith(O_DIRECT | O_DSYNC), 0) << "opened only when needed";
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK(file->WriteDurable(0, AlignedBytes(std::string(kBlockBytes, 'x')).view()));
    }
    if (way == DurableWrites::kBuffered) {
      EXPECT_EQ(DescriptorsWith(O_DIRECT), 0);
    }
    // Where the tests' directory refuses direct writes there is none either.
    if (way == DurableWrites::kDirect) {
      EXPECT_LE(DescriptorsWith(O_DIRECT | O_DSYNC), 1);
    }
    file.reset();
    EXPECT_EQ(DescriptorsWith(O_DIRECT), 0);
  }
}

// Runs `body` with a file system of `type` mounted on a directory that only this child sees.
int OnMount(const std::string& directory, const char* type, const char* options,
            const std::function<int()>& body) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", directory.c_str(), type, 0, options) != 0) {
    return kRefused;
  }
  return body();
}

TEST_F(PosixFsTest, WhereTheFileSystemRefusesDirectWritesDurableOnesGoThroughTheCache) {
  const int result = InChild([&] {
    return OnMount(directory_.path(), "ramfs", nullptr, [&] {
      if (::open(directory_.path().c_str(), O_TMPFILE | O_RDWR | O_DIRECT, 0600) >= 0) return 1;
      auto file = fs().Open(At("a"), OpenMode::kCreate).value();
      if (!file->Truncate(2 * kBlockBytes).ok()) return 2;
      const AlignedBytes bytes(std::string(kBlockBytes, 'x'));
      if (!file->WriteDurable(kBlockBytes, bytes.view()).ok()) return 3;
      if (!file->WriteDurable(0, bytes.view()).ok()) return 4;
      return Slurp(*file) == std::string(2 * kBlockBytes, 'x') ? kPassed : 5;
    });
  });
  if (result == kRefused) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(result, kPassed);
}

TEST_F(PosixFsTest, AFullDiskIsNoSpaceAndAFailedAllocationLeavesTheSize) {
  const int result = InChild([&] {
    return OnMount(directory_.path(), "tmpfs", "size=256k", [&] {
      if (!ReplaceFile(fs(), At("kept"), "old").ok()) return 1;
      auto file = fs().Open(At("a"), OpenMode::kCreate).value();
      if (!file->Allocate(64 << 10).ok()) return 2;
      if (file->Allocate(1 << 20).code() != StatusCode::kNoSpace) return 3;
      if (file->SizeBytes().value() != 64 << 10) return 4;
      if (file->Write(0, std::string(1 << 20, 'x')).code() != StatusCode::kNoSpace) return 5;
      if (ReplaceFile(fs(), At("kept"), "new").code() != StatusCode::kNoSpace) return 6;
      if (ReadWholeFile(fs(), At("kept"), 100).value() != "old") return 7;
      if (fs().Exists(At("kept.tmp")).value()) return 8;
      // A hole gets its space when it is mapped, not when it is stored to.
      if (!file->Truncate(0).ok() || !file->Truncate(1 << 20).ok()) return 9;
      return fs().Map(At("a")).status().code() == StatusCode::kNoSpace ? kPassed : 10;
    });
  });
  if (result == kRefused) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(result, kPassed);
}

// ext4 keeps what it could allocate before the disk was full, and the size with it.
TEST_F(PosixFsTest, AFailedAllocationOnExt4GivesBackWhatItGot) {
  const int result = InChild([&] {
    const std::string image = At("image");
    const std::string mount = At("mount");
    if (!fs().CreateDirectory(mount).ok()) return 1;
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return kRefused;
    }
    const std::string command = "PATH=$PATH:/usr/sbin:/sbin; (truncate -s 8M " + image +
                                " && mkfs.ext4 -q " + image + " && mount -o loop " + image + " " +
                                mount + ") >/dev/null 2>&1";
    if (std::system(command.c_str()) != 0) return kRefused;
    auto file = fs().Open(JoinPath(mount, "a"), OpenMode::kCreate).value();
    if (!file->Allocate(64 << 10).ok()) return 2;
    if (file->Allocate(1 << 30).code() != StatusCode::kNoSpace) return 3;
    return file->SizeBytes().value() == 64 << 10 ? kPassed : 4;
  });
  if (result == kRefused) GTEST_SKIP() << "needs mkfs.ext4 and the right to mount";
  EXPECT_EQ(result, kPassed);
}

TEST_F(PosixFsTest, AShortWriteIsContinuedUntilItsErrorShows) {
  const int result = InChild([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {.rlim_cur = 10'000, .rlim_max = 10'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    auto file = fs().Open(At("a"), OpenMode::kCreate).value();
    // The kernel writes up to the limit and says how much; only the next call fails.
    if (file->Write(0, std::string(20'000, 'x')).code() != StatusCode::kIoError) return 2;
    return file->SizeBytes().value() == 10'000 ? kPassed : 3;
  });
  EXPECT_EQ(result, kPassed);
}

TEST_F(PosixFsTest, FilesAndDirectoriesBelongToTheirOwnerOnly) {
  ASSERT_OK(ReplaceFile(fs(), At("a"), "x"));
  ASSERT_OK(fs().CreateDirectory(At("d")));
  struct stat info {};
  ASSERT_EQ(::stat(At("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(At("d").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(PosixFsTest, ALinkInPlaceOfAFileIsRefused) {
  ASSERT_OK(ReplaceFile(fs(), At("a"), "x"));
  ASSERT_EQ(::symlink(At("a").c_str(), At("link").c_str()), 0);
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_EQ(fs().Open(At("link"), mode).status().code(), StatusCode::kIoError);
  }
  EXPECT_FALSE(fs().Map(At("link")).ok());
  EXPECT_FALSE(fs().Lock(At("link")).ok());
}

TEST_F(PosixFsTest, DescriptorsDoNotLeakIntoPrograms) {
  const auto file = fs().Open(At("a"), OpenMode::kCreate).value();
  const auto lock = fs().Lock(At("LOCK")).value();
  ASSERT_OK(file->Allocate(kBlockBytes));
  ASSERT_OK(file->WriteDurable(0, AlignedBytes(std::string(kBlockBytes, 'x')).view()));
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (gone || target.string().find(directory_.path()) == std::string::npos) continue;
    EXPECT_EQ(::fcntl(std::stoi(entry.path().filename()), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
}

TEST_F(PosixFsTest, AnUnrelatedCloseOfTheLockFileDoesNotEndTheLock) {
  const auto lock = fs().Lock(At("LOCK"));
  ASSERT_OK(lock);
  // A traditional POSIX lock would end here.
  ASSERT_OK(ReadWholeFile(fs(), At("LOCK"), 100));
  EXPECT_EQ(InChild([&] {
              return fs().Lock(At("LOCK")).status().code() == StatusCode::kBusy ? kPassed : 1;
            }),
            kPassed);
}

TEST_F(PosixFsTest, ASecondProcessIsRefusedAndToldWhoHoldsTheLock) {
  const auto lock = fs().Lock(At("LOCK"));
  ASSERT_OK(lock);
  const std::string holder = "process " + std::to_string(::getpid()) + ";";
  EXPECT_EQ(InChild([&] {
              const Status status = fs().Lock(At("LOCK")).status();
              if (status.code() != StatusCode::kBusy) return 1;
              return status.message().find(holder) != std::string::npos ? kPassed : 2;
            }),
            kPassed);
}

TEST_F(PosixFsTest, AForkedChildNeitherEndsTheLockNorKeepsIt) {
  auto lock = fs().Lock(At("LOCK")).value();
  EXPECT_EQ(InChild([&] {
              lock.reset();
              return kPassed;
            }),
            kPassed);
  EXPECT_EQ(fs().Lock(At("LOCK")).status().code(), StatusCode::kBusy);

  // A child that lives on holds a copy of the descriptor; that must not hold the lock.
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(gate[1]);
    char byte = 0;
    ::_exit(::read(gate[0], &byte, 1) == 0 ? kPassed : 1);
  }
  lock.reset();
  EXPECT_OK(fs().Lock(At("LOCK")));
  ::close(gate[1]);
  ::close(gate[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
}

TEST_F(PosixFsTest, TheLockOfAKilledProcessIsFree) {
  EXPECT_EQ(InChild([&] {
              auto lock = fs().Lock(At("LOCK"));
              if (lock.ok()) ::raise(SIGKILL);
              return 1;
            }),
            -1);
  EXPECT_OK(fs().Lock(At("LOCK")));
}

TEST_F(PosixFsTest, ALockFileWithoutANumberStillRefuses) {
  const auto lock = fs().Lock(At("LOCK"));
  ASSERT_OK(lock);
  std::ofstream(At("LOCK"), std::ios::trunc) << "nonsense";
  const Status status = fs().Lock(At("LOCK")).status();
  EXPECT_EQ(status.code(), StatusCode::kBusy);
  EXPECT_THAT(status.message(), HasSubstr("another process"));
}

// Runs the shared suite again in a process whose every second writing call is interrupted. (The
// leak checker cannot work in a traced process.)
TEST_F(PosixFsTest, InterruptedCallsAreRepeated) {
  if (std::system("strace -V >/dev/null 2>&1 && strace -o /dev/null true 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs strace and the right to trace";
  }
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string trace = At("trace");
  const std::string command =
      "ASAN_OPTIONS=detect_leaks=0 TAILRACE_SEED=" + std::to_string(test::TestSeed()) +
      " strace -f -o " + trace +
      " -e trace=pwrite64,ftruncate,fallocate"
      " -e inject=pwrite64,ftruncate,fallocate:error=EINTR:when=1+2 " +
      self + " --gtest_filter='Kinds/FsTest.*/Direct-*Bug*:*Mapped*' >" + At("out") + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << std::ifstream(At("out")).rdbuf();
  std::stringstream traced;
  traced << std::ifstream(trace).rdbuf();
  EXPECT_THAT(traced.str(), HasSubstr("EINTR (Interrupted system call) (INJECTED)"));
}

}  // namespace
}  // namespace tailrace::wal
