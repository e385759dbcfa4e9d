// Tailrace as an engine: the public API, items encoded by the library as users have it.
#include <chrono>
#include <thread>

#include "bench/engine.h"
#include "bench/must.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "engine/store.h"

namespace tailrace::bench {
namespace {

constexpr char kTable[] = "Items";

Item ItemOf(uint64_t id, std::string_view value) {
  return Item{{"id", Value::S(KeyOf(id))}, {"value", Value::B(Binary{std::string(value)})}};
}

class TailraceEngine final : public Engine {
 public:
  TailraceEngine(const std::string& directory, const EngineOptions& options) : kind_(options.kind) {
    StoreOptions store;
    store.durability = options.safety == Safety::kSync ? Durability::kSync : Durability::kBuffered;
    // In one to fill and one to drain, what rivals have in several. (Two of 128 MiB are no faster
    // for rocksdb_get_put than four of 64.)
    store.generation_bytes_max = options.buffer_bytes * kWriteBuffers / 2;
    store.journal_bytes_max = options.buffer_bytes * kWriteBuffers;
    store.item_cache_bytes = kItemCacheBytes;
    store.block_cache_bytes = kCacheBytes - kItemCacheBytes;
    store_ = Must(Store::Open(directory, store));
    if (!store_->DescribeTable(kTable).ok()) {
      Must(store_->CreateTable({.name = kTable, .keys = {{"id", ScalarType::kS}, {}}}));
    }
  }
  ~TailraceEngine() override { Must(store_->Close()); }

  void Load(uint64_t items, uint64_t value_bytes) override {
    ValueMaker values(value_bytes, 1);
    for (uint64_t id = 0; id < items; ++id) {
      Must(store_->Put(kTable, ItemOf(id, values.Next()), {.wait = WaitFor::kNothing}));
    }
    CatchUp();
    if (kind_ == Kind::kTailraceNoStream) return;
    const ViewType view =
        kind_ == Kind::kTailrace ? ViewType::kNewAndOldImages : ViewType::kKeysOnly;
    stream_ = Must(store_->EnableStream(kTable, view)).id;
  }

  void Write(uint64_t id, std::string_view value) override {
    Must(store_->Put(kTable, ItemOf(id, value)));
  }
  uint64_t Begin(uint64_t id, std::string_view value) override {
    return Must(store_->Put(kTable, ItemOf(id, value), {.wait = WaitFor::kNothing}))
        .token.end.value;
  }
  void Await(uint64_t token) override { Must(store_->Wait({Lsn{token}})); }

  uint64_t Read(uint64_t id) override {
    const auto item = Must(store_->Get(kTable, Item{{"id", Value::S(KeyOf(id))}}));
    return item ? item->GetBinary("value")->bytes.size() : 0;
  }
  uint64_t ReadRange(uint64_t id, uint64_t items) override {
    return Must(store_->Scan(kTable, {.items_max = static_cast<uint32_t>(items),
                                      .start_after = Item{{"id", Value::S(KeyOf(id))}}}))
        .items.size();
  }

  void CatchUp() override {
    Must(store_->Checkpoint());  // Durable, fanned out and drained, in this order.
    while (Must(store_->Stats()).index_compacting) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  Changes ReadChanges(Decoding decoding) override {
    Changes changes;
    if (kind_ == Kind::kTailraceNoStream) return changes;
    for (const ShardInfo& shard : Must(store_->DescribeStream(stream_)).shards) {
      const Position start = Must(store_->SeekShard(stream_, shard.id, StartAt::kTrimHorizon));
      decoding == Decoding::kNone ? ReadEncoded(start, changes) : ReadDecoded(start, changes);
    }
    return changes;
  }

 private:
  void ReadDecoded(Position position, Changes& changes) {
    while (true) {
      const ChangePage page = Must(store_->ReadShard(position));
      for (const ChangeRecord& record : page.records) changes.bytes += record.size_bytes;
      changes.records += page.records.size();
      position = page.next;
      if (page.caught_up || page.end_of_shard) return;
    }
  }
  void ReadEncoded(Position position, Changes& changes) {
    EncodedPage page;
    while (true) {
      Must(store_->ReadEncoded(position, {.records_max = 10'000}, page));
      for (const RecordView& record : page.records) {
        changes.bytes += record.key.size() + record.new_image.value_or(ByteView()).size() +
                         record.old_image.value_or(ByteView()).size();
      }
      changes.records += page.records.size();
      position = page.next;
      if (page.caught_up || page.end_of_shard) return;
    }
  }

  const Kind kind_;
  std::unique_ptr<Store> store_;
  StreamId stream_;
};

}  // namespace

std::unique_ptr<Engine> OpenTailrace(const std::string& directory, const EngineOptions& options) {
  return std::make_unique<TailraceEngine>(directory, options);
}

}  // namespace tailrace::bench
