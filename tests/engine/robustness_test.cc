// Damaged stores, foreign directories, other openers: a refusal is a typed error that names the
// cause, nothing is lost or changed by it, and once the cause is undone everything is there. Damage
// that does not keep a store from opening is found when it is read, and never shown as data.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "engine/durable_reader.h"
#include "engine/store_files.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/file_bytes.h"
#include "tests/support/random.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/segment.h"

namespace tailrace::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- Directories as values ----

// Every file below a directory with its bytes, and every directory (its name ends in '/').
using Tree = std::map<std::string, std::string>;

// Without LOCK, which says who has the store, and without the folders named in `without`.
Tree ReadTree(const std::string& directory, const std::vector<std::string>& without = {}) {
  Tree tree;
  for (auto at = fs::recursive_directory_iterator(directory); at != fs::end(at); ++at) {
    const std::string name = fs::relative(at->path(), directory).string();
    if (name == "LOCK") continue;
    if (std::find(without.begin(), without.end(), name) != without.end()) {
      at.disable_recursion_pending();
      continue;
    }
    if (at->is_directory()) {
      tree[name + "/"];
    } else {
      tree[name] = ReadBytes(at->path());
    }
  }
  return tree;
}

// The names in which the trees differ.
std::vector<std::string> Differences(const Tree& a, const Tree& b) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second != bytes) names.push_back(name);
  }
  for (const auto& [name, bytes] : b) {
    if (!a.contains(name)) names.push_back(name);
  }
  return names;
}

// ---- What is in a store ----

struct Contents {
  std::map<std::string, std::vector<Item>> tables;
  std::vector<std::string> records;  // In words, by shard and order.
  Status damage;                     // The first error that was met.

  friend bool operator==(const Contents& a, const Contents& b) {
    return a.tables == b.tables && a.records == b.records && a.damage == b.damage;
  }
};

std::string InWords(const ChangeRecord& record) {
  const auto image = [](const std::optional<Item>& item) {
    return item ? item->GetNumber("game_id")->ToString() + "=" + *item->GetString("user_id") : "-";
  };
  return std::to_string(record.shard.value) + "/" + std::to_string(record.ordinal) + "@" +
         std::to_string(record.sequence.value) + " " + std::string(ChangeKindName(record.kind)) +
         " " + image(record.old_image) + " > " + image(record.new_image);
}

Status ReadAllItems(Store& store, const std::string& table, std::vector<Item>& items) {
  ScanRequest request{.items_max = 7};
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(ItemPage page, store.Scan(table, request));
    for (Item& item : page.items) items.push_back(std::move(item));
    if (!page.last_key) return Status::Ok();
    request.start_after = page.last_key;
  }
}

Status ReadAllRecords(Store& store, StreamId stream, ShardId shard,
                      std::vector<std::string>& records) {
  TAILRACE_ASSIGN_OR_RETURN(Position position,
                            store.SeekShard(stream, shard, StartAt::kTrimHorizon));
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, store.ReadShard(position, {.records_max = 5}));
    if (page.gap) return Corruption("a gap");
    for (const ChangeRecord& record : page.records) records.push_back(InWords(record));
    if (page.caught_up || page.end_of_shard) return Status::Ok();
    position = page.next;
  }
}

// Reads on over damage: what can be read is.
Contents ReadContents(Store& store) {
  Contents contents;
  const auto note = [&](const Status& status) {
    if (contents.damage.ok()) contents.damage = status;
  };
  const auto tables = store.ListTables();
  note(tables.status());
  if (tables.ok()) {
    for (const TableInfo& table : *tables) {
      note(ReadAllItems(store, table.name, contents.tables[table.name]));
    }
  }
  const auto streams = store.ListStreams();
  note(streams.status());
  if (!streams.ok()) return contents;
  for (const StreamInfo& stream : *streams) {
    for (const ShardInfo& shard : stream.shards) {
      note(ReadAllRecords(store, stream.id, shard.id, contents.records));
    }
  }
  return contents;
}

// ---- The store under test ----

class RobustnessTest : public StoreTest {
 protected:
  // Makes a store with something in RocksDB and something that only the journal has. crashed_ is a
  // copy of it as a dying process would leave it, closed_ (its own directory) was closed.
  void Build() {
    options_.journal_segment_bytes = 64 << 10;
    options_.generation_bytes_max = 4 << 20;  // No checkpoint but the one below.
    options_.journal_bytes_max = 8 << 20;
    options_.shard_segment_bytes_max = 8 << 10;
    options_.shards_per_stream = 2;
    Open();
    MakeGames(ViewType::kNewAndOldImages);
    ASSERT_OK(store_->CreateTable({.name = "Plain", .keys = kGameKeys}));
    const auto user = [](int64_t id) {
      return "user " + std::to_string(id) + std::string(static_cast<size_t>(id % 7) * 100, '.');
    };
    for (int64_t id = 0; id < 60; ++id) ASSERT_OK(store_->Put("UserGames", Game(id, user(id))));
    ASSERT_OK(store_->Put("Plain", Game(1, "one")));
    ASSERT_OK(store_->Checkpoint());
    for (int64_t id = 40; id < 400; ++id) {
      ASSERT_OK(store_->Put("UserGames", Game(id, user(id + 1)), {.wait = WaitFor::kNothing}));
    }
    for (int64_t id = 0; id < 10; ++id) ASSERT_OK(store_->Delete("UserGames", GameKey(id)));
    ASSERT_OK(store_->WaitFannedOut(store_->Put("Plain", Game(2, "two"))->token));
    AwaitIdleMark();
    AwaitNextSegment();
    expected_ = ReadContents(*store_);
    ASSERT_OK(expected_.damage);
    ASSERT_EQ(expected_.records.size(), 60u + 360u + 10u);
    CopyStore(directory_, crashed_);
    Close();
  }

