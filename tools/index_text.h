// Indexes as people write them on a command line, and as they are shown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/index_spec.h"
#include "tools/json_writer.h"
#include "wal/status.h"

namespace tailrace::tools {

// "ALL", "KEYS_ONLY" or "INCLUDE".
Result<Projection> ParseProjection(std::string_view text);

// "by_user=user:S", "by_user=user:S,at:N/KEYS_ONLY", "by_user=user:S/INCLUDE:title,length": a name,
// the key, and what entries hold unless it is all.
Result<IndexSpec> ParseGlobalIndex(std::string_view text);

// "by_score=score:N", and the same projections: a name and the sort key, beside the partition key
// of `table`.
Result<IndexSpec> ParseLocalIndex(std::string_view text, const KeySchema& table);

// "by_user (user:S, at:N), KEYS_ONLY, local, BACKFILLING"
std::string IndexText(const IndexInfo& index);

void WriteIndexes(JsonWriter& json, const std::vector<IndexInfo>& indexes);

}  // namespace tailrace::tools
