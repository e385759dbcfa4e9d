#include "tools/stream_records.h"

#include <algorithm>

#include "tools/format.h"
#include "tools/record_text.h"

namespace tailrace::tools {

Status ForEachRecord(Store& store, const StreamInfo& stream,
                     const std::function<Status(const ChangeRecord&)>& visit) {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
  TAILRACE_RETURN_IF_ERROR(store.WaitFannedOut({stats.safe}));
  for (const ShardInfo& shard : stream.shards) {
    TAILRACE_ASSIGN_OR_RETURN(Position position,
                              store.SeekShard(stream.id, shard.id, StartAt::kTrimHorizon));
    while (true) {
      TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, store.ReadShard(position));
      if (page.gap) return FailedPrecondition(Cat(shard.name, ": ", GapText(*page.gap)));
      for (const ChangeRecord& record : page.records) TAILRACE_RETURN_IF_ERROR(visit(record));
      position = page.next;
      if (page.caught_up || page.end_of_shard) break;
    }
  }
  return Status::Ok();
}

Result<std::vector<ChangeRecord>> RecordsOfStream(Store& store, const StreamInfo& stream) {
  std::vector<ChangeRecord> records;
  TAILRACE_RETURN_IF_ERROR(ForEachRecord(store, stream, [&](const ChangeRecord& record) {
    records.push_back(record);
    return Status::Ok();
  }));
  std::sort(records.begin(), records.end(),
            [](const ChangeRecord& a, const ChangeRecord& b) { return a.sequence < b.sequence; });
  return records;
}

}  // namespace tailrace::tools