  // Until the segment after the last one in use is ready: it is what tells the loss of that one
  // from a journal that ends before it.
  void AwaitNextSegment() {
    const uint64_t end = store_->Stats()->appended.value;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
      for (const auto& entry : fs::directory_iterator(directory_ + "/journal")) {
        const auto base = wal::ParseSegmentFileName(entry.path().filename().string());
        if (base && *base >= end) return;
      }
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no segment was made ready";
      std::this_thread::yield();
    }
  }

  // In kSync, until the journal has it on record that everything is durable.
  void AwaitIdleMark() {
    if (GetParam() != Durability::kSync) return;
    const auto written = store_->Put("Plain", Game(3, "the last frame"));
    ASSERT_OK(written);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!IsMarkedDurable(written->token.end)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no idle mark was written";
      std::this_thread::yield();
    }
  }

  // Whether a frame in the journal's files says that everything below `end` is durable.
  bool IsMarkedDurable(Lsn end) const {
    bool is_marked = false;
    EXPECT_OK(wal::ScanJournal(wal::FileSystem::Posix(), directory_ + "/journal",
                               [&](const wal::Frame& frame) {
                                 is_marked = is_marked || frame.mark >= end;
                                 return true;
                               }));
    return is_marked;
  }

  // A copy of a store to be damaged.
  std::string CopyOf(const std::string& image) {
    const std::string copy = temp_.path() + "/copy" + std::to_string(++copies_);
    CopyStore(image, copy);
    return copy;
  }

  // The opening is refused like this, and leaves the directory as it is.
  void ExpectRefused(const std::string& directory, const StoreOptions& options, StatusCode code,
                     const std::string& hint, const std::vector<std::string>& without = {}) {
    const Tree before = ReadTree(directory, without);
    const auto store = Store::Open(directory, options);
    ASSERT_FALSE(store.ok()) << "it should have been refused: " << hint;
    EXPECT_EQ(store.status().code(), code) << store.status().ToString();
    EXPECT_THAT(store.status().message(), HasSubstr(hint));
    EXPECT_THAT(Differences(before, ReadTree(directory, without)), ::testing::IsEmpty());
  }
  void ExpectRefused(const std::string& directory, StatusCode code, const std::string& hint,
                     const std::vector<std::string>& without = {}) {
    ExpectRefused(directory, options_, code, hint, without);
  }

  void ExpectWhole(const std::string& directory) {
    const auto store = Store::Open(directory, options_);
    ASSERT_OK(store);
    const Contents contents = ReadContents(**store);
    EXPECT_OK(contents.damage);
    EXPECT_EQ(contents, expected_);
    EXPECT_OK((*store)->Put("Plain", Game(77, "it takes writes")));
    EXPECT_OK((*store)->Close());
  }

  // Files of a folder in a store, as paths.
  static std::vector<std::string> Files(const std::string& directory, const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory + "/" + folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  const std::string crashed_ = temp_.path() + "/crashed";
  const std::string& closed_ = directory_;
  Contents expected_;

 private:
  int copies_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, RobustnessTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(RobustnessTest, UndamagedCopiesAreWhole) {
  Build();
  ExpectWhole(CopyOf(crashed_));
  ExpectWhole(CopyOf(closed_));
}

// ---- Not a store ----

TEST_P(RobustnessTest, AForeignDirectoryIsLeftAlone) {
  fs::create_directories(directory_ + "/photos");
  WriteBytes(directory_ + "/photos/1.jpg", "not ours");
  ExpectRefused(directory_, StatusCode::kInvalidArgument, "photos");
  EXPECT_FALSE(fs::exists(directory_ + "/LOCK"));
  WriteBytes(directory_ + "/STORE.txt", "nor this");
  fs::remove_all(directory_ + "/photos");
  ExpectRefused(directory_, StatusCode::kInvalidArgument, "STORE.txt");
  EXPECT_FALSE(fs::exists(directory_ + "/LOCK"));
}

TEST_P(RobustnessTest, AFileInPlaceOfTheDirectory) {
  WriteBytes(directory_, "a file");
  const auto store = Store::Open(directory_, options_);
  EXPECT_EQ(store.status().code(), StatusCode::kInvalidArgument) << store.status().ToString();
  EXPECT_THAT(store.status().message(), AllOf(HasSubstr(directory_), HasSubstr("directory")));
  EXPECT_EQ(ReadBytes(directory_), "a file");
}

TEST_P(RobustnessTest, NothingThere) {
  const auto orphan = Store::Open(temp_.path() + "/no/such", options_);
  EXPECT_EQ(orphan.status().code(), StatusCode::kNotFound) << orphan.status().ToString();
  EXPECT_FALSE(fs::exists(temp_.path() + "/no"));
  StoreOptions existing = options_;
  existing.create_if_missing = false;
  EXPECT_EQ(Store::Open(directory_, existing).status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(directory_));
  fs::create_directory(directory_);
  ExpectRefused(directory_, existing, StatusCode::kNotFound, directory_);
  EXPECT_FALSE(fs::exists(directory_ + "/LOCK"));
  // An empty directory is as good as none.
  ASSERT_OK(Store::Open(directory_, options_));
  ASSERT_OK(Store::Open(directory_, existing));
}

TEST_P(RobustnessTest, TheDurabilityIsFixed) {
  Build();
  StoreOptions other = options_;
  const bool sync = options_.durability == Durability::kSync;
  other.durability = sync ? Durability::kBuffered : Durability::kSync;
  for (const std::string& image : {crashed_, closed_}) {
    const std::string copy = CopyOf(image);
    ExpectRefused(copy, other, StatusCode::kInvalidArgument, sync ? "'sync'" : "'buffered'");
    ExpectWhole(copy);
  }
}

// ---- STORE ----

TEST_P(RobustnessTest, TheIdentityFileIsMissing) {
  Build();
  for (const std::string& image : {crashed_, closed_}) {
    const std::string copy = CopyOf(image);
    const std::string identity = ReadBytes(copy + "/STORE");
    fs::remove(copy + "/STORE");
    ExpectRefused(copy, StatusCode::kInvalidArgument, "STORE");
    WriteBytes(copy + "/STORE", identity);
    ExpectWhole(copy);
  }
}

TEST_P(RobustnessTest, TheIdentityFileIsDamaged) {
  Build();
  const std::string copy = CopyOf(closed_);
  const std::string good = ReadBytes(copy + "/STORE");
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    WriteBytes(copy + "/STORE", bad);
    // Of a file of another version nobody knows where its checksum is.
    const bool version = at >= 8 && at < 12;
    ExpectRefused(copy, version ? StatusCode::kUnsupported : StatusCode::kCorruption, "/STORE");
  }
  for (const std::string& bad : {std::string(), good.substr(0, 20), good + "x"}) {
    WriteBytes(copy + "/STORE", bad);
    ExpectRefused(copy, StatusCode::kCorruption, "/STORE");
  }
  WriteBytes(copy + "/STORE", good);
  ExpectWhole(copy);
}

