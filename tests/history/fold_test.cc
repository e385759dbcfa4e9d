// What a checkpoint promises, looked at for every one of many that are made back to back under the
// traffic of several threads: RocksDB holds the fold of the journal up to the cut, byte for byte,
// items and entries of indexes alike; the streams up to the cut fold to the same tables; and each
// index is what its table makes of it.
//
// The store runs on a simulated disk. A hook at the commit of each cut keeps the disk of that
// moment; every second one as a power cut would leave it.
#include "engine/fold.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "engine/index_entry.h"
#include "engine/item_codec.h"
#include "engine/item_index.h"
#include "engine/store_files.h"
#include "shards/offline.h"
#include "shards/shard_header.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"
#include "wal/format.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";
constexpr uint32_t kWriters = 3;
constexpr uint64_t kIds = 150;
constexpr uint64_t kWritesOfPhase = 30;  // That are let in at each phase of a checkpoint.
constexpr uint64_t kCheckpointsBetweenIndexChanges = 8;
constexpr char kAlwaysThere[] = "by_color";
constexpr char kComesAndGoes[] = "by_count";
const std::vector<std::string> kTables{"Red", "Blue"};
const KeySchema kKeys{{"id", ScalarType::kN}, std::nullopt};

struct Stored {
  Lsn lsn;
  std::string image;
};
using Items = std::map<std::string, Stored>;  // By storage key.
using State = std::map<TableId, Items>;       // Indexes have numbers like tables.

// The fold of the journal, carried from cut to cut.
class Fold final : public engine::ItemSink {
 public:
  // Goes on up to the cut with what the journal of this disk has.
  Status GoOn(wal::FileSystem& fs, Lsn cut) {
    Status applied;
    const std::string journal = engine::StorePaths(kDirectory).journal;
    TAILRACE_RETURN_IF_ERROR(wal::ScanJournal(fs, journal, [&](const wal::Frame& frame) {
                               if (frame.lsn >= cut || !applied.ok()) return false;
                               if (frame.end <= end_) return true;
                               end_ = frame.end;
                               if (static_cast<uint8_t>(frame.type) < wal::kFirstCallerFrame)
                                 return true;
                               ++frames_;
                               applied = engine::ApplyFrame(frame, state_, *this);
                               return true;
                             }).status());
    std::erase_if(items_, [&](const auto& entry) { return !catalogue().Holds(entry.first); });
    return applied;
  }

  const engine::Catalogue& catalogue() const { return state_.catalogue; }
  const State& items() const { return items_; }
  uint64_t frames() const { return frames_; }

 private:
  void SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) override {
    if (image) {
      items_[table][std::string(key)] = {lsn, std::string(*image)};
    } else {
      items_[table].erase(std::string(key));
    }
  }

  engine::FoldState state_;
  State items_;
  Lsn end_;
  uint64_t frames_ = 0;
};

// The fold of the streams, of the same kind.
class StreamFold {
 public:
  // Goes on with the records of the cut's shards. Empty, or what is wrong.
  std::string GoOn(wal::FileSystem& fs, const engine::Cut& cut) {
    std::map<SequenceNumber, std::pair<TableId, shards::Record>> fresh;
    const auto catalogue = shards::StreamCatalogue::FromProto(cut.catalogue().streams());
    if (!catalogue.ok()) return catalogue.status().ToString();
    for (const auto& end : cut.shard_ends()) {
      const shards::Stream* stream = catalogue->Find(StreamId{end.stream()});
      if (stream == nullptr) return "a shard without a stream";
      SequenceNumber& seen = seen_[ShardId{end.shard()}];
      std::string damage;
      const shards::OfflineVisitor visitor{
          .on_record =
              [&](const shards::OfflineRecord& record) {
                if (record.record.sequence <= seen) return true;
                seen = record.record.sequence;
                return fresh.try_emplace(seen, stream->table, record.record.Copy()).second;
              },
          .on_damage =
              [&](const shards::Damage& found) {
                if (!found.harmless()) damage = found.file + ": " + found.message;
              }};
      const std::string path = shards::ShardPath(engine::StorePaths(kDirectory).streams,
                                                 StreamId{end.stream()}, ShardId{end.shard()});
      const auto report = shards::VerifyShard(fs, path, end, visitor, {.sequence = seen});
      if (!report.ok()) return report.status().ToString();
      if (!damage.empty()) return damage;
      if (report->stopped) return "two shards have the same record";
    }
    for (const auto& [sequence, change] : fresh) {
      if (sequence.value >= cut.lsn()) return "a record beyond the cut";
      const std::string problem = Apply(items_[change.first], change.second);
      if (!problem.empty()) return "record " + std::to_string(sequence.value) + ": " + problem;
    }
    records_ += fresh.size();
    return "";
  }

