#include "tests/crash/store_model.h"

#include <algorithm>
#include <sstream>

namespace tailrace::test {
namespace {

std::string TextOf(int64_t id, const StoreRow& row) {
  return "id=" + std::to_string(id) + " count=" + std::to_string(row.count) +
         " color=" + row.color + " text=" + std::to_string(row.text_bytes);
}

std::string TextOf(const Item& item) {
  const Number* id = item.GetNumber("id");
  const Number* count = item.GetNumber("count");
  const std::string* color = item.GetString("color");
  const std::string* text = item.GetString("text");
  if (id == nullptr || count == nullptr || text == nullptr) return "an item of another form";
  if (text->find_first_not_of('t') != std::string::npos) return "an item with another text";
  return TextOf(id->ToInt64().value(), {.count = count->ToInt64().value(),
                                        .color = color != nullptr ? color->at(0) : '-',
                                        .text_bytes = static_cast<uint32_t>(text->size())});
}

std::string RecordText(ChangeKind kind, const std::string& key, const std::string& old_image,
                       const std::string& new_image) {
  return "  record " + std::string(ChangeKindName(kind)) + " " + key + " old=[" + old_image +
         "] new=[" + new_image + "]\n";
}

bool ShowsNew(ViewType view) {
  return view == ViewType::kNewImage || view == ViewType::kNewAndOldImages;
}
bool ShowsOld(ViewType view) {
  return view == ViewType::kOldImage || view == ViewType::kNewAndOldImages;
}

std::string StreamHead(const std::string& table, bool enabled, ViewType view,
                       const std::vector<std::pair<uint64_t, uint64_t>>& open) {
  std::string text = "stream of " + table + (enabled ? " enabled " : " disabled ") +
                     std::string(ViewTypeName(view));
  for (const auto& [first, last] : open) {
    text += " " + std::to_string(first) + "-" + std::to_string(last);
  }
  return text + "\n";
}

}  // namespace

Item KeyOfRow(int64_t id) { return Item{{"id", Value::N(id)}}; }

Item ItemOf(int64_t id, const StoreRow& row) {
  Item item{{"id", Value::N(id)},
            {"count", Value::N(row.count)},
            {"text", Value::S(std::string(row.text_bytes, 't'))}};
  if (row.color != '-') item.Set("color", Value::S(std::string(1, row.color)));
  return item;
}

// ---- The model. ----

void StoreModel::Set(const std::string& name, int64_t id, std::optional<StoreRow> row,
                     uint64_t now_ms) {
  Table& table = tables.at(name);
  const auto found = table.rows.find(id);
  const std::optional<StoreRow> old_row =
      found == table.rows.end() ? std::nullopt : std::optional(found->second);
  if (old_row == row) return;
  if (row) {
    table.rows[id] = *row;
  } else {
    table.rows.erase(id);
  }
  if (!table.stream) return;
  streams[*table.stream].records.push_back(
      {.id = id, .old_row = old_row, .new_row = row, .at_ms = now_ms, .sequence = {}});
}

void StoreModel::Enable(const std::string& table, ViewType view) {
  tables.at(table).stream = streams.size();
  streams.push_back(
      {.table = table, .view = view, .enabled = true, .open = {{0, UINT64_MAX}}, .records = {}});
}

void StoreModel::Disable(const std::string& table) {
  Stream& stream = streams[*tables.at(table).stream];
  stream.enabled = false;
  stream.open.clear();
  tables.at(table).stream.reset();
}

void StoreModel::Trim(uint64_t now_ms, uint64_t retention_ms) {
  for (Stream& stream : streams) {
    std::erase_if(stream.records,
                  [&](const Record& record) { return now_ms - record.at_ms >= retention_ms; });
  }
}

std::string StoreModel::Text() const {
  std::string text;
  for (const auto& [name, table] : tables) {
    text += "table " + name + "\n";
    for (const auto& [id, row] : table.rows) text += "  " + TextOf(id, row) + "\n";
    if (table.index == Index::kNone) continue;
    text += table.index == Index::kActive ? "  index active\n" : "  index being filled\n";
    if (table.index != Index::kActive) continue;
    for (const auto& [id, row] : table.rows) {
      if (row.color != '-') text += "    " + TextOf(id, row) + "\n";
    }
  }
  for (const Stream& stream : streams) {
    if (!stream.enabled && stream.records.empty()) continue;
    text += StreamHead(stream.table, stream.enabled, stream.view, stream.open);
    for (const Record& record : stream.records) {
      const ChangeKind kind = !record.old_row   ? ChangeKind::kInsert
                              : !record.new_row ? ChangeKind::kRemove
                                                : ChangeKind::kModify;
      const auto image = [&](bool shown, const std::optional<StoreRow>& row) {
        return shown && row ? TextOf(record.id, *row) : std::string();
      };
      text +=
          RecordText(kind, std::to_string(record.id), image(ShowsOld(stream.view), record.old_row),
                     image(ShowsNew(stream.view), record.new_row));
    }
  }
  return text;
}

std::vector<uint64_t> StoreModel::Sequences() const {
  std::vector<uint64_t> sequences;
  for (const Stream& stream : streams) {
    for (const Record& record : stream.records) sequences.push_back(record.sequence.value);
  }
  return sequences;
}

// ---- A store. ----

namespace {

class Dumper {
 public:
  explicit Dumper(Store& store) : store_(store) {}