TEST_P(RobustnessTest, ANewerFormatIsUnsupported) {
  Build();
  const std::string copy = CopyOf(closed_);
  const std::string good = ReadBytes(copy + "/STORE");
  std::string newer = good;
  StoreLittle<uint32_t>(newer.data() + 8, engine::kStoreFormatVersion + 1);
  const size_t hash_at = newer.size() - 8;
  StoreLittle<uint64_t>(newer.data() + hash_at, Hash64(ByteView(newer.data(), hash_at)));
  WriteBytes(copy + "/STORE", newer);
  ExpectRefused(copy, StatusCode::kUnsupported,
                "version " + std::to_string(engine::kStoreFormatVersion + 1));
  WriteBytes(copy + "/STORE", good);
  ExpectWhole(copy);
}

// ---- Missing pieces ----

TEST_P(RobustnessTest, AMissingPieceIsALossAndNotABeginning) {
  Build();
  struct Piece {
    std::string path;
    std::vector<std::string> touched;  // Opened before the loss is seen.
  };
  const std::vector<Piece> pieces = {{"items", {}},
                                     {"items/CURRENT", {}},
                                     {"journal", {"items"}},
                                     {"streams", {"items", "journal"}}};
  for (const std::string& image : {crashed_, closed_}) {
    for (const Piece& piece : pieces) {
      SCOPED_TRACE(piece.path);
      const std::string copy = CopyOf(image);
      const std::string aside = copy + "-aside";
      fs::rename(copy + "/" + piece.path, aside);
      ExpectRefused(copy, StatusCode::kCorruption,
                    piece.path == "items/CURRENT" ? "CURRENT" : "/" + piece.path, piece.touched);
      fs::remove_all(copy + "/" + piece.path);
      fs::rename(aside, copy + "/" + piece.path);
      ExpectWhole(copy);
    }
  }
}

// ---- Segments of the journal ----

