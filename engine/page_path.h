// The way of a read by pages, of a table or of one of its indexes. Thread-safe: free functions.
#pragma once

#include <string>

#include "engine/consumer_host.h"
#include "engine/core.h"
#include "engine/store.h"

namespace tailrace::engine {

// See Store::Query.
Result<ItemPage> QueryItems(Core& core, const std::string& table, const QueryRequest& request);

// See Store::Scan.
Result<ItemPage> ScanItems(Core& core, const std::string& table, const ScanRequest& request);

// See ConsumerHost::ReadItems.
Result<ConsumerHost::KeyedPage> ReadItems(Core& core, TableId table, const KeyRange& keys,
                                          const PageLimits& limits);

}  // namespace tailrace::engine