  Result<StoreDump> Run() {
    TAILRACE_ASSIGN_OR_RETURN(const auto tables, store_.ListTables());
    for (const TableInfo& table : tables) TAILRACE_RETURN_IF_ERROR(DumpTable(table));
    TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
    TAILRACE_RETURN_IF_ERROR(store_.WaitFannedOut({stats.safe}));
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, store_.ListStreams());
    for (const StreamInfo& stream : streams) TAILRACE_RETURN_IF_ERROR(DumpStream(stream));
    return std::move(dump_);
  }

 private:
  Status DumpTable(const TableInfo& table) {
    dump_.text += "table " + table.name + "\n";
    TAILRACE_RETURN_IF_ERROR(DumpItems(table.name, "", "  "));
    for (const IndexInfo& index : table.indexes) {
      const bool active = index.state == IndexState::kActive;
      dump_.text += active ? "  index active\n" : "  index being filled\n";
      if (active) TAILRACE_RETURN_IF_ERROR(DumpItems(table.name, index.spec.name, "    "));
    }
    return Status::Ok();
  }

  Status DumpItems(const std::string& table, const std::string& index, const std::string& indent) {
    std::map<int64_t, std::string> lines;
    ScanRequest request{.index = index};
    do {
      TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store_.Scan(table, request));
      for (const Item& item : page.items) {
        const int64_t id = item.GetNumber("id")->ToInt64().value();
        if (!lines.emplace(id, indent + TextOf(item) + "\n").second) {
          return Corruption("an item of table " + table + " was scanned twice");
        }
      }
      request.start_after = page.last_key;
    } while (request.start_after);
    for (const auto& [id, line] : lines) dump_.text += line;
    return Status::Ok();
  }

  Status DumpStream(const StreamInfo& stream) {
    std::map<SequenceNumber, std::string> lines;
    std::vector<std::pair<uint64_t, uint64_t>> open;
    for (const ShardInfo& shard : stream.shards) {
      if (!shard.ending) open.emplace_back(shard.hash_first, shard.hash_last);
      TAILRACE_RETURN_IF_ERROR(DumpShard(stream, shard, lines));
    }
    if (!stream.enabled && lines.empty()) return Status::Ok();
    std::sort(open.begin(), open.end());
    dump_.text += StreamHead(stream.table_name, stream.enabled, stream.view, open);
    for (const auto& [sequence, line] : lines) {
      dump_.text += line;
      dump_.sequences.push_back(sequence.value);
    }
    return Status::Ok();
  }

  Status DumpShard(const StreamInfo& stream, const ShardInfo& shard,
                   std::map<SequenceNumber, std::string>& lines) {
    TAILRACE_ASSIGN_OR_RETURN(Position at,
                              store_.SeekShard(stream.id, shard.id, StartAt::kTrimHorizon));
    std::optional<ChangeRecord> last;
    while (true) {
      TAILRACE_ASSIGN_OR_RETURN(const ChangePage page, store_.ReadShard(at));
      if (page.gap) return Corruption(shard.name + " has a gap");
      for (const ChangeRecord& record : page.records) {
        if (last && (record.ordinal != last->ordinal + 1 || record.sequence <= last->sequence)) {
          return Corruption(shard.name + " has a hole before record " +
                            std::to_string(record.ordinal));
        }
        if (record.sequence < shard.starting || (shard.ending && record.sequence > *shard.ending)) {
          return Corruption(shard.name + " holds a record that is not of its range");
        }
        if (!lines.emplace(record.sequence, LineOf(record)).second) {
          return Corruption("two shards hold the same record");
        }
        last = record;
      }
      if (page.caught_up || page.end_of_shard) return Status::Ok();
      at = page.next;
    }
  }

  static std::string LineOf(const ChangeRecord& record) {
    const auto image = [](const std::optional<Item>& item) {
      return item ? TextOf(*item) : std::string();
    };
    return RecordText(record.kind, record.keys.GetNumber("id")->ToString(), image(record.old_image),
                      image(record.new_image));
  }

  Store& store_;
  StoreDump dump_;
};

}  // namespace

Result<StoreDump> DumpStore(Store& store) { return Dumper(store).Run(); }

std::string FirstDifference(const std::string& expected, const std::string& found) {
  std::istringstream left(expected), right(found);
  while (true) {
    std::string expected_line, found_line;
    const bool more_expected = static_cast<bool>(std::getline(left, expected_line));
    const bool more_found = static_cast<bool>(std::getline(right, found_line));
    if (!more_expected && !more_found) return "no difference";
    if (more_expected && more_found && expected_line == found_line) continue;
    return "expected '" + (more_expected ? expected_line : "the end") + "', found '" +
           (more_found ? found_line : "the end") + "'";
  }
}

}  // namespace tailrace::test
