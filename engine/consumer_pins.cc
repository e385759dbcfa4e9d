#include "engine/consumer_pins.h"

#include <map>
#include <string>

#include "engine/consumer_items.h"
#include "engine/item_codec.h"
#include "engine/read_path.h"
#include "engine/stream_view.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

Result<std::map<std::string, ConsumerState>> ReadAll(Core& core, const Table& table) {
  std::map<std::string, ConsumerState> consumers;
  TAILRACE_ASSIGN_OR_RETURN(auto cursor, MergedCursor::Open(core.buffer, *core.index, table.id, "",
                                                            "", Direction::kForward));
  while (cursor->Next()) {
    TAILRACE_ASSIGN_OR_RETURN(const Item item, DecodeItem(cursor->image()));
    TAILRACE_ASSIGN_OR_RETURN(ConsumerPart part, ConsumerPartOf(item));
    AddPart(consumers[ConsumerNameOf(item)], std::move(part));
  }
  TAILRACE_RETURN_IF_ERROR(cursor->status());
  return consumers;
}

}  // namespace

Result<std::vector<shards::Pin>> ReadPins(Core& core) {
  std::vector<shards::Pin> pins;
  const Table* const table = core.catalogue.Get().catalogue->Find(kConsumerTable);
  if (table == nullptr || TAILRACE_MUTANT("pins-ignored")) return pins;
  TAILRACE_ASSIGN_OR_RETURN(const auto consumers, ReadAll(core, *table));
  const shards::StreamCatalogue catalogue = core.shards->catalogue();
  for (const auto& [name, state] : consumers) {
    const ConsumerRecord& consumer = state.consumer;
    const shards::Stream* const stream = catalogue.Find(consumer.stream);
    if (consumer.pin_bytes_max == 0 || stream == nullptr) continue;
    TAILRACE_ASSIGN_OR_RETURN(const StreamInfo info, ViewStream(*stream));
    const auto done = [&of = state](ShardId shard) { return of.Done(shard); };
    const Lineage lineage = LookAtLineage(info, done);
    shards::Pin& pin = pins.emplace_back(shards::Pin{
        .stream = consumer.stream, .kept_from = {}, .bytes_max = consumer.pin_bytes_max});
    for (const ShardInfo& shard : info.shards) {
      if (lineage.read.contains(shard.id)) continue;
      const auto lease = state.leases.find(shard.id);
      pin.kept_from[shard.id] =
          lease != state.leases.end()
              ? lease->second.position.next
              : std::max(shard.starting, consumer.begin.value_or(SequenceNumber{}));
    }
  }
  return pins;
}

}  // namespace tailrace::engine
