// Tells everything that is in a store, through its public interface, each item by more than one
// way.
#include <map>

#include "tools/crashtest/world.h"
#include "wal/random.h"

namespace tailrace::crashtest {
namespace {

class Dumper {
 public:
  explicit Dumper(World& world) : world_(world), random_(MixSeed(world.plan.seed, 17)) {}

  Status Run() {
    TAILRACE_ASSIGN_OR_RETURN(const auto tables, world_.store->ListTables());
    for (const TableInfo& table : tables) {
      if (table.name != kEffectTable) TAILRACE_RETURN_IF_ERROR(DumpTable(table));
    }
    const size_t before_streams = events_.size();
    Status status = DumpStreams();
    // The store's own upkeep may trim meanwhile what had expired before; nothing expires now.
    for (int tries = 1; tries < kTriesMax && Trimmed(status); ++tries) {
      events_.resize(before_streams);
      status = DumpStreams();
    }
    TAILRACE_RETURN_IF_ERROR(status);
    TAILRACE_RETURN_IF_ERROR(DumpTokens());
    Event end{.kind = EventKind::kDumpEnd, .true_ms = world_.TrueMs()};
    end.sequence = world_.plan.dump_from;
    end.first = TokensFrom();
    events_.push_back(end);
    world_.teller.TellAll(events_);
    return Status::Ok();
  }

 private:
  static constexpr int kTriesMax = 20;
  static constexpr char kTokenTable[] = "_tailrace.transactions";

  bool Trimmed(const Status& status) const {
    return world_.plan.maintenance_interval_ms != 0 && status.code() == StatusCode::kNotFound;
  }

  // Transactions of earlier runs were judged long ago.
  uint64_t TokensFrom() const {
    constexpr uint32_t kRunsBack = 12;
    return world_.plan.run - std::min(world_.plan.run, kRunsBack);
  }

  Status DumpTokens() {
    ScanRequest request;
    while (true) {
      request.items_max = static_cast<uint32_t>(random_.Between(1, 300));
      const auto page = world_.store->Scan(kTokenTable, request);
      if (page.status().code() == StatusCode::kNotFound) return Status::Ok();  // None was needed.
      TAILRACE_RETURN_IF_ERROR(page.status());
      for (const Item& item : page->items) {
        Event event{.kind = EventKind::kToken};
        event.transaction = std::stoull(*item.GetString("token"));
        if (event.transaction >> 32 >= TokensFrom()) events_.push_back(event);
      }
      if (!page->last_key) return Status::Ok();
      request.start_after = page->last_key;
    }
  }

  Status DumpStreams() {
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, world_.store->ListStreams());
    for (const StreamInfo& stream : streams) TAILRACE_RETURN_IF_ERROR(DumpStream(stream));
    return Status::Ok();
  }

  Status DumpTable(const TableInfo& info) {
    const uint32_t table = KeySpace::TableOf(info.name);
    if (table == kTableNames) return Corruption("a table '" + info.name + "' that nobody made");
    if (!(info.keys == KeySpace::Of(table).schema())) {
      return Corruption("table " + info.name + " has another key");
    }
    Event event{.kind = EventKind::kTable, .table = table};
    event.first = info.id.value;
    if (info.stream_view) {
      if (!info.latest_stream) return Corruption("an enabled stream without an id");
      event.stream = info.latest_stream->value;
      event.view = *info.stream_view;
    }
    events_.push_back(event);
    std::map<uint32_t, ItemState> items;
    TAILRACE_RETURN_IF_ERROR(ScanTable(table, items));
    for (const auto& [key, state] : items) {
      Event item{.kind = EventKind::kItem, .table = table, .key = key};
      item.new_state = state;
      events_.push_back(item);
    }
    TAILRACE_RETURN_IF_ERROR(CompareWithGetAndQuery(table, items));
    for (const IndexInfo& index : info.indexes) {
      // The others are being filled.
      if (index.state == IndexState::kActive) {
        TAILRACE_RETURN_IF_ERROR(CompareIndex(info, index));
      }
    }
    return Status::Ok();
  }

