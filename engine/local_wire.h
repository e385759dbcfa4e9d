// What crosses the local socket, between the types of the store and engine/local.proto. Pure
// functions; any message is safe: kCorruption when it cannot be what the other end means.
#pragma once

#include <string>

#include "engine/local.pb.h"
#include "engine/store.h"
#include "wal/status.h"

namespace tailrace::engine {

inline constexpr uint32_t kLocalVersion = 1;

local::Code CodeOf(StatusCode code);
// The failure that an answer reports; OK if it reports none.
Status StatusOf(const local::Response& response);
void SetStatus(const Status& status, local::Response& response);

// kInvalidArgument if the item may not be stored.
Result<std::string> WireItem(const Item& item);

// A single value, as an operand of a query.
Result<std::string> WireValue(const Value& value);
Result<Value> ValueOfWire(ByteView bytes);

local::WriteResult ToWire(const WriteResult& result);
Result<WriteResult> FromWire(const local::WriteResult& result);

local::ItemPage ToWire(const ItemPage& page);
Result<ItemPage> FromWire(const local::ItemPage& page);

local::Table ToWire(const TableInfo& table);
Result<TableInfo> FromWire(const local::Table& table);

local::Stream ToWire(const StreamInfo& stream);
Result<StreamInfo> FromWire(const local::Stream& stream);

local::BackupReport ToWire(const BackupReport& report);
BackupReport FromWire(const local::BackupReport& report);

local::Stats ToWire(const StoreStats& stats);
StoreStats FromWire(const local::Stats& stats);

}  // namespace tailrace::engine