  const State& items() const { return items_; }
  uint64_t records() const { return records_; }

 private:
  static std::string Apply(Items& items, const shards::Record& record) {
    const auto found = items.find(record.key);
    const bool existed = found != items.end();
    if (existed != record.old_image.has_value()) return "its old image should not be so";
    if (existed && found->second.image != *record.old_image) return "its old image is another's";
    if (existed == (record.kind == ChangeKind::kInsert)) return "its kind is wrong";
    if (record.new_image) {
      const Lsn lsn{record.sequence.value - record.change_index};
      items[record.key] = {lsn, *record.new_image};
    } else {
      items.erase(record.key);
    }
    return "";
  }

  State items_;
  std::map<ShardId, SequenceNumber> seen_;
  uint64_t records_ = 0;
};

Result<Items> ReadAll(engine::ItemIndex& index, TableId table) {
  Items items;
  TAILRACE_ASSIGN_OR_RETURN(const auto cursor, index.NewCursor(table));
  for (cursor->SeekAtLeast({}); cursor->valid(); cursor->Next()) {
    items[std::string(cursor->key())] = {cursor->lsn(), std::string(cursor->image())};
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  return items;
}

std::string Difference(const Items& found, const Items& expected) {
  if (found.size() != expected.size()) {
    return std::to_string(found.size()) + " items, expected " + std::to_string(expected.size());
  }
  for (const auto& [key, stored] : expected) {
    const auto other = found.find(key);
    if (other == found.end()) return "an item is missing";
    if (other->second.lsn != stored.lsn) {
      return "an item of the commit at " + std::to_string(other->second.lsn.value) + ", expected " +
             std::to_string(stored.lsn.value);
    }
    if (other->second.image != stored.image) return "an item has another image";
  }
  return "";
}

// What an active index has, compared with its table. Empty, or what is wrong.
std::string CheckIndex(const engine::Index& index, const Items& items, const Items& entries) {
  std::map<std::string, std::string> expected;
  uint64_t with_attribute = 0;
  for (const auto& [key, stored] : items) {
    const auto item = DecodeItem(stored.image);
    if (!item.ok()) return item.status().ToString();
    with_attribute += item->Has(index.spec.keys.partition.name);
    if (auto entry = engine::EntryOf(index, key, stored.image)) {
      expected[entry->key] = entry->image.value_or(stored.image);
    }
  }
  if (expected.size() != with_attribute) return "entries and attributes differ in number";
  if (entries.size() != expected.size()) {
    return std::to_string(entries.size()) + " entries, expected " + std::to_string(expected.size());
  }
  for (const auto& [key, image] : expected) {
    const auto found = entries.find(key);
    if (found == entries.end()) return "an entry is missing";
    if (found->second.image != image) return "an entry shows another item";
  }
  return "";
}

class CheckpointFoldTest : public StoreTest {
 protected:
  // Its pause points look here, those of its last checkpoint too.
  void TearDown() override { store_.reset(); }

  struct Moment {
    SimDisk disk;
    bool power_cut = false;
  };

  void OpenOnSimFs() {
    directory_ = kDirectory;
    options_.fs = &fs_;
    options_.shard_split_records_per_second = 0;
    options_.shards_per_stream_max = 16;
    options_.on_pause_point = [this](PausePoint point) {
      if (point == PausePoint::kAfterFreeze || point == PausePoint::kBeforeIngest) LetWritesIn();
      if (point != PausePoint::kBeforeRecycle) return;
      const std::lock_guard lock(mutex_);
      moments_.push_back({.disk = fs_.disk(), .power_cut = ++cuts_ % 2 == 0});
    };
    Open();
    for (const std::string& table : kTables) {
      ASSERT_OK(store_->CreateTable(
          {.name = table, .keys = kKeys, .stream = ViewType::kNewAndOldImages}));
    }
    ASSERT_OK(store_->CreateIndex(
        "Red", {.name = kAlwaysThere, .keys = {{"color", ScalarType::kS}, std::nullopt}}));
    ASSERT_OK(store_->RunMaintenance());
  }

  // Items whose attributes come and go and change, so that entries do.
  static Item RandomItem(Random& random, int64_t id) {
    Item item{{"id", Value::N(id)}, {"text", Value::S(std::string(random.Below(300), 't'))}};
    if (!random.OneIn(4)) item.Set("color", Value::S(std::string(1, "rgb"[random.Below(3)])));
    if (!random.OneIn(3)) item.Set("count", Value::N(static_cast<int64_t>(random.Below(20))));
    return item;
  }

  WriteRequest RandomWrite(Random& random) {
    const std::string& table = kTables[random.Below(kTables.size())];
    const auto id = static_cast<int64_t>(random.Below(kIds));
    const Item key{{"id", Value::N(id)}};
    switch (random.Below(4)) {
      case 0:
        return WriteRequest::Delete(table, key);
      case 1:
        return WriteRequest::Update(table, key, [item = RandomItem(random, id)](auto& old) {
          if (old) {
            old->Set("count", Value::N(old->size() + 1));
          } else {
            old = item;
          }
          return Status::Ok();
        });
      default:
        return WriteRequest::Put(table, RandomItem(random, id));
    }
  }

  // A simulated disk is so fast that writers would do nothing but grow the journal.
  void LetWritesIn() {
    allowed_ += kWritesOfPhase;
    allowed_.notify_all();
  }

  // Waits until this write is let in. False: no more are.
  bool MayWrite(const std::atomic<bool>& done) {
    const uint64_t turn = writes_++;
    for (uint64_t allowed = allowed_; allowed <= turn && !done; allowed = allowed_) {
      allowed_.wait(allowed);
    }
    return !done && !HasFailure();
  }

  void Write(uint64_t seed, const std::atomic<bool>& done) {
    Random random(seed);
    while (MayWrite(done)) {
      if (random.OneIn(3)) {
        std::vector<WriteRequest> writes{RandomWrite(random), RandomWrite(random)};
        const auto result = store_->Transact(std::move(writes));
        // Both may be about one item, which is refused.
        ASSERT_TRUE(result.ok() || result.status().code() == StatusCode::kInvalidArgument)
            << result.status().ToString();
      } else {
        ASSERT_OK(store_->Transact({RandomWrite(random)}));
      }
    }
  }

  void ChangeShardsAndIndexes(Random& random) {
    const auto table = store_->DescribeTable("Red");
    ASSERT_OK(table);
    if (table->indexes.size() > 1) {
      ASSERT_OK(store_->DropIndex("Red", kComesAndGoes));
    } else {
      ASSERT_OK(store_->CreateIndex("Red", {.name = kComesAndGoes,
                                            .keys = {{"count", ScalarType::kN}, std::nullopt},
                                            .projection = Projection::kKeysOnly}));
    }
    const auto stream = store_->DescribeStream(*table->latest_stream);
    ASSERT_OK(stream);
    const auto split =
        store_->SplitShard(stream->id, stream->shards[random.Below(stream->shards.size())].id);
    ASSERT_TRUE(split.ok() || split.status().code() == StatusCode::kFailedPrecondition)
        << split.status().ToString();
    ASSERT_OK(store_->RunMaintenance());
  }

  void CheckNewMoments() {
    while (!HasFailure()) {
      std::optional<Moment> moment;
      {
        const std::lock_guard lock(mutex_);
        if (moments_.empty()) return;
        moment = std::move(moments_.front());
        moments_.pop_front();
      }
      CheckMoment(*moment);
      ++checked_;
    }
  }

  void CheckMoment(const Moment& moment) {
    SimFs fs(moment.power_cut ? moment.disk.Crash({.keep = CrashChoice::Keep::kNone})
                              : moment.disk);
    const auto index = engine::ItemIndex::Open(fs, engine::StorePaths(kDirectory).items,
                                               {.background_work = false});
    ASSERT_OK(index);
    const auto bytes = (*index)->ReadCut();
    ASSERT_OK(bytes);
    ASSERT_TRUE(bytes->has_value());
    engine::Cut cut;
    ASSERT_TRUE(cut.ParseFromString(**bytes));
    ASSERT_OK(fold_.GoOn(fs, Lsn{cut.lsn()}));
    ASSERT_EQ(streams_.GoOn(fs, cut), "") << "cut at " << cut.lsn();
    ASSERT_EQ(fold_.catalogue().tables().size(),
              static_cast<size_t>(cut.catalogue().tables_size()));
    for (const auto& [name, table] : fold_.catalogue().tables()) {
      CheckTable(**index, table, cut.lsn());
    }
  }

  void CheckTable(engine::ItemIndex& index, const engine::Table& table, uint64_t cut) {
    const auto items = ReadAll(index, table.id);
    ASSERT_OK(items);
    ASSERT_EQ(Difference(*items, Of(fold_.items(), table.id)), "") << table.name << " at " << cut;
    items_ += items->size();
    if (table.stream != StreamId{}) {
      ASSERT_EQ(Difference(*items, Of(streams_.items(), table.id)), "")
          << "the stream of " << table.name << " at " << cut;
    }
    for (const engine::Index& each : table.indexes) {
      const auto entries = ReadAll(index, each.id);
      ASSERT_OK(entries);
      ASSERT_EQ(Difference(*entries, Of(fold_.items(), each.id)), "")
          << each.spec.name << " at " << cut;
      entries_ += entries->size();
      if (each.state != IndexState::kActive) continue;
      ASSERT_EQ(CheckIndex(each, *items, *entries), "") << each.spec.name << " at " << cut;
      ++indexes_;
    }
  }

  static Items Of(const State& state, TableId table) {
    const auto found = state.find(table);
    return found == state.end() ? Items() : found->second;
  }

  SimFs fs_{{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}};
  std::mutex mutex_;
  std::deque<Moment> moments_;
  uint64_t cuts_ = 0;
  Fold fold_;
  StreamFold streams_;
  std::atomic<uint64_t> writes_ = 0;
  std::atomic<uint64_t> allowed_ = 0;
  uint64_t checked_ = 0;
  uint64_t items_ = 0;
  uint64_t entries_ = 0;
  uint64_t indexes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, CheckpointFoldTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(CheckpointFoldTest, RocksDbIsTheFoldAtEveryCut) {
  const uint64_t seed = TestSeed();
  options_.shared_table_bytes_max = seed % 2 == 0 ? 0 : 4 << 20;
  OpenOnSimFs();
  std::atomic<bool> done = false;
  std::vector<std::thread> writers;
  for (uint64_t i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] { Write(MixSeed(seed, i), done); });
  }
  Random random(MixSeed(seed, kWriters));
  const uint64_t checkpoints = ByScale(25, 500, 50'000);
  for (uint64_t i = 1; checked_ < checkpoints && !HasFailure(); ++i) {
    LetWritesIn();
    EXPECT_OK(store_->Checkpoint());
    if (i % kCheckpointsBetweenIndexChanges == 0) ChangeShardsAndIndexes(random);
    CheckNewMoments();
  }
  done = true;
  LetWritesIn();
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(streams_.records(), checked_);
  EXPECT_GT(indexes_, checked_ / 2);
  std::printf(
      "figure: folds at checkpoints, %s: %llu cuts under traffic, %llu frames and %llu stream "
      "records folded, %llu items and %llu index entries compared, %llu active indexes\n",
      GetParam() == Durability::kSync ? "sync" : "buffered",
      static_cast<unsigned long long>(checked_), static_cast<unsigned long long>(fold_.frames()),
      static_cast<unsigned long long>(streams_.records()), static_cast<unsigned long long>(items_),
      static_cast<unsigned long long>(entries_), static_cast<unsigned long long>(indexes_));
}

}  // namespace
}  // namespace tailrace::test