class JournalDamageTest : public RobustnessTest {
 protected:
  // Segments that hold frames of the crashed store, in order of their positions; the last is the
  // one that was written to.
  std::vector<std::string> SegmentsInUse(const std::string& directory) {
    std::vector<std::string> used;
    const auto found = wal::ScanJournal(wal::FileSystem::Posix(), directory + "/journal",
                                        [](const wal::Frame&) { return true; });
    EXPECT_OK(found);
    for (const wal::SegmentSummary& segment : *found) {
      if (segment.frames > 0) used.push_back(segment.path);
    }
    return used;
  }

  enum class MayBeHarmless { kNo, kYes };

  // After the damage the store is refused, naming the file or its place; undone, it is whole.
  // Damage that may be harmless (it may hit padding) may instead change nothing that is read.
  void Try(const std::function<std::string(const std::vector<std::string>&)>& damage,
           MayBeHarmless may_be_harmless = MayBeHarmless::kNo) {
    const std::string copy = CopyOf(crashed_);
    const Tree before = ReadTree(copy);
    const std::vector<std::string> segments = SegmentsInUse(copy);
    ASSERT_GE(segments.size(), 3u) << "the test wants a longer journal";
    const std::string hint = damage(segments);
    SCOPED_TRACE(last_damage_);
    if (may_be_harmless == MayBeHarmless::kYes) {
      const auto store = Store::Open(CopyOf(copy), options_);
      if (store.ok()) {
        EXPECT_EQ(ReadContents(**store), expected_);
        return;
      }
    }
    ++refusals_;
    ExpectRefused(copy, StatusCode::kCorruption, hint, {"items"});
    if (HasFailure()) return;  // An opening that should not have been has changed the copy.
    for (const auto& entry : fs::directory_iterator(copy + "/journal")) fs::remove(entry);
    for (const auto& [name, bytes] : before) {
      if (name.starts_with("journal/") && !name.ends_with('/'))
        WriteBytes(copy + "/" + name, bytes);
    }
    ExpectWhole(copy);
  }

  static std::string NameOf(const std::string& path) { return fs::path(path).filename(); }

  // Where the frames of a segment file end; beyond stands what nobody wrote.
  static uint64_t EndOfFrames(const std::string& path) {
    const auto found = wal::ScanJournal(wal::FileSystem::Posix(), fs::path(path).parent_path(),
                                        [](const wal::Frame&) { return true; });
    EXPECT_OK(found);
    for (const wal::SegmentSummary& segment : *found) {
      if (segment.path != path) continue;
      return wal::kSegmentHeaderBytes + (segment.valid_end.value - segment.header.base);
    }
    ADD_FAILURE() << path << " is no segment";
    return 1;
  }

  std::string last_damage_;  // Where, for what a failure says.
  int refusals_ = 0;
};

// Only kSync promises that what it acknowledged is on the disk, and keeps evidence of it.
INSTANTIATE_TEST_SUITE_P(Durabilities, JournalDamageTest, ::testing::Values(Durability::kSync),
                         DurabilityName);

TEST_P(JournalDamageTest, ASegmentIsMissing) {
  Build();
  for (const size_t which : {0u, 1u}) {
    Try([&](const auto& segments) {
      fs::remove(segments[which]);
      return "/journal";
    });
  }
}

TEST_P(JournalDamageTest, ASegmentIsRenamedOrThereTwice) {
  Build();
  const auto other_name = [](const std::string& path) {
    std::string name = NameOf(path);
    name[name.find_last_of("0123456789")] ^= 1;
    return fs::path(path).replace_filename(name).string();
  };
  Try([&](const auto& segments) {
    const std::string target = other_name(segments[1]);
    fs::rename(segments[1], target);
    return NameOf(target);
  });
  Try([&](const auto& segments) {
    const std::string target = other_name(segments[1]);
    fs::copy_file(segments[1], target);
    return NameOf(target);
  });
  Try([&](const auto& segments) {
    fs::copy_file(segments[0], segments[1], fs::copy_options::overwrite_existing);
    return NameOf(segments[1]);
  });
}