  using ItemsByKey = std::map<std::string, Item>;

  // All items of a table, or of an index.
  Result<ItemsByKey> ReadAll(const TableInfo& table, const std::string& index) {
    ItemsByKey items;
    ScanRequest request;
    request.index = index;
    while (true) {
      request.items_max = static_cast<uint32_t>(random_.Between(1, 20));
      TAILRACE_ASSIGN_OR_RETURN(ItemPage page, world_.store->Scan(table.name, request));
      for (Item& item : page.items) {
        TAILRACE_ASSIGN_OR_RETURN(std::string key, EncodeKeyOfItem(table.keys, item));
        if (!items.emplace(std::move(key), std::move(item)).second) {
          return Corruption("table " + table.name + ": a scan of '" + index +
                            "' shows an item twice");
        }
      }
      if (!page.last_key) return items;
      request.start_after = std::move(page.last_key);
    }
  }

  // An index holds what the table makes of it.
  Status CompareIndex(const TableInfo& table, const IndexInfo& index) {
    TAILRACE_ASSIGN_OR_RETURN(const ItemsByKey items, ReadAll(table, ""));
    TAILRACE_ASSIGN_OR_RETURN(const ItemsByKey entries, ReadAll(table, index.spec.name));
    ItemsByKey expected;
    for (const auto& [key, item] : items) {
      expected[key] = index.spec.projection == Projection::kAll
                          ? item
                          : KeyOfEntry(index.spec.keys, table.keys, item);
    }
    if (entries == expected) return Status::Ok();
    return Corruption("table " + table.name + ": the index " + index.spec.name + " of " +
                      std::to_string(entries.size()) + " entries is not what its " +
                      std::to_string(items.size()) + " items make of it");
  }

  Status ScanTable(uint32_t table, std::map<uint32_t, ItemState>& items) {
    const KeySpace& space = KeySpace::Of(table);
    ScanRequest request;
    while (true) {
      request.items_max = static_cast<uint32_t>(random_.Between(1, 20));
      TAILRACE_ASSIGN_OR_RETURN(ItemPage page, world_.store->Scan(space.name(), request));
      for (const Item& item : page.items) {
        const auto key = space.Find(KeyOfItem(space.schema(), item));
        if (!key) return Corruption("table " + space.name() + " has a key that nobody wrote");
        if (!items.emplace(*key, StateOf(world_, table, *key, &item)).second) {
          return Corruption("table " + space.name() + ": a scan shows an item twice");
        }
      }
      if (!page.last_key) return Status::Ok();
      request.start_after = std::move(page.last_key);
    }
  }

  // Nothing is written meanwhile, so every way to an item shows the same.
  Status CompareWithGetAndQuery(uint32_t table, const std::map<uint32_t, ItemState>& items) {
    const KeySpace& space = KeySpace::Of(table);
    std::map<uint32_t, ItemState> queried;
    for (uint32_t key = 0; key < kKeysPerTable; ++key) {
      TAILRACE_ASSIGN_OR_RETURN(const auto got, world_.store->Get(space.name(), space.Key(key)));
      const ItemState state = StateOf(world_, table, key, got ? &*got : nullptr);
      const auto scanned = items.find(key);
      if (!(state == (scanned == items.end() ? ItemState{} : scanned->second))) {
        return Corruption("table " + space.name() + ": Get and Scan differ");
      }
      QueryRequest request{.partition = *space.Key(key).Get(space.schema().partition.name)};
      request.forward = random_.OneIn(2);
      TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, world_.store->Query(space.name(), request));
      for (const Item& item : page.items) {
        const auto found = space.Find(KeyOfItem(space.schema(), item));
        if (!found) return Corruption("table " + space.name() + ": Query shows a foreign key");
        queried[*found] = StateOf(world_, table, *found, &item);
      }
    }
    if (queried == items) return Status::Ok();
    return Corruption("table " + space.name() + ": Query and Scan differ");
  }

