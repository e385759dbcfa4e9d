// All records that a stream holds, through the store.
#pragma once

#include <functional>
#include <vector>

#include "engine/store.h"
#include "wal/status.h"

namespace tailrace::tools {

// Hands every record of the stream from TRIM_HORIZON on to `visit`, shard by shard in the order of
// their ids, up to what is there at the moment; a failure of `visit` ends it. Waits for fan-out to
// reach what was safe at the call. kFailedPrecondition: records expired meanwhile (a gap).
Status ForEachRecord(Store& store, const StreamInfo& stream,
                     const std::function<Status(const ChangeRecord&)>& visit);

// The same as one list in commit order. For small streams.
Result<std::vector<ChangeRecord>> RecordsOfStream(Store& store, const StreamInfo& stream);

}  // namespace tailrace::tools
