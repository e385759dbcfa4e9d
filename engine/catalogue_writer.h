// Changes to what exists: tables and streams. Each is one frame, appended with the commit gate held
// exclusively, so that no write straddles it.
#pragma once

#include <functional>
#include <string>

#include "engine/core.h"
#include "engine/store.h"

namespace tailrace::engine {

// Table names that begin so are the store's own.
inline constexpr std::string_view kSystemPrefix = "_tailrace.";

// Thread-safe. See the methods of Store.
class CatalogueWriter {
 public:
  explicit CatalogueWriter(Core& core) : core_(core) {}

  // Lets a system table be made too.
  enum class Who { kCaller, kStore };
  Status CreateTable(const TableSpec& spec, Who who);
  Status DropTable(const std::string& table);
  Result<StreamId> EnableStream(const std::string& table, ViewType view,
                                const StreamOptions& options);
  Status DisableStream(const std::string& table);

 private:
  // Decides, under the gate, what to change; then appends it and waits until it is safe and fanned
  // out.
  Status Change(const std::function<Status(const Catalogue&, frames::Catalogue&)>& decide);
  void AddStream(const Catalogue& now, const Table& table, ViewType view,
                 const StreamOptions& options, frames::Catalogue& change) const;

  Core& core_;
};

}  // namespace tailrace::engine
