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

// Decodes a shard log's record. `stream` is the one it belongs to. kCorruption: key or image cannot
// be read.
Result<ChangeRecord> ViewRecord(StoreId store, const shards::Stream& stream, const KeySchema& keys,
                                ShardId shard, const shards::Record& record);

// Decodes a page of the stream's shard. Errors as ViewRecord.
Result<ChangePage> ViewPage(StoreId store, const shards::Stream& stream, const KeySchema& keys,
                            ShardId shard, const shards::Page& page);

// What the service counts as a record's size: keys and the images present.
uint64_t RecordSizeBytes(const ChangeRecord& record);

}  // namespace tailrace::engine
