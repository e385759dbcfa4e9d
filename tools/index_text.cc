#include "tools/index_text.h"

#include <algorithm>

#include "tools/format.h"
#include "tools/item_input.h"

namespace tailrace::tools {
namespace {

// "a,b" as two.
std::vector<std::string> Split(std::string_view text, char at) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// The name, what follows it, and the projection.
struct Parts {
  IndexSpec spec;
  std::vector<std::string> keys;
};

Result<Parts> ParseParts(std::string_view text) {
  Parts parts;
  const size_t name_end = text.find('=');
  if (name_end == std::string_view::npos) {
    return InvalidArgument(Cat("'", text, "' is no index: write NAME=KEY, such as by_user=user:S"));
  }
  parts.spec.name = text.substr(0, name_end);
  std::string_view rest = text.substr(name_end + 1);
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view projection = rest.substr(slash + 1);
    const size_t colon = projection.find(':');
    TAILRACE_ASSIGN_OR_RETURN(parts.spec.projection, ParseProjection(projection.substr(0, colon)));
    if (colon != std::string_view::npos) {
      parts.spec.included = Split(projection.substr(colon + 1), ',');
    }
    rest = rest.substr(0, slash);
  }
  parts.keys = Split(rest, ',');
  return parts;
}

}  // namespace

Result<Projection> ParseProjection(std::string_view text) {
  for (const Projection each : {Projection::kAll, Projection::kKeysOnly, Projection::kInclude}) {
    if (text == ProjectionName(each)) return each;
  }
  return InvalidArgument(Cat("'", text, "' is no projection: ALL, KEYS_ONLY or INCLUDE"));
}

Result<IndexSpec> ParseGlobalIndex(std::string_view text) {
  TAILRACE_ASSIGN_OR_RETURN(Parts parts, ParseParts(text));
  if (parts.keys.size() > 2) {
    return InvalidArgument(Cat("'", text, "': a key has a partition key and at most a sort key"));
  }
  TAILRACE_ASSIGN_OR_RETURN(
      parts.spec.keys, ParseKeySchema(parts.keys[0], parts.keys.size() > 1 ? parts.keys[1] : ""));
  return parts.spec;
}

Result<IndexSpec> ParseLocalIndex(std::string_view text, const KeySchema& table) {
  TAILRACE_ASSIGN_OR_RETURN(Parts parts, ParseParts(text));
  if (parts.keys.size() != 1) {
    return InvalidArgument(Cat("'", text,
                               "': a local index has the table's partition key, so only "
                               "its sort key is given"));
  }
  parts.spec.local = true;
  parts.spec.keys.partition = table.partition;
  TAILRACE_ASSIGN_OR_RETURN(parts.spec.keys.sort, ParseKeyAttribute(parts.keys[0]));
  return parts.spec;
}

std::string IndexText(const IndexInfo& index) {
  std::string text = Cat(index.spec.name, " (", KeySchemaText(index.spec.keys), "), ",
                         ProjectionName(index.spec.projection));
  for (size_t i = 0; i < index.spec.included.size(); ++i) {
    text += Cat(i == 0 ? " " : ", ", index.spec.included[i]);
  }
  if (index.spec.local) text += ", local";
  if (index.state != IndexState::kActive) text += Cat(", ", IndexStateName(index.state));
  return text;
}

void WriteIndexes(JsonWriter& json, const std::vector<IndexInfo>& indexes) {
  json.BeginArray();
  for (const IndexInfo& index : indexes) {
    json.BeginObject().Key("index").String(index.spec.name).Key("id").Number(index.id.value);
    json.Key("key").String(KeySchemaText(index.spec.keys));
    json.Key("local").Bool(index.spec.local);
    json.Key("projection").String(ProjectionName(index.spec.projection));
    if (!index.spec.included.empty()) {
      json.Key("included").BeginArray();
      for (const std::string& name : index.spec.included) json.String(name);
      json.EndArray();
    }
    json.Key("state").String(IndexStateName(index.state)).EndObject();
  }
  json.EndArray();
}

}  // namespace tailrace::tools