TEST_P(JournalDamageTest, ASegmentIsCutShort) {
  Build();
  for (const uint64_t bytes : {0u, 100u, 4096u, 20'000u}) {
    Try([&](const auto& segments) {
      fs::resize_file(segments[1], bytes);
      return "/journal";
    });
  }
}

TEST_P(JournalDamageTest, ABitIsFlippedBelowTheDurableMark) {
  Build();
  Random random(TestSeed());
  for (int tries = 0; tries < 24; ++tries) {
    Try(
        [&](const std::vector<std::string>& segments) {
          size_t which = random.Below(segments.size());
          uint64_t end = EndOfFrames(segments[which]);
          if (which + 1 == segments.size()) {
            // Of the Mark frame at the very end there is no later evidence.
            end -= std::min(end, 2 * wal::kBlockBytes);
            if (end == 0) end = EndOfFrames(segments[--which]);
          }
          const std::string& path = segments[which];
          std::string bytes = ReadBytes(path);
          const uint64_t at = random.Below(end);
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
          WriteBytes(path, bytes);
          last_damage_ = path + ", byte " + std::to_string(at);
          return "/journal";
        },
        MayBeHarmless::kYes);
    if (HasFailure()) break;
  }
  EXPECT_GT(refusals_, 0) << "no flip was found";
}

TEST_P(JournalDamageTest, ASegmentOfAnotherStore) {
  Build();
  const std::string other = temp_.path() + "/other";
  {
    auto store = Store::Open(other, options_).value();
    ASSERT_OK(store->CreateTable({.name = "UserGames", .keys = kGameKeys}));
  }
  const std::string foreign = SegmentsInUse(other).front();
  Try([&](const auto& segments) {
    fs::copy_file(foreign, segments[1], fs::copy_options::overwrite_existing);
    return NameOf(segments[1]);
  });
}

// ---- Any file, any damage ----

// What damaging one file may lead to, and never anything else: a refusal, an error when the damaged
// part is read while the rest is right, or (the file was of no use) nothing at all.
class SweepTest : public RobustnessTest {
 protected:
  // Every third damage (with TAILRACE_TEST_SCALE=soak every one): a file has four, so that kinds
  // and files take turns.
  void Sweep(const std::string& image) {
    const uint64_t stride = tailrace::test::ByScale(3, 3, 1);
    uint64_t damages = 0;
    const auto judge = [&](const std::string& name, const std::optional<std::string>& bad) {
      if (damages++ % stride == 0) Judge(image, name, bad);
    };
    const std::string last_segment = LastSegmentInUse(image);
    for (const auto& [name, bytes] : ReadTree(image)) {
      if (name.ends_with('/')) continue;
      SCOPED_TRACE(name);
      judge(name, std::nullopt);
      if (bytes.empty()) continue;
      judge(name, "");
      // A journal cut off in its last segment looks like one that ends there: docs/durability.md.
      if (name != last_segment) judge(name, bytes.substr(0, bytes.size() / 2));
      for (int flips = 0; flips < kFlips; ++flips) {
        std::string bad = bytes;
        const uint64_t at = random_.Below(bad.size());
        bad[at] = static_cast<char>(bad[at] ^ (1 << random_.Below(8)));
        SCOPED_TRACE("bit flipped in byte " + std::to_string(at));
        judge(name, bad);
      }
      if (HasFailure()) return;
    }
  }

  // As ReadTree names it.
  static std::string LastSegmentInUse(const std::string& image) {
    std::string last;
    const auto found = wal::ScanJournal(wal::FileSystem::Posix(), image + "/journal",
                                        [](const wal::Frame&) { return true; });
    EXPECT_OK(found);
    for (const wal::SegmentSummary& segment : *found) {
      if (segment.frames > 0) last = "journal/" + fs::path(segment.path).filename().string();
    }
    return last;
  }

  // `bad`: what the file holds instead; absent: it is gone.
  void Judge(const std::string& image, const std::string& name,
             const std::optional<std::string>& bad) {
    const std::string copy = CopyOf(image);
    const std::string good = ReadBytes(copy + "/" + name);
    if (bad) {
      WriteBytes(copy + "/" + name, *bad);
    } else {
      fs::remove(copy + "/" + name);
    }
    auto store = Store::Open(copy, options_);
    ++tries_;
    if (store.ok()) {
      JudgeContents(**store, ReadContents(**store));
    } else {
      ++refusals_;
      EXPECT_THAT(store.status().code(), AnyOf(StatusCode::kCorruption, StatusCode::kUnsupported,
                                               StatusCode::kInvalidArgument, StatusCode::kIoError))
          << store.status().ToString();
      EXPECT_THAT(store.status().message(), HasSubstr(copy));
      WriteBytes(copy + "/" + name, good);
      ExpectWhole(copy);
    }
    if (store.ok()) store->reset();
    fs::remove_all(copy);
  }

  // What was expected and is not there.
  std::string Missing(const Contents& contents) const {
    std::string missing;
    for (const auto& [table, right] : expected_.tables) {
      const auto found = contents.tables.find(table);
      if (found == contents.tables.end()) {
        missing += "table " + table + "; ";
        continue;
      }
      for (const Item& item : right) {
        const auto& items = found->second;
        if (std::find(items.begin(), items.end(), item) != items.end()) continue;
        missing += table + " " + item.GetNumber("game_id")->ToString() + "; ";
      }
    }
    for (const std::string& record : expected_.records) {
      const auto& records = contents.records;
      if (std::find(records.begin(), records.end(), record) != records.end()) continue;
      missing += "record " + record + "; ";
    }
    return missing.empty() ? "nothing but the order" : missing;
  }

  void JudgeContents(Store& store, const Contents& contents) {
    if (contents == expected_) return;
    ++errors_;
    // A torn end of the journal is cut, in the open; what is left is what was there a bit before.
    if (contents.damage.ok()) {
      EXPECT_GT(store.Stats()->torn_bytes, 0u)
          << "something is missing, and nobody says so: " << Missing(contents);
      EXPECT_LT(contents.records.size(), expected_.records.size());
      return;
    }
    EXPECT_THAT(contents.damage.code(), AnyOf(StatusCode::kCorruption, StatusCode::kIoError))
        << contents.damage.ToString();
    for (const auto& [table, items] : contents.tables) {
      const std::vector<Item>& right = expected_.tables.at(table);
      for (const Item& item : items) {
        EXPECT_NE(std::find(right.begin(), right.end(), item), right.end());
      }
    }
    for (const std::string& record : contents.records) {
      EXPECT_THAT(expected_.records, ::testing::Contains(record));
    }
  }

  static constexpr int kFlips = 1;

  Random random_{MixSeed(TestSeed(), 3)};
  int tries_ = 0;
  int refusals_ = 0;
  int errors_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, SweepTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(SweepTest, NoDamageOfAClosedStoreIsTakenForData) {
  Build();
  Sweep(closed_);
  std::printf("figure: %d damaged stores: %d refused, %d with errors in reading\n", tries_,
              refusals_, errors_);
  EXPECT_GT(refusals_, 10);
}

// Items of the write buffer lie between those of the damaged file.
TEST_P(SweepTest, NoFlippedBitInAFileOfItemsHidesAnItem) {
  constexpr uint64_t kFlipsAFile = 12;
  Build();
  for (const auto& [name, bytes] : ReadTree(crashed_)) {
    if (!name.ends_with(".sst")) continue;
    for (uint64_t flip = 0; flip < kFlipsAFile; ++flip) {
      std::string bad = bytes;
      const uint64_t at = bad.size() * flip / kFlipsAFile + random_.Below(bad.size() / kFlipsAFile);
      bad[at] = static_cast<char>(bad[at] ^ (1 << random_.Below(8)));
      SCOPED_TRACE(name + ": bit flipped in byte " + std::to_string(at));
      Judge(crashed_, name, bad);
    }
  }
  EXPECT_GT(errors_, 0) << "no flip was ever met in reading";
}

// A record that goes on beyond the end is no end: RocksDB would open an older state, and keep it.
TEST_P(SweepTest, AManifestRecordThatPromisesMoreThanThereIsIsRefused) {
  constexpr uint64_t kHeaderBytes = 7;  // All of this MANIFEST lies in one block.
  constexpr uint64_t kLengthAt = 4;
  Build();
  for (const auto& [name, bytes] : ReadTree(closed_)) {
    if (!name.starts_with("items/MANIFEST-")) continue;
    for (uint64_t at = 0; at < bytes.size();) {
      std::string bad = bytes;
      bad[at + kLengthAt + 1] = '\x7f';
      SCOPED_TRACE("record at byte " + std::to_string(at));
      Judge(closed_, name, bad);
      at += kHeaderBytes + LoadLittle<uint16_t>(bytes.data() + at + kLengthAt);
    }
  }
  EXPECT_GT(tries_, 3);
  EXPECT_EQ(refusals_, tries_);
}

TEST_P(SweepTest, NoDamageOfACrashedStoreIsTakenForData) {
  Build();
  Sweep(crashed_);
  std::printf("figure: %d damaged stores: %d refused, %d with errors in reading\n", tries_,
              refusals_, errors_);
  EXPECT_GT(refusals_, 10);
}

// ---- Other openers ----

// Runs `task` in a process of its own, made before this one has any thread or store; it begins when
// it is told to. What the task returns is handed back. As a process that ever had a store open has
// no children that may open one, a test that uses this needs a process of its own (as under ctest).
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<std::string()>& task) {
    int orders[2];
    int answers[2];
    TAILRACE_CHECK(::pipe(orders) == 0 && ::pipe(answers) == 0, "pipes can be made");
    pid_ = ::fork();
    TAILRACE_CHECK(pid_ >= 0, "a process can be made");
    if (pid_ == 0) {
      ::close(orders[1]);
      ::close(answers[0]);
      char word = 0;
      if (::read(orders[0], &word, 1) != 1) ::_exit(1);
      const std::string answer = task();
      (void)!::write(answers[1], answer.data(), answer.size());
      ::_exit(0);
    }
    ::close(orders[0]);
    ::close(answers[1]);
    order_ = orders[1];
    answer_ = answers[0];
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() {
    ::close(order_);
    ::close(answer_);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string Run() {
    (void)!::write(order_, "g", 1);
    std::string answer;
    char bytes[4096];
    for (ssize_t got = 0; (got = ::read(answer_, bytes, sizeof bytes)) > 0;) {
      answer.append(bytes, static_cast<size_t>(got));
    }
    return answer;
  }

 private:
  pid_t pid_ = -1;
  int order_ = -1;
  int answer_ = -1;
};

TEST_P(RobustnessTest, AnotherProcessIsRefusedAtOnceAndToldWhoHasTheStore) {
  OtherProcess other([&] { return Store::Open(directory_, options_).status().ToString(); });
  OtherProcess later([&] { return Store::Open(directory_, options_).status().ToString(); });
  Open();
  MakeGames(std::nullopt);
  // The owner itself still writes there: what it publishes, and the journal's mark.
  const std::vector<std::string> without = {"journal", "streams"};
  const Tree before = ReadTree(directory_, without);
  EXPECT_THAT(other.Run(), AllOf(HasSubstr("busy"), HasSubstr(std::to_string(::getpid()))));
  EXPECT_THAT(Differences(before, ReadTree(directory_, without)), ::testing::IsEmpty());
  const auto here = Store::Open(directory_, options_);
  EXPECT_EQ(here.status().code(), StatusCode::kBusy);
  EXPECT_THAT(here.status().message(), HasSubstr("this process"));
  ASSERT_OK(store_->Put("UserGames", Game(1, "the owner goes on")));
  Close();
  EXPECT_EQ(later.Run(), "ok");
}

TEST_P(RobustnessTest, AForkedChildNeitherEndsNorKeepsTheLock) {
  Open();
  MakeGames(std::nullopt);
  int hold[2];
  ASSERT_EQ(::pipe(hold), 0);
  // One child ends at once, the other lives on with the lock's descriptor.
  const pid_t brief = ::fork();
  if (brief == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(brief, nullptr, 0), brief);
  EXPECT_EQ(Store::Open(directory_, options_).status().code(), StatusCode::kBusy);
  const pid_t lasting = ::fork();
  if (lasting == 0) {
    char word = 0;
    ::close(hold[1]);
    (void)!::read(hold[0], &word, 1);
    ::_exit(0);
  }
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  Close();
  Open();
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "a"));
  ::close(hold[0]);
  ::close(hold[1]);
  ::waitpid(lasting, nullptr, 0);
}

