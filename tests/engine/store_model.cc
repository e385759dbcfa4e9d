#include "tests/engine/store_model.h"

#include <map>
#include <set>

#include "tests/engine/lineage_check.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";

// A change that a stream must show.
struct ExpectedRecord {
  SequenceNumber sequence;
  ChangeKind kind;
  Item keys;
  std::optional<Item> new_image;
  std::optional<Item> old_image;
};

struct ModelStream {
  ViewType view{};
  bool enabled = true;
  std::vector<ExpectedRecord> records;       // Not expired ones, by sequence number.
  std::vector<uint64_t> ages;                // Of the records.
  std::map<std::string, Item> items_before;  // The table when it was enabled.
};

struct ModelTable {
  std::map<std::string, Item> items;  // By the key's text.
  std::optional<StreamId> stream;
};

// A transaction that the store remembers.
struct ModelToken {
  std::vector<WriteRequest> writes;
  WriteOutcome outcome{};
  std::vector<WriteOutcome> outcomes;
  SequenceNumber commit;
  uint64_t age_ms = 0;  // Pending downtime included.
};

std::string KeyText(const Item& item) {
  return *item.GetString("user") + "/" + item.GetNumber("at")->ToString();
}

// A store, its model, and a run of random operations on both.
class StoreModel {
 public:
  StoreModel(Durability durability, Random random)
      : durability_(durability),
        random_(random),
        fs_(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}) {}

  // Returns how many operations there were. Failures are those of the test.
  uint64_t Run(const ModelShape& shape) {
    Open();
    for (int round = 0; round < shape.rounds && GoesOn(); ++round) {
      for (int i = 0; i < shape.operations_per_round && GoesOn(); ++i) {
        Operate(shape.event_every);
      }
      if (!HasFatalFailure()) VerifyAll();
      if (!HasFatalFailure()) Reopen();
      if (!HasFatalFailure()) VerifyAll();
    }
    return operations_;
  }

 private:
  bool GoesOn() const { return !random_.exhausted() && !HasFatalFailure(); }
  static bool HasFatalFailure() { return ::testing::Test::HasFatalFailure(); }
  static bool HasFailure() { return ::testing::Test::HasFailure(); }

  void Operate(uint64_t event_every) {
    const uint64_t kind = random_.Below(100);
    if (kind < 68 || (kind >= 91 && !random_.OneIn(event_every))) {
      Write();
    } else if (kind < 91) {
      Transact();
    } else if (kind < 93) {
      ChangeShards();
    } else if (kind < 96) {
      Toggle();
    } else if (kind < 98) {
      ASSERT_OK(store_->Checkpoint());
      if (event_every == 1) VerifyAll();
    } else {
      StepClock();
    }
    ++operations_;
  }

  void VerifyAll() {
    VerifyTables();
    if (!HasFatalFailure()) VerifyStreams();
  }

  // The store's age stands still unless the clock is stepped or the store is opened.
  void LookAtAge() {
    const auto stats = store_->Stats();
    ASSERT_OK(stats);
    age_ms_ = stats->age_ms;
    pending_ms_ = stats->downtime_pending_ms;
  }

  void Open() {
    StoreOptions options = SmallOptions(clock_, durability_);
    options.fs = &fs_;
    options.journal_segment_bytes = 64ull << 10 << random_.Below(3);
    options.generation_bytes_max = 4ull << 10 << random_.Below(6);
    options.journal_bytes_max = 1 << 20;
    options.shard_segment_bytes_max = 8ull << 10 << random_.Below(3);
    options.shards_per_stream = static_cast<uint32_t>(random_.Between(1, 5));
    options.shards_per_stream_max = 9;
    options.shard_split_records_per_second = random_.Below(3);
    options.shard_split_window_ms = 30'000;
    options.shard_rotation_ms = random_.OneIn(2) ? 0 : 6 * 3600'000;
    options.block_cache_bytes = 1 << 20;
    options.item_cache_bytes = 1 << 20;
    constexpr uint64_t kSharedBytes[] = {0, 2000, 8000, 4 << 20};
    options.shared_table_bytes_max = kSharedBytes[random_.Below(std::size(kSharedBytes))];
    auto store = Store::Open(kDirectory, options);
    ASSERT_OK(store);
    store_ = std::move(*store);
    LookAtAge();
  }

  // From now on nothing that the store's threads do reaches the disk; then they end. Were the disk
  // given a new life before, they would go on in it, which no dead process does.
  void StopInItsTracks() {
    fs_.CutPowerAt(1, CrashMoment::kBefore);
    store_.reset();
  }

  // Ends the run in one of the ways there are, and opens the store again.
  void Reopen() {
    switch (random_.Below(3)) {
      case 0:
        ASSERT_OK(store_->Close());
        store_.reset();
        break;
      case 1:
        StopInItsTracks();
        fs_.KillProcess();
        break;
      default:
        StopInItsTracks();
        if (durability_ == Durability::kBuffered) {
          fs_.KillProcess();
        } else {
          fs_.CutPower({.keep = CrashChoice::Keep::kRandomPieces,
                        .argument = random_.Next(),
                        .fill = static_cast<CrashChoice::Fill>(random_.Below(3))});
        }
        break;
    }
    Open();
  }

  Item RandomKey() {
    return Item{{"user", Value::S("user" + std::to_string(random_.Below(4)))},
                {"at", Value::N(random_.Below(25))}};
  }
  Item RandomItem() {
    Item item = RandomKey();
    item.Set("value", Value::N(random_.Below(3)));
    if (random_.OneIn(3)) item.Set("text", Value::S(std::string(random_.Below(300), 'x')));
    return item;
  }

  const std::string& RandomTable() { return names_[random_.Below(names_.size())]; }

  void Expect(ModelTable& table, const WriteResult& result, const Item& keys,
              std::optional<Item> old_item, std::optional<Item> new_item) {
    if (old_item == new_item) {
      ASSERT_EQ(result.outcome, WriteOutcome::kUnchanged);
      return;
    }
    ASSERT_EQ(result.outcome, WriteOutcome::kApplied);
    ASSERT_LT(last_sequence_, result.sequence);
    last_sequence_ = result.sequence;
    if (new_item) {
      table.items[KeyText(keys)] = *new_item;
    } else {
      table.items.erase(KeyText(keys));
    }
    if (!table.stream) return;
    ModelStream& stream = streams_.at(*table.stream);
    const ChangeKind kind = !old_item   ? ChangeKind::kInsert
                            : !new_item ? ChangeKind::kRemove
                                        : ChangeKind::kModify;
    const bool shows_new =
        stream.view == ViewType::kNewImage || stream.view == ViewType::kNewAndOldImages;
    const bool shows_old =
        stream.view == ViewType::kOldImage || stream.view == ViewType::kNewAndOldImages;
    stream.records.push_back({result.sequence, kind, keys, shows_new ? new_item : std::nullopt,
                              shows_old ? old_item : std::nullopt});
    stream.ages.push_back(age_ms_);
  }

  void Write() {
    const std::string& name = RandomTable();
    const auto found = tables_.find(name);
    const Item item = RandomItem();
    const Item key = KeyOfItem(kScoreKeys, item);
    if (found == tables_.end()) {
      ASSERT_EQ(store_->Put(name, item).status().code(), StatusCode::kNotFound);
      return;
    }
    ModelTable& table = found->second;
    const auto before = table.items.find(KeyText(key));
    const std::optional<Item> old_item =
        before == table.items.end() ? std::nullopt : std::optional<Item>(before->second);
    switch (random_.Below(4)) {
      case 0: {
        const bool allow = random_.OneIn(2);
        auto result = store_->Put(name, item, {.condition = [&](const Item* now) {
                                    EXPECT_EQ(now == nullptr, !old_item.has_value());
                                    return allow;
                                  }});
        ASSERT_OK(result);
        if (!allow) {
          ASSERT_EQ(result->outcome, WriteOutcome::kRejected);
          return;
        }
        return Expect(table, *result, key, old_item, item);
      }
      case 1: {
        auto result = store_->Delete(name, key, {.return_items = ReturnItems::kOld});
        ASSERT_OK(result);
        ASSERT_EQ(result->old_item, old_item);
        return Expect(table, *result, key, old_item, std::nullopt);
      }
      case 2: {
        std::optional<Item> new_item = old_item ? old_item : std::optional<Item>(key);
        new_item->Set("touched", Value::N(random_.Below(2)));
        auto result = store_->Update(name, key, [&](std::optional<Item>& now) {
          now = new_item;
          return Status::Ok();
        });
        ASSERT_OK(result);
        return Expect(table, *result, key, old_item, new_item);
      }
      default: {
        auto result = store_->Put(name, item);
        ASSERT_OK(result);
        return Expect(table, *result, key, old_item, item);
      }
    }
  }

  std::optional<Item> ItemNow(const std::string& table, const Item& item) const {
    const auto& items = tables_.at(table).items;
    const auto found = items.find(KeyText(item));
    return found == items.end() ? std::nullopt : std::optional<Item>(found->second);
  }

  // A write of a transaction, and what it makes of the item.
  WriteRequest DrawRequest(const std::string& table, bool allow, std::optional<Item>& new_item) {
    const Item item = RandomItem();
    const Item key = KeyOfItem(kScoreKeys, item);
    const std::optional<Item> now = ItemNow(table, key);
    const Condition condition = [allow, now](const Item* seen) {
      EXPECT_EQ(seen == nullptr ? std::nullopt : std::optional<Item>(*seen), now);
      return allow;
    };
    switch (random_.Below(4)) {
      case 0:
        new_item = now;
        return WriteRequest::Check(table, key, condition);
      case 1:
        new_item.reset();
        return WriteRequest::Delete(table, key, condition);
      case 2:
        new_item = now ? now : key;
        new_item->Set("touched", Value::N(random_.Below(2)));
        return WriteRequest::Update(
            table, key,
            [made = *new_item](std::optional<Item>& changing) {
              changing = made;
              return Status::Ok();
            },
            condition);
      default:
        new_item = item;
        return WriteRequest::Put(table, item, condition);
    }
  }

  void Transact() {
    if (tables_.empty()) return;
    std::vector<WriteRequest> writes;
    std::vector<std::optional<Item>> new_items;
    std::set<std::string> drawn;
    bool rejected = false;
    for (uint64_t n = random_.Between(1, 6); n > 0; --n) {
      const auto table =
          std::next(tables_.begin(), static_cast<long>(random_.Below(tables_.size())));
      const bool allow = !random_.OneIn(12);
      std::optional<Item> new_item;
      WriteRequest request = DrawRequest(table->first, allow, new_item);
      if (!drawn.insert(table->first + "/" + KeyText(request.item)).second) continue;
      request.return_items = ReturnItems::kOld;
      rejected = rejected || !allow;
      writes.push_back(std::move(request));
      new_items.push_back(std::move(new_item));
    }
    TransactOptions options;
    if (random_.OneIn(2)) options.idempotency_token = "token " + std::to_string(random_.Below(6));
    if (const auto known = FindToken(options.idempotency_token); known != tokens_.end()) {
      return Repeat(known->first, known->second, writes);
    }
    const auto result = store_->Transact(writes, options);
    ASSERT_OK(result);
    ASSERT_FALSE(result->repeated);
    if (rejected) {
      ASSERT_EQ(result->outcome, WriteOutcome::kRejected);
      return;
    }
    ExpectAll(writes, new_items, *result);
    if (options.idempotency_token.empty()) return;
    ModelToken& token = tokens_[options.idempotency_token];
    token = {writes, result->outcome, {}, result->commit, age_ms_ + pending_ms_};
    for (const WriteResult& item : result->items) token.outcomes.push_back(item.outcome);
  }

  void ExpectAll(const std::vector<WriteRequest>& writes,
                 const std::vector<std::optional<Item>>& new_items, const TransactResult& result) {
    std::vector<std::optional<Item>> old_items;
    for (const WriteRequest& write : writes) old_items.push_back(ItemNow(write.table, write.item));
    ASSERT_EQ(result.outcome == WriteOutcome::kApplied, old_items != new_items);
    uint64_t applied = 0;
    for (size_t i = 0; i < writes.size(); ++i) {
      const WriteResult& item = result.items[i];
      ASSERT_EQ(item.old_item, old_items[i]);
      if (old_items[i] != new_items[i]) {
        ASSERT_EQ(item.sequence.value, result.commit.value + applied++);
      }
      Expect(tables_.at(writes[i].table), item, KeyOfItem(kScoreKeys, writes[i].item), old_items[i],
             new_items[i]);
      if (HasFatalFailure()) return;
    }
  }

  std::map<std::string, ModelToken>::iterator FindToken(const std::string& token) {
    const auto found = tokens_.find(token);
    if (found == tokens_.end()) return found;
    const bool expired =
        age_ms_ >= found->second.age_ms && age_ms_ - found->second.age_ms >= kIdempotencyTokenMs;
    return expired ? tokens_.end() : found;
  }

  // Under a token that is remembered: the first request again, or another one.
  void Repeat(const std::string& name, const ModelToken& token,
              const std::vector<WriteRequest>& other) {
    const bool tables_stand =
        std::all_of(token.writes.begin(), token.writes.end(),
                    [&](const WriteRequest& write) { return tables_.contains(write.table); });
    if (random_.OneIn(2) || !tables_stand) {
      std::vector<WriteRequest> different = other;
      different.push_back(WriteRequest::Delete(
          tables_.begin()->first, Item{{"user", Value::S("nobody")}, {"at", Value::N(1)}}));
      ASSERT_EQ(store_->Transact(different, {.idempotency_token = name}).status().code(),
                StatusCode::kAlreadyExists);
    } else {
      const auto again = store_->Transact(token.writes, {.idempotency_token = name});
      ASSERT_OK(again);
      ASSERT_TRUE(again->repeated);
      ASSERT_EQ(again->outcome, token.outcome);
      ASSERT_EQ(again->commit, token.commit);
      for (size_t i = 0; i < token.writes.size(); ++i) {
        ASSERT_EQ(again->items[i].outcome, token.outcomes[i]);
        ASSERT_EQ(again->items[i].old_item, std::nullopt);
      }
    }
  }

  void VerifyTogether() {
    std::vector<ItemKey> keys;
    std::vector<std::optional<Item>> expected;
    for (const auto& [name, table] : tables_) {
      for (int i = 0; i < 8; ++i) {
        keys.push_back({name, RandomKey()});
        expected.push_back(ItemNow(name, keys.back().key));
      }
    }
    if (keys.empty()) return;
    ASSERT_EQ(store_->TransactGet(keys).value(), expected);
    ASSERT_EQ(store_->BatchGet(keys).value(), expected);
  }

  void Toggle() {
    const std::string& name = RandomTable();
    const auto found = tables_.find(name);
    if (found == tables_.end()) {
      std::optional<ViewType> view;
      if (random_.OneIn(2)) view = RandomView();
      auto made = store_->CreateTable({.name = name, .keys = kScoreKeys, .stream = view});
      ASSERT_OK(made);
      ModelTable& table = tables_[name];
      if (view) Enabled(table, *made->latest_stream, *view);
      return;
    }
    ModelTable& table = found->second;
    if (random_.OneIn(5)) {
      ASSERT_OK(store_->DropTable(name));
      if (table.stream) streams_.at(*table.stream).enabled = false;
      tables_.erase(found);
    } else if (table.stream) {
      ASSERT_OK(store_->DisableStream(name));
      streams_.at(*table.stream).enabled = false;
      table.stream.reset();
    } else {
      const ViewType view = RandomView();
      auto enabled = store_->EnableStream(name, view);
      ASSERT_OK(enabled);
      Enabled(table, enabled->id, view);
    }
  }

  // Splits a shard, or merges two where that is allowed: nothing that the model would see.
  void ChangeShards() {
    if (streams_.empty()) return;
    const auto stream =
        std::next(streams_.begin(), static_cast<long>(random_.Below(streams_.size())));
    const auto info = store_->DescribeStream(stream->first);
    if (info.status().code() == StatusCode::kNotFound) return;  // Expired.
    ASSERT_OK(info);
    const size_t at = random_.Below(info->shards.size());
    const ShardId shard = info->shards[at].id;
    Status changed;
    if (random_.OneIn(2)) {
      changed = store_->SplitShard(stream->first, shard).status();
    } else {
      const ShardId other = info->shards[random_.Below(info->shards.size())].id;
      changed = store_->MergeShards(stream->first, shard, other).status();
    }
    ASSERT_TRUE(changed.ok() || changed.code() == StatusCode::kFailedPrecondition ||
                changed.code() == StatusCode::kInvalidArgument)
        << changed.ToString();
  }

  ViewType RandomView() { return static_cast<ViewType>(random_.Between(1, 4)); }

  void Enabled(ModelTable& table, StreamId stream, ViewType view) {
    ASSERT_FALSE(streams_.contains(stream)) << "a stream's id is never used again";
    table.stream = stream;
    streams_[stream] = {
        .view = view, .enabled = true, .records = {}, .ages = {}, .items_before = table.items};
  }

  void StepClock() {
    switch (random_.Below(4)) {
      case 0:
        clock_.JumpWall(static_cast<int64_t>(random_.Below(100 * 3600'000)));
        break;
      case 1:
        clock_.JumpWall(-static_cast<int64_t>(random_.Below(100 * 3600'000)));
        break;
      default:
        clock_.Advance(random_.Below(8 * 3600'000));
        break;
    }
    ASSERT_OK(store_->RunMaintenance());
    LookAtAge();
    for (auto& [id, stream] : streams_) {
      size_t expired = 0;
      while (expired < stream.ages.size() && age_ms_ - stream.ages[expired] >= kRetentionMs)
        ++expired;
      if (expired > 0) stream.items_before.clear();
      if (expired > 0) expired_.insert(id);
      stream.ages.erase(stream.ages.begin(), stream.ages.begin() + static_cast<long>(expired));
      stream.records.erase(stream.records.begin(),
                           stream.records.begin() + static_cast<long>(expired));
    }
  }

  void VerifyTables() {
    const auto stats = store_->Stats();
    ASSERT_OK(stats);
    ASSERT_EQ(stats->age_ms, age_ms_);
    ASSERT_EQ(stats->downtime_pending_ms, pending_ms_);
    std::set<std::string> names;
    const auto listed = store_->ListTables();
    ASSERT_OK(listed);
    for (const TableInfo& info : *listed) names.insert(info.name);
    ASSERT_EQ(names.size(), tables_.size());
    for (const auto& [name, table] : tables_) {
      std::map<std::string, Item> found;
      for (const Item& item : ReadTable(*store_, name, 7)) {
        ASSERT_TRUE(found.emplace(KeyText(item), item).second) << "scanned twice";
      }
      ASSERT_EQ(found, table.items) << name;
      const Item key = RandomKey();
      const auto expected = table.items.find(KeyText(key));
      const auto got = store_->Get(name, key);
      ASSERT_OK(got);
      ASSERT_EQ(got->has_value(), expected != table.items.end());
      VerifyQuery(name, table);
    }
    VerifyTogether();
  }

  void VerifyQuery(const std::string& name, const ModelTable& table) {
    const std::string user = "user" + std::to_string(random_.Below(4));
    const uint64_t low = random_.Below(25);
    std::map<uint64_t, Item> expected;
    for (const auto& [text, item] : table.items) {
      const uint64_t at = std::stoull(item.GetNumber("at")->ToString());
      if (*item.GetString("user") == user && at >= low) expected[at] = item;
    }
    QueryRequest request;
    request.partition = Value::S(user);
    request.sort.kind = SortCondition::Kind::kGreaterOrEqual;
    request.sort.value = Value::N(low);
    request.forward = random_.OneIn(2);
    request.items_max = 4;
    std::vector<Item> found;
    while (true) {
      auto page = store_->Query(name, request);
      ASSERT_OK(page);
      for (Item& item : page->items) found.push_back(std::move(item));
      if (!page->last_key) break;
      request.start_after = page->last_key;
    }
    if (!request.forward) std::reverse(found.begin(), found.end());
    ASSERT_EQ(found.size(), expected.size());
    size_t i = 0;
    for (const auto& [at, item] : expected) ASSERT_EQ(found[i++], item);
  }

  void VerifyStreams() {
    std::map<StreamId, StreamInfo> infos;
    const auto listed = store_->ListStreams();
    ASSERT_OK(listed);
    for (const StreamInfo& info : *listed) infos[info.id] = info;
    for (const auto& [id, stream] : streams_) {
      if (!infos.contains(id)) {
        ASSERT_TRUE(!stream.enabled && stream.records.empty()) << "a stream went with records";
        continue;
      }
      ASSERT_EQ(infos.at(id).enabled, stream.enabled);
      std::vector<ChangeRecord> found = ReadStream(*store_, id);
      const LineageCheck lineage(infos.at(id));
      lineage.CheckShards();
      lineage.CheckOrder(found);
      if (HasFailure()) return;
      std::sort(found.begin(), found.end(),
                [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
      ASSERT_EQ(found.size(), stream.records.size()) << "stream " << id.value;
      for (size_t i = 0; i < found.size(); ++i) {
        const ExpectedRecord& expected = stream.records[i];
        ASSERT_EQ(found[i].sequence, expected.sequence);
        ASSERT_EQ(found[i].kind, expected.kind);
        ASSERT_EQ(found[i].keys, expected.keys);
        ASSERT_EQ(found[i].new_image, expected.new_image);
        ASSERT_EQ(found[i].old_image, expected.old_image);
      }
      VerifyFold(id, stream, found);
    }
  }

  // The table as it was when the stream began, with the stream's changes, is the table.
  void VerifyFold(StreamId id, const ModelStream& stream,
                  const std::vector<ChangeRecord>& records) {
    if (!stream.enabled || expired_.contains(id)) return;
    if (stream.view != ViewType::kNewImage && stream.view != ViewType::kNewAndOldImages) return;
    std::map<std::string, Item> folded = stream.items_before;
    for (const ChangeRecord& record : records) {
      if (record.kind == ChangeKind::kRemove) {
        folded.erase(KeyText(record.keys));
      } else {
        folded[KeyText(record.keys)] = *record.new_image;
      }
    }
    for (const auto& [name, table] : tables_) {
      if (table.stream == id) {
        ASSERT_EQ(folded, table.items);
      }
    }
  }

  static constexpr uint64_t kRetentionMs = 24 * 3600'000;

  const Durability durability_;
  uint64_t operations_ = 0;
  uint64_t age_ms_ = 0;
  uint64_t pending_ms_ = 0;
  Random random_;
  SimClock clock_;
  SimFs fs_;
  std::unique_ptr<Store> store_;
  const std::vector<std::string> names_{"Alpha", "Beta", "Gamma"};
  std::map<std::string, ModelTable> tables_;
  std::map<StreamId, ModelStream> streams_;
  std::map<std::string, ModelToken> tokens_;
  std::set<StreamId> expired_;  // Streams that lost records to retention.
  SequenceNumber last_sequence_;
};

}  // namespace

uint64_t RunStoreModel(Durability durability, const Random& random, const ModelShape& shape) {
  return StoreModel(durability, random).Run(shape);
}

}  // namespace tailrace::test
