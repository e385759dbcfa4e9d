#include "engine/stream_view.h"

#include "engine/item_codec.h"
#include "wal/coding.h"
#include "wal/hash.h"

namespace tailrace::engine {
namespace {

// 16 digits.
void WriteHex(uint64_t number, char* target) {
  for (int i = 15; i >= 0; --i, number >>= 4) target[i] = "0123456789abcdef"[number & 15];
}

// A hash of who the record is, so that it is the same whenever and wherever it is read.
std::string EventId(StoreId store, StreamId stream, SequenceNumber sequence) {
  char identity[24];
  StoreLittle(identity, store.value);
  StoreLittle(identity + 8, stream.value);
  StoreLittle(identity + 16, sequence.value);
  const ByteView bytes(identity, sizeof identity);
  std::string text(32, '0');
  WriteHex(Hash64(bytes, 1), text.data());
  WriteHex(Hash64(bytes, 2), text.data() + 16);
  return text;
}

}  // namespace

TableInfo ViewTable(const Catalogue& catalogue, const Table& table) {
  TableInfo info;
  info.name = table.name;
  info.id = table.id;
  info.keys = table.keys;
  info.created_ms = table.created_ms;
  if (const auto* stream = catalogue.streams().Find(table.stream)) info.stream_view = stream->view;
  if (table.latest_stream != StreamId{}) info.latest_stream = table.latest_stream;
  info.latest_stream_label = table.latest_stream_label;
  info.indexes.assign(table.indexes.begin(), table.indexes.end());
  if (table.time_to_live.enabled()) info.time_to_live_attribute = table.time_to_live.attribute;
  return info;
}

ShardInfo ViewShard(const shards::Shard& shard) {
  return {.id = shard.id,
          .name = shard.Name(),
          .hash_first = shard.range.first,
          .hash_last = shard.range.last,
          .parent = shard.parent,
          .starting = shard.starting,
          .ending = shard.ending,
          .trimmed_below = shard.trimmed_below};
}

Result<StreamInfo> ViewStream(const shards::Stream& stream) {
  StreamInfo info;
  info.id = stream.id;
  info.table = stream.table;
  info.table_name = stream.table_name;
  TAILRACE_ASSIGN_OR_RETURN(info.keys, FromProto(stream.keys));
  info.label = stream.label;
  info.view = stream.view;
  info.enabled = stream.enabled();
  info.created_ms = stream.created_ms;
  info.retention_ms = stream.retention_ms;
  for (const auto& [id, shard] : stream.shards) info.shards.push_back(ViewShard(shard));
  return info;
}

Result<std::vector<StreamInfo>> ViewStreams(const shards::StreamCatalogue& catalogue,
                                            const std::optional<std::string>& table) {
  std::vector<StreamInfo> streams;
  for (const auto& [id, stream] : catalogue.streams()) {
    if (table && stream.table_name != *table) continue;
    TAILRACE_ASSIGN_OR_RETURN(StreamInfo info, ViewStream(stream));
    streams.push_back(std::move(info));
  }
  return streams;
}

Result<StreamInfo> ViewStream(const shards::StreamCatalogue& catalogue, StreamId stream) {
  const shards::Stream* const found = catalogue.Find(stream);
  return found != nullptr ? ViewStream(*found) : NoStream(stream);
}

Status NoStream(StreamId stream) {
  return NotFound("there is no stream " + std::to_string(stream.value) +
                  "; if it existed, its records have expired");
}

uint64_t RecordSizeBytes(const ChangeRecord& record) {
  uint64_t bytes = record.keys.SizeBytes();
  if (record.new_image) bytes += record.new_image->SizeBytes();
  if (record.old_image) bytes += record.old_image->SizeBytes();
  return bytes;
}

Result<std::shared_ptr<const RecordSchema>> SchemaOf(StoreId store, const shards::Stream& stream) {
  TAILRACE_ASSIGN_OR_RETURN(KeySchema keys, FromProto(stream.keys));
  return std::shared_ptr<const RecordSchema>(
      std::make_shared<RecordSchema>(RecordSchema{store, stream.id, stream.view, std::move(keys)}));
}

Result<ChangeRecord> ViewRecord(const RecordSchema& schema, ShardId shard,
                                const shards::RecordView& record) {
  ChangeRecord view;
  view.event_id = EventId(schema.store, schema.stream, record.sequence);
  view.kind = record.kind;
  view.sequence = record.sequence;
  view.commit = SequenceNumber{record.sequence.value - record.change_index};
  view.commit_changes = record.change_count;
  view.stream = schema.stream;
  view.shard = shard;
  view.ordinal = record.ordinal;
  view.wall_ms = record.wall_ms;
  view.actor = record.actor;
  view.view = schema.view;
  TAILRACE_ASSIGN_OR_RETURN(view.keys, DecodeKey(schema.keys, record.key));
  if (record.new_image) {
    TAILRACE_ASSIGN_OR_RETURN(view.new_image, DecodeItem(*record.new_image));
  }
  if (record.old_image) {
    TAILRACE_ASSIGN_OR_RETURN(view.old_image, DecodeItem(*record.old_image));
  }
  view.size_bytes = RecordSizeBytes(view);
  return view;
}

Result<ChangePage> ViewPage(const EncodedPage& page) {
  ChangePage view{.gap = page.gap,
                  .records = {},
                  .next = page.next,
                  .caught_up = page.caught_up,
                  .end_of_shard = page.end_of_shard};
  view.records.reserve(page.records.size());
  for (const RecordView& record : page.records) {
    TAILRACE_ASSIGN_OR_RETURN(ChangeRecord one, page.Decode(record));
    view.records.push_back(std::move(one));
  }
  return view;
}

}  // namespace tailrace::engine

namespace tailrace {

Result<Item> EncodedPage::DecodeKeys(const RecordView& record) const {
  TAILRACE_CHECK(schema != nullptr, "a record of a page that was read");
  return DecodeKey(schema->keys, record.key);
}

Result<ChangeRecord> EncodedPage::Decode(const RecordView& record) const {
  TAILRACE_CHECK(schema != nullptr, "a record of a page that was read");
  return engine::ViewRecord(*schema, next.shard, record);
}

}  // namespace tailrace
