// Change records and gaps as text for people and as JSON.
#pragma once

#include <string>

#include "engine/store.h"
#include "tools/output.h"

namespace tailrace::tools {

// What a record does not say of itself.
struct RecordOrigin {
  std::string table;
  std::string shard;  // Its name.
};

// One line: number, time, kind, table, keys; then the images, a line each.
//
//   100000000000000004201  2020-05-09T03:04:05.000Z  MODIFY  UserGames {game_id: 2345}
//       old  {game_id: 2345, ...}
//       new  {game_id: 2345, ...}
void PrintRecordText(Output& out, const ChangeRecord& record, const RecordOrigin& origin,
                     std::string_view indent = "");

// The record as the DynamoDB Streams API shows one, and beside it "tailrace" with what only we
// know: table, stream, shard, ordinal, commit, milliseconds.
std::string RecordJson(const ChangeRecord& record, const RecordOrigin& origin);

// "records 10000… to 10000… are gone: they expired before they were read"
std::string GapText(const Gap& gap);
std::string GapJson(const Gap& gap, const RecordOrigin& origin);

// In either form, as `json` says.
void PrintRecord(Output& out, bool json, const ChangeRecord& record, const RecordOrigin& origin);
void PrintGap(Output& out, bool json, const Gap& gap, const RecordOrigin& origin);

}  // namespace tailrace::tools
