#include "tools/demo_games.h"

#include <algorithm>
#include <vector>

#include "engine/store.h"
#include "tools/format.h"
#include "tools/record_text.h"
#include "tools/stream_records.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

const KeySchema kKeys{.partition = {"game_id", ScalarType::kN}};

Item Game(int64_t id, const char* time, const char* user) {
  return Item{{"game_id", Value::N(id)}, {"game_ts", Value::S(time)}, {"user_id", Value::S(user)}};
}

// One item written and moved by a day, another one deleted.
Status WriteGames(Store& store, const std::string& table) {
  TAILRACE_RETURN_IF_ERROR(store.Put(table, Game(1234, "2020-04-01T12:00:00z", "qwerty")).status());
  TAILRACE_RETURN_IF_ERROR(
      store.Put(table, Game(2345, "2020-05-09T03:04:05z", "sfdsfdf")).status());
  const Updater a_day_later = [](std::optional<Item>& item) {
    if (!item) return NotFound("the game is gone");
    item->Set("game_ts", Value::S("2020-05-10T03:04:05z"));
    return Status::Ok();
  };
  TAILRACE_RETURN_IF_ERROR(
      store.Update(table, Item{{"game_id", Value::N(2345)}}, a_day_later).status());
  return store.Delete(table, Item{{"game_id", Value::N(1234)}}).status();
}

Status CheckGames(DemoText& text, ViewType view, const std::vector<ChangeRecord>& records) {
  const bool shows_new = view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
  const bool shows_old = view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
  const ChangeKind kinds[] = {ChangeKind::kInsert, ChangeKind::kInsert, ChangeKind::kModify,
                              ChangeKind::kRemove};
  bool holds = records.size() == std::size(kinds);
  for (size_t i = 0; holds && i < records.size(); ++i) {
    const ChangeRecord& record = records[i];
    holds = record.kind == kinds[i] &&
            record.new_image.has_value() == (shows_new && kinds[i] != ChangeKind::kRemove) &&
            record.old_image.has_value() == (shows_old && kinds[i] != ChangeKind::kInsert);
  }
  return text.Claim(holds,
                    Cat("INSERT, INSERT, MODIFY, REMOVE, as ", ViewTypeName(view), " shows them"));
}

Status ShowView(DemoText& text, Store& store, const std::string& table, ViewType view) {
  TAILRACE_RETURN_IF_ERROR(
      store.CreateTable({.name = table, .keys = kKeys, .stream = view}).status());
  TAILRACE_RETURN_IF_ERROR(WriteGames(store, table));
  TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams(table));
  TAILRACE_ASSIGN_OR_RETURN(const auto records, RecordsOfStream(store, streams.back()));
  text.Line("");
  text.Line(Cat("Stream of ", table, " (", ViewTypeName(view), ") from TRIM_HORIZON:"));
  for (const ChangeRecord& record : records)
    PrintRecordText(text.out(), record, {table, ""}, "   ");
  return CheckGames(text, view, records);
}

// What was written before a stream was enabled is not in it.
Status ShowLateStream(DemoText& text, Store& store) {
  const std::string table = "LateGames";
  TAILRACE_RETURN_IF_ERROR(store.CreateTable({.name = table, .keys = kKeys}).status());
  TAILRACE_RETURN_IF_ERROR(store.Put(table, Game(1, "2020-01-01T00:00:00z", "before")).status());
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream,
                            store.EnableStream(table, ViewType::kNewAndOldImages));
  TAILRACE_RETURN_IF_ERROR(store.Put(table, Game(2, "2020-01-02T00:00:00z", "after")).status());
  TAILRACE_ASSIGN_OR_RETURN(const auto records, RecordsOfStream(store, stream));
  text.Line("");
  text.Line(
      Cat("Table ", table, ": game 1 was put, then a stream was enabled, then game 2 was put:"));
  for (const ChangeRecord& record : records)
    PrintRecordText(text.out(), record, {table, ""}, "   ");
  const bool holds = records.size() == 1 && records[0].kind == ChangeKind::kInsert &&
                     records[0].new_image == Game(2, "2020-01-02T00:00:00z", "after");
  return text.Claim(holds, "nothing from before enabling is in the stream");
}

}  // namespace

Status ShowGames(DemoText& text, const std::string& directory, Durability durability) {
  text.Heading("A table whose every change is read back from its stream");
  StoreOptions options;
  options.durability = durability;
  TAILRACE_ASSIGN_OR_RETURN(const auto store, Store::Open(directory, options));
  text.Line("put     " + ItemText(Game(1234, "2020-04-01T12:00:00z", "qwerty")));
  text.Line("put     " + ItemText(Game(2345, "2020-05-09T03:04:05z", "sfdsfdf")));
  text.Line("update  {game_id: 2345}: its game_ts moved by a day");
  text.Line("delete  {game_id: 1234}");
  TAILRACE_RETURN_IF_ERROR(ShowView(text, *store, "UserGames", ViewType::kNewAndOldImages));
  TAILRACE_RETURN_IF_ERROR(ShowView(text, *store, "UserGamesKeysOnly", ViewType::kKeysOnly));
  TAILRACE_RETURN_IF_ERROR(ShowView(text, *store, "UserGamesNewImage", ViewType::kNewImage));
  TAILRACE_RETURN_IF_ERROR(ShowView(text, *store, "UserGamesOldImage", ViewType::kOldImage));
  TAILRACE_RETURN_IF_ERROR(ShowLateStream(text, *store));
  return store->Close();
}

}  // namespace tailrace::tools
