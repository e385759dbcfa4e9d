// Tables, streams, shards and records as the public API shows them.
#pragma once

#include "engine/catalogue.h"
#include "engine/store.h"
#include "shards/shard_reader.h"

namespace tailrace::engine {

TableInfo ViewTable(const Catalogue& catalogue, const Table& table);

ShardInfo ViewShard(const shards::Shard& shard);

Result<StreamInfo> ViewStream(const shards::Stream& stream);

// All streams, or those of tables that have or had this name; by id.
Result<std::vector<StreamInfo>> ViewStreams(const shards::StreamCatalogue& catalogue,
                                            const std::optional<std::string>& table);

// kNotFound: there is no such stream.
Result<StreamInfo> ViewStream(const shards::StreamCatalogue& catalogue, StreamId stream);
Status NoStream(StreamId stream);

// What decoding a stream's records needs. It never changes.
struct RecordSchema {
  StoreId store;
  StreamId stream;
  ViewType view = ViewType::kKeysOnly;
  KeySchema keys;
};

// kCorruption: the stream's keys cannot be read.
Result<std::shared_ptr<const RecordSchema>> SchemaOf(StoreId store, const shards::Stream& stream);

// Decodes a shard log's record. kCorruption: key or image cannot be read.
Result<ChangeRecord> ViewRecord(const RecordSchema& schema, ShardId shard,
                                const shards::RecordView& record);

// Decodes a page. Errors as ViewRecord.
Result<ChangePage> ViewPage(const EncodedPage& page);

// What the service counts as a record's size: keys and the images present.
uint64_t RecordSizeBytes(const ChangeRecord& record);

}  // namespace tailrace::engine