// Makes every file below read-only, for everybody to read.
void MakeReadOnly(const std::string& directory) {
  using Perms = fs::perms;
  const Perms read = Perms::owner_read | Perms::group_read | Perms::others_read;
  const Perms enter = Perms::owner_exec | Perms::group_exec | Perms::others_exec;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    fs::permissions(entry, entry.is_directory() ? read | enter : read);
  }
  fs::permissions(directory, read | enter);
}

void MakeWritable(const std::string& directory) {
  fs::permissions(directory, fs::perms::owner_all);
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    fs::permissions(entry, entry.is_directory() ? fs::perms::owner_all
                                                : fs::perms::owner_read | fs::perms::owner_write);
  }
}

constexpr id_t kNobody = 65534;

void GiveTo(id_t user, const std::string& directory) {
  ASSERT_EQ(::lchown(directory.c_str(), user, user), 0);
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    ASSERT_EQ(::lchown(entry.path().c_str(), user, user), 0);
  }
}

TEST_P(RobustnessTest, AReadOnlyDirectoryIsRefused) {
  // Nothing is read-only for root.
  const auto open_as_nobody = [&]() -> std::string {
    if (::geteuid() == 0 &&
        (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
      return "cannot become nobody";
    }
    return Store::Open(directory_, options_).status().ToString() + "\n" +
           Store::Open(temp_.path() + "/new", options_).status().ToString();
  };
  OtherProcess nobody(open_as_nobody);
  Build();
  if (::geteuid() == 0) GiveTo(kNobody, directory_);  // Or the owner would be the reason.
  MakeReadOnly(temp_.path());
  const Tree before = ReadTree(directory_);
  const std::string answer = nobody.Run();
  EXPECT_THAT(answer, AllOf(HasSubstr("i/o error"), HasSubstr(directory_),
                            HasSubstr(temp_.path() + "/new"), HasSubstr("Permission denied")));
  EXPECT_THAT(answer, Not(HasSubstr("ok")));
  EXPECT_THAT(Differences(before, ReadTree(directory_)), ::testing::IsEmpty());
  MakeWritable(temp_.path());
  if (::geteuid() == 0) GiveTo(0, directory_);
  ExpectWhole(directory_);
}

// ---- Callables ----

TEST_P(RobustnessTest, NoCallFromACallableReachesTheStore) {
  Open();
  MakeGames(ViewType::kKeysOnly);
  ASSERT_OK(store_->Put("UserGames", Game(1, "a")));
  const StreamId stream = LatestStream("UserGames");
  const ShardId shard = store_->DescribeStream(stream)->shards.front().id;
  const Position position = store_->SeekShard(stream, shard, StartAt::kTrimHorizon).value();
  auto reader = DurableReader::Open(*store_, "r", stream, {}).value();
  Store& store = *store_;
  const auto noop = [](std::optional<Item>&) { return Status::Ok(); };
  const std::map<std::string, std::function<Status()>> calls = {
      {"CreateTable",
       [&] {
         return store.CreateTable({"Other", kGameKeys}).status();
       }},
      {"DropTable", [&] { return store.DropTable("UserGames"); }},
      {"DescribeTable", [&] { return store.DescribeTable("UserGames").status(); }},
      {"ListTables", [&] { return store.ListTables().status(); }},
      {"Put", [&] { return store.Put("UserGames", Game(2, "b")).status(); }},
      {"Delete", [&] { return store.Delete("UserGames", GameKey(2)).status(); }},
      {"Update", [&] { return store.Update("UserGames", GameKey(2), noop).status(); }},
      {"Wait", [&] { return store.Wait(CommitToken{}); }},
      {"Get", [&] { return store.Get("UserGames", GameKey(1)).status(); }},
      {"Query", [&] { return store.Query("UserGames", {Value::N(1)}).status(); }},
      {"Scan", [&] { return store.Scan("UserGames", {}).status(); }},
      {"EnableStream",
       [&] { return store.EnableStream("UserGames", ViewType::kNewImage).status(); }},
      {"DisableStream", [&] { return store.DisableStream("UserGames"); }},
      {"ListStreams", [&] { return store.ListStreams().status(); }},
      {"DescribeStream", [&] { return store.DescribeStream(stream).status(); }},
      {"SeekShard", [&] { return store.SeekShard(stream, shard, StartAt::kLatest).status(); }},
      {"ReadShard", [&] { return store.ReadShard(position).status(); }},
      {"WaitShard", [&] { return store.WaitShard(position, 0).status(); }},
      {"WaitShards", [&] { return store.WaitShards({position}, 0).status(); }},
      {"Checkpoint", [&] { return store.Checkpoint(); }},
      {"RunMaintenance", [&] { return store.RunMaintenance(); }},
      {"ConfirmDowntime", [&] { return store.ConfirmDowntime(); }},
      {"Stats", [&] { return store.Stats().status(); }},
      {"Close", [&] { return store.Close(); }},
      {"DurableReader::Open", [&] { return DurableReader::Open(store, "s", stream, {}).status(); }},
      {"DurableReader::Next", [&] { return reader->Next(0).status(); }},
      {"DurableReader::Checkpoint", [&] { return reader->Checkpoint(shard); }},
      {"DurableReader::Forget", [&] { return DurableReader::Forget(store, "r"); }},
  };
  for (const auto& each : calls) {
    SCOPED_TRACE(each.first);
    const auto& call = each.second;
    Status from_condition;
    ASSERT_OK(store_->Put("UserGames", Game(1, "never"), {.condition = [&](const Item*) {
                            from_condition = call();
                            return false;
                          }}));
    EXPECT_EQ(from_condition.code(), StatusCode::kFailedPrecondition) << from_condition.ToString();
    Status from_updater;
    ASSERT_OK(store_->Update("UserGames", GameKey(1), [&](std::optional<Item>&) {
      from_updater = call();
      return Status::Ok();
    }));
    EXPECT_EQ(from_updater.code(), StatusCode::kFailedPrecondition) << from_updater.ToString();
  }
  EXPECT_EQ(*store_->Get("UserGames", GameKey(1)), Game(1, "a"));
  EXPECT_EQ(store_->ListTables()->size(), 1u);
  EXPECT_EQ(store_->ListStreams()->size(), 1u);
  ASSERT_OK(store_->WaitFannedOut(store_->Put("UserGames", Game(1, "b"))->token));
  EXPECT_EQ(ReadStream(*store_, stream).size(), 2u);
}

// ---- Between catalogue and shard logs ----

// A stream that is listed can be read, however far fan-out is behind: here another table's writes
// keep it busy while a stream comes and goes and two readers look for it.
TEST_P(RobustnessTest, AListedStreamCanBeRead) {
  constexpr int kStreams = 60;
  Open();
  MakeGames(ViewType::kNewAndOldImages);
  ASSERT_OK(store_->CreateTable({.name = "Busy", .keys = kGameKeys}));
  ASSERT_OK(store_->EnableStream("Busy", ViewType::kNewAndOldImages));
  std::atomic<bool> done{false};
  std::vector<std::thread> others;
  others.emplace_back([&] {
    for (int64_t i = 0; !done.load(); ++i) {
      EXPECT_OK(store_->Put("Busy",
                            Game(i % 100, std::string(2000, static_cast<char>('a' + i % 26))),
                            {.wait = WaitFor::kNothing}));
    }
  });
  for (int reader = 0; reader < 2; ++reader) {
    others.emplace_back([&] {
      while (!done.load()) {
        const auto info = store_->DescribeTable("UserGames");
        ASSERT_OK(info);
        const auto streams = store_->ListStreams("UserGames");
        ASSERT_OK(streams);
        for (const StreamInfo& stream : *streams) {
          for (const ShardInfo& shard : stream.shards) {
            ASSERT_OK(store_->SeekShard(stream.id, shard.id, StartAt::kTrimHorizon));
            ASSERT_OK(
                store_->SeekShard(stream.id, shard.id, StartAt::kAtSequenceNumber, shard.starting));
          }
        }
      }
    });
  }
  for (int i = 0; i < kStreams; ++i) {
    EXPECT_OK(store_->DisableStream("UserGames"));
    EXPECT_OK(store_->EnableStream("UserGames", ViewType::kKeysOnly));
  }
  done.store(true);
  for (std::thread& other : others) other.join();
}

}  // namespace
}  // namespace tailrace::test