  Status DumpStream(const StreamInfo& info) {
    const uint32_t table = KeySpace::TableOf(info.table_name);
    if (table == kTableNames) return Corruption("a stream of a table that nobody made");
    Event event{.kind = EventKind::kStream, .view = info.view, .table = table};
    event.stream = info.id.value;
    event.first = info.table.value;
    event.second = info.retention_ms;
    event.outcome = info.enabled;
    events_.push_back(event);
    for (const ShardInfo& shard : info.shards) {
      TAILRACE_RETURN_IF_ERROR(DumpShard(info, table, shard));
    }
    return Status::Ok();
  }

  Status DumpShard(const StreamInfo& stream, uint32_t table, const ShardInfo& info) {
    Event event{.kind = EventKind::kShard, .table = table};
    event.stream = stream.id.value;
    event.shard = info.id.value;
    event.sequence = info.starting.value;
    event.first = info.hash_first;
    event.last = info.hash_last;
    event.second = info.ending ? info.ending->value : 0;
    event.ordinal = info.trimmed_below.value;
    events_.push_back(event);

    const uint64_t from =
        std::max({world_.plan.dump_from, info.starting.value, info.trimmed_below.value});
    if (info.ending && from > info.ending->value) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(
        Position position, world_.store->SeekShard(stream.id, info.id, StartAt::kAtSequenceNumber,
                                                   SequenceNumber{from}));
    while (true) {
      const PageLimits limits{.records_max = random_.Between(1, 300)};
      TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, world_.store->ReadShard(position, limits));
      if (page.gap) {
        return NotFound("a gap from " + std::to_string(page.gap->first.value) + " to " +
                        std::to_string(page.gap->last.value) + " where nothing was trimmed, from " +
                        std::to_string(from));
      }
      for (const ChangeRecord& record : page.records) {
        Event told{.kind = EventKind::kRecord};
        DescribeRecord(world_, table, record, told);
        events_.push_back(told);
      }
      if (page.caught_up || page.end_of_shard) return Status::Ok();
      position = page.next;
    }
  }

  World& world_;
  Random random_;
  std::vector<Event> events_;
};

}  // namespace

void Dump(World& world) {
  if (const Status status = Dumper(world).Run(); !status.ok()) {
    world.teller.Fail("reading everything", status);
  }
}

void DescribeRecord(const World& world, uint32_t table, const ChangeRecord& record, Event& event) {
  const KeySpace& space = KeySpace::Of(table);
  event.table = table;
  event.stream = record.stream.value;
  event.shard = record.shard.value;
  event.ordinal = record.ordinal;
  event.sequence = record.sequence.value;
  event.change = record.kind;
  event.view = record.view;
  event.first = DigestRecord(record);
  const auto key = space.Find(record.keys);
  if (!key) return world.teller.Fail("a record has a key that nobody wrote");
  event.key = *key;
  event.has_new_image = record.new_image.has_value();
  event.has_old_image = record.old_image.has_value();
  uint64_t size_bytes = record.keys.SizeBytes();
  if (record.new_image) {
    event.new_state = StateOf(world, table, *key, &*record.new_image);
    size_bytes += record.new_image->SizeBytes();
  }
  if (record.old_image) {
    event.old_state = StateOf(world, table, *key, &*record.old_image);
    size_bytes += record.old_image->SizeBytes();
  }
  if (size_bytes != record.size_bytes) world.teller.Fail("a record says a wrong size");
  event.second = record.commit.value;
  event.last = record.commit_changes;
  if (record.sequence < record.commit ||
      record.sequence.value - record.commit.value >= record.commit_changes) {
    world.teller.Fail("a record says that it is not in its commit");
  }
  event.by_service = record.actor == Actor::kTimeToLive;
}

}  // namespace tailrace::crashtest
